"""The points of a learned tempo map, and those of a ramp that is not over yet."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.transport.tempo_curves import Piece
from engine.timeline import MAX_BPM, MIN_BPM

EDGE_BEATS = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """Where the tempo changes.

    Attributes:
        beat: of the change.
        sample: of that beat at 44.1 kHz.
        bpm: the tempo there; where `flat`, up to the next point.
        reported_bpm: the tempo as the host says it, which may be rounded.
        flat: whether the tempo stays; if not, the map is a straight line to the next point's sample.
    """

    beat: float
    sample: float
    bpm: float
    reported_bpm: float
    flat: bool


def ramp_points(ramp: Piece, beats: float, step_beats: float) -> list[Point]:
    """Return the points of a ramp that goes on for `beats` more, then stays; tempos are held to those playable."""
    points = []
    bpm_limit = MAX_BPM if ramp.slope > 0 else MIN_BPM
    reach = min(beats, (bpm_limit - ramp.bpm) / ramp.slope)
    beat = ramp.beat
    while beat < ramp.beat + reach - EDGE_BEATS:
        bpm = ramp.bpm + ramp.slope * (beat - ramp.beat)
        points.append(Point(beat, ramp.sample_at(beat), bpm, bpm, False))
        beat = min((beat // step_beats + 1.0) * step_beats, ramp.beat + reach)
    bpm = ramp.bpm + ramp.slope * reach
    points.append(Point(ramp.beat + reach, ramp.sample_at(ramp.beat + reach), bpm, bpm, True))
    return points
