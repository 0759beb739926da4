"""From the learned tempo map to the engine's `Timeline`, so that the timeline's exact arithmetic stays cheap.

The engine sums beats over tempos as rational numbers. A ramp is hundreds of points, and hundreds of arbitrary tempos
would grow the sums' denominators without end. So a ramp's inner points are put on a grid: durations in whole millionths
of a minute and tempos of four decimals, whose products are decimals of ten digits: their samples are decimals as well.
Each point corrects the rounding of the one before it, so nothing adds up. Constant tempos are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bridge.transport.tempo_curves import SAMPLES_PER_MINUTE
from bridge.transport.tempo_points import Point
from engine.timeline import MAX_BPM, MIN_BPM, Timeline

Signatures = tuple[tuple[float, int, int], ...]

_GRID_SAMPLES = SAMPLES_PER_MINUTE * 1e-6
_BEAT_DIGITS = 10
_BPM_DIGITS = 4
_FREE_BPM_DIGITS = 5
_NEAR_BEATS = 1e-4


def build_timeline(points: Sequence[Point], signatures: Signatures) -> Timeline:
    """Return the timeline of a tempo map.

    Beat 0 lies on a whole sample in a timeline; where the map's does not, everything shifts by under half a sample.

    Args:
        points: in rising order, the last one flat.
        signatures: `(beat, numerator, denominator)`, the first at beat 0.
    """
    from_zero = _from_beat_zero(points)
    first_sample = round(from_zero[0].sample)
    shift = first_sample - from_zero[0].sample
    steps: list[tuple[float, float]] = []
    i, reached = 0, float(first_sample)
    while i < len(from_zero):
        point = from_zero[i]
        if point.flat:
            if not steps or steps[-1][1] != point.bpm:
                steps.append((point.beat, point.bpm))
            i += 1
            if i < len(from_zero):
                reached += (from_zero[i].beat - point.beat) * SAMPLES_PER_MINUTE / point.bpm
        else:
            end = next(j for j in range(i, len(from_zero)) if from_zero[j].flat)
            ramp, reached = _ramp_steps(from_zero[i : end + 1], reached, shift)
            steps.extend(ramp)
            i = end
    return Timeline(steps, signatures, first_sample)


def _from_beat_zero(points: Sequence[Point]) -> list[Point]:
    """Return `points` from beat 0 on, with one at beat 0."""
    later = [point for point in points if point.beat > 0]
    before = [point for point in points if point.beat <= 0]
    start = before[-1] if before else points[0]
    per_beat = SAMPLES_PER_MINUTE / start.bpm
    bpm = start.bpm
    if before and not start.flat:
        per_beat = (later[0].sample - start.sample) / (later[0].beat - start.beat)
        bpm = SAMPLES_PER_MINUTE / per_beat
    sample = start.sample - start.beat * per_beat
    flat = start.flat or not before
    if not before and start.flat and start.bpm == bpm:
        later = later[1:]
    return [Point(0.0, sample, bpm, start.reported_bpm, flat), *later]


def _ramp_steps(knots: Sequence[Point], reached: float, shift: float) -> tuple[list[tuple[float, float]], float]:
    """Return the `(beat, bpm)` steps of a ramp and the sample at which they end.

    Args:
        knots: the ramp's points and the one that ends it.
        reached: the sample that the timeline has at the first knot.
        shift: what is added to the knots' samples.
    """
    end = knots[-1]
    beat, steps = knots[0].beat, []
    near = [knot for knot in knots[1:-1] if beat + _NEAR_BEATS < knot.beat < end.beat - _NEAR_BEATS]
    if near:  # one free step leads to the grid of beats
        goal = round(near[0].beat, _BEAT_DIGITS)
        step, reached = _free_step(beat, goal, reached, near[0].sample + shift)
        steps.append(step)
        beat = goal
    for knot, after in pairwise([*near[1:], end]):
        target = knot.sample + shift
        ticks = round((target - reached) / _GRID_SAMPLES)
        if ticks <= 0 or knot.beat <= beat:
            continue
        slid = reached + ticks * _GRID_SAMPLES - target
        wanted = knot.beat + slid * (after.beat - knot.beat) / (after.sample - knot.sample)
        bpm = _playable(round((wanted - beat) / (ticks * 1e-6), _BPM_DIGITS))
        steps.append((beat, bpm))
        beat = round(beat + bpm * ticks * 1e-6, _BEAT_DIGITS)
        reached += ticks * _GRID_SAMPLES
    if beat < end.beat:
        step, reached = _free_step(beat, end.beat, reached, end.sample + shift)
        steps.append(step)
    return steps, reached


def _free_step(beat: float, end_beat: float, reached: float, target: float) -> tuple[tuple[float, float], float]:
    """Return the step from `beat` to exactly `end_beat` in the time from sample `reached` to `target`."""
    samples = max(target - reached, 1e-3)
    bpm = _playable(round(SAMPLES_PER_MINUTE * (end_beat - beat) / samples, _FREE_BPM_DIGITS))
    return (beat, bpm), reached + (end_beat - beat) * SAMPLES_PER_MINUTE / bpm


def _playable(bpm: float) -> float:
    """Return `bpm` within the tempos that a timeline takes."""
    return min(max(bpm, MIN_BPM), MAX_BPM)
