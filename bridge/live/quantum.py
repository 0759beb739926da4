"""What is played, as data: runs of rolls with gains. The player makes quanta, a take keeps them, both render here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.live.varispeed import is_whole, read, samples_needed
from engine.geometry import AUDIO_CHANNELS, STEMS

Array = NDArray[np.float32]
Gains = tuple[float, ...]
RollAudio = Callable[[int], tuple[int, Array]]
"""From a roll's number to the song position of its first sample and its audio (stems, 2, samples)."""


class Voice(NamedTuple):
    """A run of one roll.

    Attributes:
        roll: the roll's number.
        start: position, on the roll's timeline, of the first sample.
        step: how far apart positions are; 1 but for drift and changing tempo.
        from_gain: amplitude factor at the start.
        to_gain: amplitude factor after the ramp.
        ramp_samples: how long the factor takes from the one to the other.
    """

    roll: int
    start: float
    step: float
    from_gain: float = 1.0
    to_gain: float = 1.0
    ramp_samples: int = 0


class Quantum(NamedTuple):
    """A few samples of what is played.

    Attributes:
        samples: how many.
        voices: what sounds, added up; empty for silence.
        from_gains: amplitude factor of each stem at the start.
        to_gains: the same at the end, reached in a straight line.
    """

    samples: int
    voices: tuple[Voice, ...]
    from_gains: Gains
    to_gains: Gains


def render(quantum: Quantum, audio_of: RollAudio) -> Array:
    """Return the stems (stems, 2, samples) of `quantum`, gains and all."""
    total = np.zeros((len(STEMS), AUDIO_CHANNELS, quantum.samples), np.float32)
    for voice in quantum.voices:
        first_sample, audio = audio_of(voice.roll)
        total += read(audio, first_sample, voice.start, voice.step, quantum.samples) * _ramp(voice, quantum.samples)
    return total * _stem_ramps(quantum)


def touched(voice: Voice, samples: int) -> tuple[int, int]:
    """Return the first and end sample of the roll that `voice` reads."""
    return samples_needed(voice.start, voice.step, samples)


def follows(quantum: Quantum, before: Quantum) -> bool:
    """Return whether `quantum` only goes on with what `before` does, so that both are one longer quantum."""
    if len(quantum.voices) != len(before.voices) or len(quantum.voices) > 1:
        return False
    if not quantum.from_gains == quantum.to_gains == before.from_gains == before.to_gains:
        return False
    return all(_goes_on(*pair, before.samples) for pair in zip(quantum.voices, before.voices, strict=True))


def _goes_on(voice: Voice, before: Voice, samples: int) -> bool:
    steady = voice.from_gain == voice.to_gain == before.from_gain == before.to_gain
    same = voice.roll == before.roll and is_whole(voice.start, voice.step) and is_whole(before.start, before.step)
    return steady and same and voice.start == before.start + samples


def _ramp(voice: Voice, samples: int) -> Array:
    if voice.from_gain == voice.to_gain:
        return np.full(1, voice.to_gain, np.float32)
    share = np.minimum(np.arange(1, samples + 1, dtype=np.float32) / np.float32(max(voice.ramp_samples, 1)), 1.0)
    return (voice.from_gain + (voice.to_gain - voice.from_gain) * share).astype(np.float32)


def _stem_ramps(quantum: Quantum) -> Array:
    start, end = (np.array(gains, np.float32)[:, None, None] for gains in (quantum.from_gains, quantum.to_gains))
    if quantum.from_gains == quantum.to_gains:
        return end
    share = np.arange(1, quantum.samples + 1, dtype=np.float32) / np.float32(quantum.samples)
    return start + (end - start) * share
