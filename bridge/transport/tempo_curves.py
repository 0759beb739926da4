"""How the tempo went between two places of the song: the closed forms behind tempo learning.

A *place* is a beat, its sample at 44.1 kHz and the tempo there. Between two places the tempo is taken to be one or two
lines over the beat: constant, linear, a kink where two lines meet, or a jump from one to the other. Which it is follows
from the slopes on either side; where it happened follows from the time that passed.

A linear tempo bpm(x) = bpm + slope x takes the integral of samples-a-minute / bpm(x), which is
(samples a minute / slope) ln(1 + slope x / bpm).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import MAX_BPM, MIN_BPM

SAMPLES_PER_MINUTE = 60.0 * SAMPLE_RATE_HZ
SNAP_PER_BEAT = 960
SNAP_BEATS = 1e-4
FIT_SAMPLES = 0.6  # a host that rounds its positions to samples is off by half a sample at each end
BISECTIONS = 60
LONG_GUESS_BEATS = 4.0
FINEST_RAMP_HALVINGS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A beat, the sample (44.1 kHz) that it lies on and the tempo there."""

    beat: float
    sample: float
    bpm: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch whose tempo is linear over the beat, from `beat` on.

    Attributes:
        beat: where it starts.
        sample: the sample of that beat, at 44.1 kHz.
        bpm: tempo at its start.
        slope: change of the tempo a beat; 0 where it is constant.
    """

    beat: float
    sample: float
    bpm: float
    slope: float

    def sample_at(self, beat: float) -> float:
        """Return the sample of `beat`."""
        return self.sample + samples_over(self.bpm, self.slope, beat - self.beat)


def samples_over(bpm: float, slope: float, beats: float) -> float:
    """Return how many samples `beats` take from a tempo of `bpm` that changes by `slope` a beat."""
    change = slope * beats / bpm
    if abs(change) < 1e-7:
        return beats * SAMPLES_PER_MINUTE / bpm * (1.0 - 0.5 * change)
    return SAMPLES_PER_MINUTE / slope * math.log1p(change)


def samples_per_beat(bpm: float) -> float:
    """Return the length of a beat in samples."""
    return SAMPLES_PER_MINUTE / bpm


def slope_between(left: Place, right: Place) -> float:
    """Return the change of tempo a beat from `left` to `right`."""
    beats = right.beat - left.beat
    return (right.bpm - left.bpm) / beats if beats > 0 else 0.0


def snapped(beat: float) -> float:
    """Return the nearest 1/960 of a beat where `beat` is within 1e-4 of it, else `beat` itself."""
    near = round(beat * SNAP_PER_BEAT) / SNAP_PER_BEAT
    return near if abs(near - beat) < SNAP_BEATS else beat


def pieces_between(left: Place, right: Place, slope_before: float, slope_after: float) -> tuple[Piece, ...] | None:
    """Return the tempo's way from `left` to `right`.

    Args:
        left: where it starts.
        right: where it ends; its tempo is the one that holds from there on.
        slope_before: change of tempo a beat just before `left`.
        slope_after: change of tempo a beat just after `right`.

    Returns:
        one to three pieces from `left` on, in order; or None where no tempo that can be played leads there.
    """
    beats, samples = right.beat - left.beat, right.sample - left.sample
    if beats <= 0 or samples <= 0:
        return None
    smooth = _smooth(left, right, slope_before, slope_after)
    if smooth is not None:
        return smooth
    jump = _jump(left, right, slope_before, slope_after)
    if jump is None and (slope_before or slope_after):
        jump = _jump(left, right, 0.0, 0.0)
    return jump if jump is not None else _average(left, right)


def _smooth(left: Place, right: Place, slope_before: float, slope_after: float) -> tuple[Piece, ...] | None:
    """Return the way without a jump that takes the right time best, or None if none does."""
    beats = right.beat - left.beat
    flat = slope_before == 0.0 and slope_after == 0.0
    ways: list[tuple[Piece, ...]] = []
    if not flat or left.bpm == right.bpm:
        ways.append((Piece(left.beat, left.sample, left.bpm, slope_between(left, right)),))
    if slope_before != slope_after:
        x = (right.bpm - left.bpm - slope_after * beats) / (slope_before - slope_after)
        kink_beat = snapped(left.beat + x)
        if left.beat < kink_beat < right.beat and MIN_BPM <= left.bpm + slope_before * x <= MAX_BPM:
            ways.append(_two(left, kink_beat, slope_before, right, slope_after))
    errors = [abs(way[-1].sample_at(right.beat) - right.sample) for way in ways]
    if not ways or min(errors) > FIT_SAMPLES:
        return None
    best = next(i for i, error in enumerate(errors) if error <= min(errors) + 1e-3)
    return ways[best]


def _two(left: Place, beat: float, slope_before: float, right: Place, slope_after: float) -> tuple[Piece, ...]:
    """Return the line through `left` up to `beat` and the line through `right` from there."""
    first = Piece(left.beat, left.sample, left.bpm, slope_before)
    second_bpm = right.bpm - slope_after * (right.beat - beat)
    return first, Piece(beat, first.sample_at(beat), second_bpm, slope_after)


def _jump(left: Place, right: Place, slope_before: float, slope_after: float) -> tuple[Piece, ...] | None:
    """Return the way that jumps once from the left line to the right one, where the time says; None if it cannot."""
    if not _lines_playable(left, right, slope_before, slope_after):
        return None

    def excess(beat: float) -> float:
        way = _two(left, beat, slope_before, right, slope_after)
        return way[1].sample_at(right.beat) - right.sample

    low, high = excess(left.beat), excess(right.beat)
    if abs(high - low) < 1e-9:
        return None
    if min(abs(low), abs(high)) > FIT_SAMPLES and low * high > 0:
        return None
    beat = left.beat + (right.beat - left.beat) * _root(low, high)
    if slope_before or slope_after:
        beat = _bisected(excess, left.beat, right.beat, low, high)
    beat = min(max(snapped(beat), left.beat), right.beat)
    way = _two(left, beat, slope_before, right, slope_after)
    return way if beat > left.beat else way[1:]


def _root(low: float, high: float) -> float:
    """Return where, in [0, 1], a line from `low` to `high` is nearest to zero."""
    return min(max(low / (low - high), 0.0), 1.0)


def _bisected(excess: Callable[[float], float], left: float, right: float, low: float, high: float) -> float:
    """Return where `excess` is zero, by bisection; the nearer end where it has one sign."""
    if low * high > 0:
        return left if abs(low) < abs(high) else right
    for _ in range(BISECTIONS):
        middle = 0.5 * (left + right)
        value = excess(middle)
        if value * low > 0:
            left, low = middle, value
        else:
            right = middle
    return 0.5 * (left + right)


def _lines_playable(left: Place, right: Place, slope_before: float, slope_after: float) -> bool:
    """Return whether both lines stay within the tempos that can be played."""
    beats = right.beat - left.beat
    ends = (left.bpm + slope_before * beats, right.bpm - slope_after * beats)
    return all(MIN_BPM <= bpm <= MAX_BPM for bpm in ends)


def _average(left: Place, right: Place) -> tuple[Piece, ...] | None:
    """Return a way in steps from `left` to `right` although one step does not lead there; None if none can be played.

    Over a long way the first half keeps the tempo of `left`: then the host can play on for a while before it shows that
    this guess was wrong.
    """
    beats, samples = right.beat - left.beat, right.sample - left.sample
    kept_beats = math.floor(beats / 2.0) if beats > LONG_GUESS_BEATS else 0.0
    kept_samples = kept_beats * samples_per_beat(left.bpm)
    for kept, taken in ((kept_beats, kept_samples), (0.0, 0.0)):
        bpm = SAMPLES_PER_MINUTE * (beats - kept) / max(samples - taken, 1e-6)
        if MIN_BPM <= bpm <= MAX_BPM:
            guess = Piece(left.beat + kept, left.sample + taken, bpm, 0.0)
            ways = (guess, Piece(right.beat, right.sample, right.bpm, 0.0))
            return (Piece(left.beat, left.sample, left.bpm, 0.0), *ways) if kept else ways
    return None


def ramp_beats(piece: Piece, end_beat: float, largest_error_samples: float) -> Sequence[float]:
    """Return the beats inside a ramp between which a constant tempo is near enough.

    They lie on a grid of whole beats or of halves, quarters, eighths, ... of one, so that a song's beats are exact. A
    chord over h beats is off by at most h h / 8 times the bend, which is how much a beat's length changes in a beat.
    """
    end_bpm = piece.bpm + piece.slope * (end_beat - piece.beat)
    bend = SAMPLES_PER_MINUTE * abs(piece.slope) / min(piece.bpm, end_bpm) ** 2
    widest = math.sqrt(8.0 * largest_error_samples / bend)
    step = 2.0 ** max(-FINEST_RAMP_HALVINGS, min(0, math.floor(math.log2(widest))))
    first = math.floor(piece.beat / step) + 1
    return [step * i for i in range(first, math.ceil(end_beat / step))]
