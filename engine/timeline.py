"""The song's timeline: tempo map and time signatures to samples, beats and bars, and back, exactly.

A *beat* is a quarter note, whatever the time signature; bars count from 0. Positions are computed in closed form from
the tempo points with rational numbers and rounded once, so beat n lies on the same sample however it was reached.
Before the first beat the first tempo and signature extend backwards, so negative beats, bars and samples are valid.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ

MIN_BPM = 30.0
MAX_BPM = 300.0
MAX_NUMERATOR = 32
DENOMINATORS = (1, 2, 4, 8, 16, 32)

Beat = float | Fraction


@dataclass(frozen=True, slots=True)
class Timeline:
    """A tempo map that moves in steps, time signatures, and where beat 0 lies.

    Attributes:
        tempos: `(beat, bpm)` points in rising order, the first at beat 0; each holds until the next.
        time_signatures: `(beat, numerator, denominator)` in rising order, the first at beat 0, each on a bar line.
        first_beat_sample: sample of beat 0, which is a downbeat.

    Raises:
        ValueError: a point is out of range, out of order or, for a signature, off the bar lines.
    """

    tempos: Sequence[tuple[float, float]]
    time_signatures: Sequence[tuple[float, int, int]] = ((0.0, 4, 4),)
    first_beat_sample: int = 0
    _tempo_beats: tuple[Fraction, ...] = field(init=False, repr=False, compare=False)
    _bpms: tuple[Fraction, ...] = field(init=False, repr=False, compare=False)
    _tempo_samples: tuple[Fraction, ...] = field(init=False, repr=False, compare=False)
    _signature_beats: tuple[Fraction, ...] = field(init=False, repr=False, compare=False)
    _bar_lengths: tuple[Fraction, ...] = field(init=False, repr=False, compare=False)
    _signature_bars: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the points and work out where each lies."""
        tempos = tuple((float(beat), float(bpm)) for beat, bpm in self.tempos)
        signatures = tuple((float(beat), int(top), int(bottom)) for beat, top, bottom in self.time_signatures)
        _check_order("tempo", [beat for beat, _ in tempos])
        _check_order("time signature", [beat for beat, _, _ in signatures])
        for _, bpm in tempos:
            _check_bpm(bpm)
        for _, numerator, denominator in signatures:
            check_time_signature(numerator, denominator)
        tempo_beats = tuple(_exact(beat) for beat, _ in tempos)
        bpms = tuple(_exact(bpm) for _, bpm in tempos)
        signature_beats = tuple(_exact(beat) for beat, _, _ in signatures)
        bar_lengths = tuple(Fraction(4 * numerator, denominator) for _, numerator, denominator in signatures)
        derived = {
            "tempos": tempos,
            "time_signatures": signatures,
            "first_beat_sample": int(self.first_beat_sample),
            "_tempo_beats": tempo_beats,
            "_bpms": bpms,
            "_tempo_samples": _tempo_samples(tempo_beats, bpms),
            "_signature_beats": signature_beats,
            "_bar_lengths": bar_lengths,
            "_signature_bars": _signature_bars(signature_beats, bar_lengths),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @classmethod
    def constant(cls, bpm: float, numerator: int = 4, denominator: int = 4, first_beat_sample: int = 0) -> Timeline:
        """Return a timeline of one tempo and one time signature."""
        return cls(((0.0, bpm),), ((0.0, numerator, denominator),), first_beat_sample)

    def sample_at_beat(self, beat: Beat) -> int:
        """Return the sample nearest to `beat`; exactly half-way rounds up."""
        position = _exact(beat)
        i = _segment(self._tempo_beats, position)
        offset = (position - self._tempo_beats[i]) * _samples_per_beat(self._bpms[i])
        return self.first_beat_sample + _round(self._tempo_samples[i] + offset)

    def position_at_beat(self, beat: float) -> float:
        """Return the position of `beat` in samples, not rounded to one."""
        i = _segment(self._tempo_beats, _exact(beat))
        start = self.first_beat_sample + float(self._tempo_samples[i])
        return start + (beat - float(self._tempo_beats[i])) * float(_samples_per_beat(self._bpms[i]))

    def beat_at_position(self, position: float) -> float:
        """Return the beat at a position in samples that need not be whole; the inverse of `position_at_beat`."""
        offset = position - self.first_beat_sample
        i = _segment(self._tempo_samples, _exact(offset))
        since = offset - float(self._tempo_samples[i])
        return float(self._tempo_beats[i]) + since / float(_samples_per_beat(self._bpms[i]))

    def beat_at_sample(self, sample: int) -> float:
        """Return the beat at `sample`, rounded once to a float."""
        position = Fraction(int(sample) - self.first_beat_sample)
        i = _segment(self._tempo_samples, position)
        return float(self._tempo_beats[i] + (position - self._tempo_samples[i]) / _samples_per_beat(self._bpms[i]))

    def bpm_at_beat(self, beat: Beat) -> float:
        """Return the tempo that holds at `beat`, in quarter notes a minute."""
        return self.tempos[_segment(self._tempo_beats, _exact(beat))][1]

    def time_signature_at_beat(self, beat: Beat) -> tuple[int, int]:
        """Return the `(numerator, denominator)` that holds at `beat`."""
        _, numerator, denominator = self.time_signatures[_segment(self._signature_beats, _exact(beat))]
        return numerator, denominator

    def beats_per_bar_at(self, beat: Beat) -> float:
        """Return the length, in quarter notes, of the bar that `beat` is in."""
        return float(self._bar_lengths[_segment(self._signature_beats, _exact(beat))])

    def beat_at_bar(self, bar: int) -> float:
        """Return the beat on which bar `bar` (from 0) starts."""
        i = _segment(self._signature_bars, bar)
        return float(self._signature_beats[i] + (bar - self._signature_bars[i]) * self._bar_lengths[i])

    def bar_at_beat(self, beat: Beat) -> int:
        """Return the bar (from 0) that `beat` is in; a beat on a bar line is in the bar that starts there."""
        position = _exact(beat)
        i = _segment(self._signature_beats, position)
        return self._signature_bars[i] + (position - self._signature_beats[i]) // self._bar_lengths[i]

    def sample_at_bar(self, bar: int) -> int:
        """Return the sample on which bar `bar` (from 0) starts."""
        return self.sample_at_beat(self.beat_at_bar(bar))

    def samples_at_beats(self, beats: Iterable[Beat]) -> NDArray[np.int64]:
        """Return `sample_at_beat` of each of `beats`."""
        return np.array([self.sample_at_beat(beat) for beat in beats], dtype=np.int64)

    def beats_at_samples(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the beat at each of `samples`, as `beat_at_sample` does to within float64's rounding.

        Each value depends on its own sample alone, so any window of a song gives the same numbers as the whole.
        """
        offsets = np.asarray(samples, dtype=np.int64) - self.first_beat_sample
        starts = np.array([float(start) for start in self._tempo_samples])
        i = np.maximum(np.searchsorted(starts, offsets, side="right") - 1, 0)
        beats = np.array([float(beat) for beat in self._tempo_beats])
        rates = np.array([float(_samples_per_beat(bpm)) for bpm in self._bpms])
        return beats[i] + (offsets - starts[i]) / rates[i]

    def beats_at_frames(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return the beat at the first sample of latent frames `start_frame` to `start_frame + frames - 1`."""
        return self.beats_at_samples(np.arange(start_frame, start_frame + frames, dtype=np.int64) * LATENT_HOP_SAMPLES)

    def bpms_at_beats(self, beats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the tempo at each of `beats`."""
        return np.array([bpm for _, bpm in self.tempos])[_segments(self._tempo_beats, beats)]

    def beats_per_bar_at_beats(self, beats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bar length in quarter notes at each of `beats`."""
        return np.array([float(length) for length in self._bar_lengths])[_segments(self._signature_beats, beats)]

    def bars_at_beats(self, beats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the position of each of `beats` in bars: the bar (from 0) plus the part of it that has passed."""
        i = _segments(self._signature_beats, beats)
        starts = np.array([float(beat) for beat in self._signature_beats])
        return np.array(self._signature_bars)[i] + (beats - starts[i]) / self.beats_per_bar_at_beats(beats)


def check_time_signature(numerator: int, denominator: int) -> None:
    """Raise ValueError unless `numerator`/`denominator` is a time signature that Backline plays."""
    if not 1 <= numerator <= MAX_NUMERATOR or denominator not in DENOMINATORS:
        allowed = ", ".join(map(str, DENOMINATORS))
        raise ValueError(
            f"time signature {numerator}/{denominator} is not possible; "
            f"give a numerator from 1 to {MAX_NUMERATOR} over one of {allowed}, such as 3/4"
        )


def _check_bpm(bpm: float) -> None:
    """Raise ValueError unless `bpm` is in range; NaN is not."""
    if not MIN_BPM <= bpm <= MAX_BPM:
        raise ValueError(
            f"tempo {bpm:g} bpm is out of range; give quarter notes a minute from {MIN_BPM:g} to {MAX_BPM:g}"
        )


def _check_order(name: str, beats: list[float]) -> None:
    """Raise ValueError unless `beats` start at 0 and rise."""
    if not beats or beats[0] != 0.0:
        raise ValueError(f"the first {name} must be at beat 0, got {beats[:1]}; add a {name} at beat 0")
    for before, after in pairwise(beats):
        if not before < after < float("inf"):
            raise ValueError(f"{name} at beat {after:g} does not come after the one at beat {before:g}; sort them")


def _exact(value: Beat) -> Fraction:
    """Return `value` as a fraction; a float is taken as the shortest decimal that prints it (92.1 is 921/10)."""
    if isinstance(value, int | Fraction):
        return Fraction(value)
    return Fraction(repr(float(value)))


def _round(value: Fraction) -> int:
    """Return the nearest integer, halves upwards."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _samples_per_beat(bpm: Fraction) -> Fraction:
    """Return the exact length of one beat in samples."""
    return Fraction(60 * SAMPLE_RATE_HZ) / bpm


def _tempo_samples(beats: tuple[Fraction, ...], bpms: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """Return the exact distance in samples from beat 0 to each tempo point."""
    samples = [Fraction(0)]
    for start, end, bpm in zip(beats, beats[1:], bpms, strict=False):
        samples.append(samples[-1] + (end - start) * _samples_per_beat(bpm))
    return tuple(samples)


def _signature_bars(beats: tuple[Fraction, ...], bar_lengths: tuple[Fraction, ...]) -> tuple[int, ...]:
    """Return the bar on which each time signature starts.

    Raises:
        ValueError: a signature does not start on a bar line of the one before it.
    """
    bars = [0]
    for start, end, length in zip(beats, beats[1:], bar_lengths, strict=False):
        count = (end - start) / length
        if count.denominator != 1:
            raise ValueError(
                f"time signature at beat {float(end):g} is not on a bar line: bars of {float(length):g} beats "
                f"start at beat {float(start):g}; move it to beat {float(start + count.__ceil__() * length):g}"
            )
        bars.append(bars[-1] + count.numerator)
    return tuple(bars)


def _segment(starts: Sequence[Fraction] | Sequence[int], position: Fraction | int) -> int:
    """Return the index of the last start at or before `position`, or 0 before the first."""
    return max(bisect_right(starts, position) - 1, 0)


def _segments(starts: Sequence[Fraction], positions: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return `_segment` of each of `positions`."""
    edges = np.array([float(start) for start in starts])
    return np.maximum(np.searchsorted(edges, positions, side="right") - 1, 0)
