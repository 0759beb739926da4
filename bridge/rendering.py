"""From stems to files: gains, chains, resampling, and a mix that is the sum of its tracks to the last bit.

Every track is turned into 24-bit integers first and the mix is their integer sum, so the equation holds in the files
as they lie on the disk. Should the sum pass full scale, one common gain lowers all tracks; a first pass finds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.audio_files import (
    BLOCK_SAMPLES,
    FULL_SCALE_24_BIT,
    Audio,
    AudioFacts,
    FileFormat,
    TrackWriter,
    exact_blocks,
    resampled,
    stereo_blocks,
)
from engine.geometry import SAMPLE_RATE_HZ
from presets.chains import ChainStream
from presets.store import Preset

Tracks: TypeAlias = dict[str, Audio]
Advance: TypeAlias = Callable[[float], None]

VOCAL_TRACK = "vocal"
MIX_TRACK = "mix"
MASTER_TRACK = "master"
STEPS_PER_DB = 100
HIGHEST_PEAK = (FULL_SCALE_24_BIT - 4) / FULL_SCALE_24_BIT
_HIGHEST = FULL_SCALE_24_BIT - 1


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is to be rendered.

    Attributes:
        stems: (2, samples) float32 at 44.1 kHz by name, before or after `apply_chains`.
        vocal: the vocal's file.
        preset: gains and chains.
        rate_hz: sample rate of the files to write.
        frames: length of every file to write, in samples.
    """

    stems: Mapping[str, Audio]
    vocal: AudioFacts
    preset: Preset
    rate_hz: int
    frames: int

    def seconds_of(self, tracks: Tracks) -> float:
        """Return the length of one block of tracks."""
        return next(iter(tracks.values())).shape[1] / self.rate_hz

    @property
    def mastered(self) -> bool:
        """Whether the bus has a chain, and so a master is made beside the mix."""
        return bool(self.preset.chains.bus)


@dataclass(frozen=True, slots=True)
class Levels:
    """What the first pass found.

    Attributes:
        headroom_db: common gain of all tracks and of their sum; 0 when nothing would clip.
        master_gain_db: gain of the master, which is no part of the sum.
    """

    headroom_db: float
    master_gain_db: float


def apply_chains(stems: Mapping[str, Audio], preset: Preset) -> None:
    """Put each stem (2, samples) at 44.1 kHz through its gain and chain, in place: a long song fits once, not twice."""
    for name, stem in stems.items():
        if preset.changes_sound(name):
            written = 0
            for piece in _processed(sliced(stem), preset, name, SAMPLE_RATE_HZ):
                stem[:, written : written + piece.shape[1]] = piece
                written += piece.shape[1]


def track_blocks(rendering: Rendering) -> Iterator[Tracks]:
    """Yield every track of the sum, block by block, in step, at the rendering's rate, before headroom.

    The stems come as they are; the vocal, which is read from its file anew, goes through its gain and chain.
    """
    streams = {name: _stem_pieces(rendering, stem) for name, stem in rendering.stems.items()}
    streams[VOCAL_TRACK] = _vocal_pieces(rendering)
    blocks = [exact_blocks(pieces, BLOCK_SAMPLES, rendering.frames) for pieces in streams.values()]
    for parts in zip(*blocks, strict=True):
        yield dict(zip(streams, parts, strict=True))


def find_levels(rendering: Rendering, advance: Advance) -> Levels:
    """Run through the whole song without writing it and return the gains that keep every file below full scale."""
    highest, master_highest = 0.0, 0.0
    bus = ChainStream(rendering.preset.chains.bus, rendering.rate_hz)
    for tracks in track_blocks(rendering):
        total = sum_of(tracks)
        highest = max(highest, peak(total), *map(peak, tracks.values()))
        master_highest = max(master_highest, peak(bus.step(total)))
        advance(rendering.seconds_of(tracks))
    master_highest = max(master_highest, peak(bus.flush()))
    return Levels(gain_below_full_scale_db(highest), gain_below_full_scale_db(master_highest))


