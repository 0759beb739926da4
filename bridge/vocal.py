"""A vocal read from its file once: what the engine hears, and what there is to say about it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bridge.audio_files import Audio, AudioFacts, file_sha256, resampled, resampled_length, stereo_blocks
from bridge.errors import UserError
from engine.geometry import AUDIO_CHANNELS, LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ

SILENT_PEAK = 10.0 ** (-80.0 / 20.0)
QUIET_PEAK = 10.0 ** (-26.0 / 20.0)
WANTED_PEAK = 0.5
CLIPPED_LEVEL = 0.999
CLIPPED_SHARE = 1e-4
LEAST_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Vocal:
    """A vocal as the engine hears it.

    Attributes:
        facts: the file; `frames` is the decoded length.
        sha256: digest of the file.
        audio: (2, samples) float32 at 44.1 kHz, lifted or lowered to a level that the engine knows.
        peak: highest sample of the file.
        warnings: what the singer should know.
    """

    facts: AudioFacts
    sha256: str
    audio: Audio
    peak: float
    warnings: tuple[str, ...]

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.peak < SILENT_PEAK


@dataclass(slots=True)
class _Meter:
    """Counts what passes through `measured`."""

    frames: int = 0
    peak: float = 0.0
    clipped: int = 0

    def take(self, block: Audio) -> Audio:
        level = np.abs(block)
        self.frames += block.shape[1]
        self.peak = max(self.peak, float(level.max(initial=0.0)))
        self.clipped += int((level >= CLIPPED_LEVEL).any(axis=0).sum())
        return block


def read_vocal(facts: AudioFacts) -> Vocal:
    """Return the vocal in the file that `facts` describes.

    Raises:
        UserError: no or one sample, NaN or infinite samples, or a damaged file.
    """
    sha256 = file_sha256(facts.path)
    meter = _Meter()
    blocks = (meter.take(block) for block in stereo_blocks(facts))
    audio = _collected(blocks, facts)
    if meter.frames < LEAST_SAMPLES:
        count = "no samples" if meter.frames == 0 else "one sample"
        raise UserError(f"{facts.path}: holds {count}; record or export a vocal of at least a few notes")
    whole = AudioFacts(facts.path, facts.rate_hz, facts.channels, meter.frames, facts.bits)
    length = max(resampled_length(meter.frames, facts.rate_hz, SAMPLE_RATE_HZ), LATENT_HOP_SAMPLES)
    return Vocal(whole, sha256, _levelled(_fitted(audio, length), meter.peak), meter.peak, _warnings(meter))


def _collected(blocks: Iterable[Audio], facts: AudioFacts) -> Audio:
    """Return all blocks at 44.1 kHz in one array, without ever holding them twice."""
    room = resampled_length(facts.frames, facts.rate_hz, SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ
    audio = np.zeros((AUDIO_CHANNELS, room), np.float32)
    filled = 0
    for piece in resampled(blocks, facts.rate_hz, SAMPLE_RATE_HZ):
        if filled + piece.shape[1] > audio.shape[1]:
            audio = np.concatenate(
                (audio[:, :filled], np.zeros((AUDIO_CHANNELS, max(filled, piece.shape[1])), np.float32)), 1
            )
        audio[:, filled : filled + piece.shape[1]] = piece
        filled += piece.shape[1]
    return audio[:, :filled]


def _fitted(audio: Audio, samples: int) -> Audio:
    """Return `audio` cut or filled with silence to `samples`."""
    if audio.shape[1] >= samples:
        return np.ascontiguousarray(audio[:, :samples])
    return np.pad(audio, ((0, 0), (0, samples - audio.shape[1])))


def _levelled(audio: Audio, peak: float) -> Audio:
    """Return `audio` in [-1, 1], a quiet one lifted: only what the engine hears, never what is mixed."""
    if peak < SILENT_PEAK:
        return np.zeros_like(audio)
    if QUIET_PEAK <= peak <= 1.0:
        return np.clip(audio, -1.0, 1.0, out=audio)
    audio *= np.float32((WANTED_PEAK if peak < QUIET_PEAK else 1.0) / peak)
    return np.clip(audio, -1.0, 1.0, out=audio)


def _warnings(meter: _Meter) -> tuple[str, ...]:
    """Return what is unusual about the vocal's level, in words."""
    if meter.peak < SILENT_PEAK:
        return ("the vocal is silent: the accompaniment follows tempo, key and style alone",)
    notes = []
    if meter.peak < QUIET_PEAK:
        notes.append(
            f"the vocal is quiet (peak {20 * math.log10(meter.peak):.1f} dBFS): lifted for the model, not in the mix"
        )
    if meter.peak > 1.0:
        notes.append(
            f"the vocal goes {20 * math.log10(meter.peak):.1f} dB over full scale: every file is lowered to hold it"
        )
    elif meter.clipped > max(8, CLIPPED_SHARE * meter.frames):
        notes.append(f"the vocal is clipped at {meter.clipped} samples: pitch and loudness may be misheard")
    return tuple(notes)
