"""Drums made anew by another seed: others, that still fit, beside stems that stay as they are to the bit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.metrics import difference_db, grid_deviations_ms
from bridge.evaluation.onsets import onset_seconds
from bridge.evaluation.songs import Excerpt
from bridge.evaluation.takes import Band
from engine.wish import Kept, Wish

SAME_STROKE_SECONDS = 0.03  # less than half of a 16th at 180 a minute

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RerollFigures:
    """One song's drums made anew.

    Attributes:
        same_strokes: F-measure of the strokes of both takes, in [0, 1]; 1 the same pattern.
        same_as_real: the same of the first take and the real drums: two drummers on one song.
        difference_db: level of the difference of both takes' drums, relative to the first's.
        first_ms: distance of each stroke of the first take from the song's grid.
        second_ms: the same of the second take.
        locked_same: whether bass and harmony came back bit for bit.
    """

    same_strokes: float
    same_as_real: float
    difference_db: float
    first_ms: Floats
    second_ms: Floats
    locked_same: bool


def reroll(play: Band, excerpt: Excerpt, wish: Wish) -> RerollFigures:
    """Make a take, then its drums again with the next seed."""
    first = play(excerpt, wish)
    kept = Kept(stems=first, regenerate=("drums",))
    second = play(excerpt, replace(wish, seed=wish.seed + 1), kept)
    strokes, others = onset_seconds(first["drums"]), onset_seconds(second["drums"])
    timeline, subdivision = excerpt.timeline, excerpt.facts.subdivision
    return RerollFigures(
        same_strokes=same_strokes(strokes, others),
        same_as_real=same_strokes(strokes, onset_seconds(excerpt.audio["drums"])),
        difference_db=difference_db(first["drums"], second["drums"]),
        first_ms=grid_deviations_ms(strokes, timeline, subdivision),
        second_ms=grid_deviations_ms(others, timeline, subdivision),
        locked_same=all(np.array_equal(first[stem], second[stem]) for stem in ("bass", "other")),
    )


def same_strokes(first_seconds: Floats, second_seconds: Floats) -> float:
    """Return the F-measure of strokes that both have, within 30 ms, in [0, 1]; 1 where neither has any.

    Each stroke is counted with one of the other take at most: the earliest that is left, which for windows of one
    length is the best matching there is.

    Args:
        first_seconds: (strokes,) rising.
        second_seconds: (strokes,) rising.
    """
    strokes = len(first_seconds) + len(second_seconds)
    first, second, same = 0, 0, 0
    while first < len(first_seconds) and second < len(second_seconds):
        apart = float(second_seconds[second] - first_seconds[first])
        same += abs(apart) <= SAME_STROKE_SECONDS
        first += apart >= -SAME_STROKE_SECONDS
        second += apart <= SAME_STROKE_SECONDS
    return 2.0 * same / strokes if strokes else 1.0


def percentile_ms(deviations: Sequence[Floats], percent: float) -> float:
    """Return a percentile of the distances of all songs' strokes; NaN without any."""
    pooled = np.concatenate([*deviations, np.zeros(0)])
    return float(np.percentile(pooled, percent)) if len(pooled) else float("nan")