def write_tracks(rendering: Rendering, levels: Levels, folder: Path, file_format: FileFormat, advance: Advance) -> None:
    """Write every track, the mix and, where the bus has a chain, the master into `folder`.

    Args:
        rendering: what to render.
        levels: what `find_levels` found.
        folder: an existing folder.
        file_format: `wav` or `flac`; 24 bit.
        advance: told the seconds of sound done since it was last told.
    """
    gain, master_gain = factor(levels.headroom_db), factor(levels.master_gain_db)
    names = (*rendering.stems, VOCAL_TRACK, MIX_TRACK, *([MASTER_TRACK] if rendering.mastered else []))
    bus = ChainStream(rendering.preset.chains.bus, rendering.rate_hz)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(TrackWriter(folder / f"{name}.{file_format}", rendering.rate_hz))
            for name in names
        }
        for tracks in track_blocks(rendering):
            integers = {name: quantised(block, gain) for name, block in tracks.items()}
            for name, block in integers.items():
                writers[name].write(block)
            writers[MIX_TRACK].write(np.sum(list(integers.values()), axis=0, dtype=np.int32))
            if rendering.mastered:
                writers[MASTER_TRACK].write(quantised(bus.step(sum_of(tracks)), master_gain))
            advance(rendering.seconds_of(tracks))
        if rendering.mastered:
            writers[MASTER_TRACK].write(quantised(bus.flush(), master_gain))


def write_dry(rendering: Rendering, folder: Path, file_format: FileFormat) -> float:
    """Write the stems into `folder` as the engine gave them, without effects; return their common gain in dB."""
    gain_db = gain_below_full_scale_db(max(map(peak, rendering.stems.values())))
    for name, stem in rendering.stems.items():
        with TrackWriter(folder / f"{name}.{file_format}", rendering.rate_hz) as writer:
            for block in exact_blocks(_stem_pieces(rendering, stem), BLOCK_SAMPLES, rendering.frames):
                writer.write(quantised(block, factor(gain_db)))
    return gain_db


def sum_of(tracks: Tracks) -> Audio:
    """Return the sum of all tracks, (2, samples) float32."""
    return np.asarray(np.sum(list(tracks.values()), axis=0, dtype=np.float64), dtype=np.float32)


def peak(audio: Audio) -> float:
    """Return the highest absolute sample; 0 for no samples."""
    return float(np.abs(audio).max(initial=0.0))


def quantised(audio: Audio, gain: float) -> NDArray[np.int32]:
    """Return `audio` times `gain` as 24-bit integers."""
    scaled = np.rint(audio.astype(np.float64) * (gain * FULL_SCALE_24_BIT))
    return np.clip(scaled, -FULL_SCALE_24_BIT, _HIGHEST).astype(np.int32)


def gain_below_full_scale_db(highest: float) -> float:
    """Return the gain, in whole hundredths of a decibel, that brings a peak below full scale; 0 if it is there.

    The rounding of each track in a sum is allowed for.
    """
    if highest <= HIGHEST_PEAK:
        return 0.0
    return -math.ceil(20.0 * math.log10(highest / HIGHEST_PEAK) * STEPS_PER_DB) / STEPS_PER_DB


def factor(gain_db: float) -> float:
    """Return the linear gain of `gain_db`; exactly 1.0 at 0 dB."""
    return math.pow(10.0, gain_db / 20.0)


def sliced(audio: Audio) -> Iterator[Audio]:
    """Yield `audio` in blocks."""
    for start in range(0, audio.shape[1], BLOCK_SAMPLES):
        yield audio[:, start : start + BLOCK_SAMPLES]


def _stem_pieces(rendering: Rendering, stem: Audio) -> Iterator[Audio]:
    """Yield a stem at the rendering's rate."""
    return resampled(sliced(stem), SAMPLE_RATE_HZ, rendering.rate_hz)


def _vocal_pieces(rendering: Rendering) -> Iterator[Audio]:
    """Yield the vocal's own samples, at the rendering's rate, through its gain and chain."""
    pieces = resampled(stereo_blocks(rendering.vocal), rendering.vocal.rate_hz, rendering.rate_hz)
    return _processed(pieces, rendering.preset, VOCAL_TRACK, rendering.rate_hz)


def _processed(pieces: Iterable[Audio], preset: Preset, track: str, rate_hz: int) -> Iterator[Audio]:
    """Yield `pieces` through the gain and the chain that `preset` has for `track`."""
    gain = np.float32(preset.gains_db.factor(track))
    chain = ChainStream(preset.chains.of(track), rate_hz)
    for piece in pieces:
        yield chain.step(piece if gain == 1.0 else piece * gain)
    yield chain.flush()
