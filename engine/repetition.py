"""What will be sung where nothing was heard yet: what was sung some bars before, as far as the song repeats itself.

Songs come in phrases of four, eight and sixteen bars. How well what was heard repeats at each of these distances says
how much each of them counts ahead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.harmony_tables import Floats

LAGS_BARS = (4, 8, 12, 16, 24)
MIN_UNITS_COMPARED = 4
SHARPNESS = 8.0
"""A distance at which the cosine of what was sung is higher by 0.1 counts exp(0.8) as much; chosen on validation."""
EXPECTED_WEIGHT = 0.8
"""How much a beat that is expected counts beside one that was sung; chosen on validation."""

Indices = NDArray[np.intp]


def with_expected(sung: Floats, begins_bar: NDArray[np.bool_], heard: Floats) -> Floats:
    """Return what is sung in each unit, with what is expected in the parts of units that were not heard.

    Args:
        sung: (units, 12) beats of each pitch class that were sung.
        begins_bar: (units,) whether a unit starts on a bar line.
        heard: (units,) share of each unit that was heard, in [0, 1].

    Returns:
        (units, 12): `sung` itself in units that were heard, and everywhere while too little was heard to compare.
    """
    sources = {lag: _units_before(begins_bar, lag) for lag in LAGS_BARS}
    weights = _lag_weights(sung, heard, sources)
    expected = sung.copy()
    for unit in np.flatnonzero(heard < 1.0):  # rising, so that what is expected is repeated in its turn
        for lag, weight in weights.items():
            source = sources[lag][unit]
            if source >= 0:
                expected[unit] += EXPECTED_WEIGHT * weight * (1.0 - heard[unit]) * expected[source]
    return expected


def _units_before(begins_bar: NDArray[np.bool_], lag_bars: int) -> Indices:
    """Return (units,) the unit at the same place `lag_bars` bars before each; -1 where there is none."""
    starts = np.flatnonzero(begins_bar)
    bars = np.cumsum(begins_bar) - 1 - lag_bars
    before = np.full(len(begins_bar), -1, dtype=np.intp)
    (units,) = np.nonzero(bars >= 0)
    within_bar = units - starts[bars[units] + lag_bars]
    there = starts[bars[units]] + within_bar
    same_bar = there < starts[bars[units] + 1]  # the bar then may have had fewer parts
    before[units[same_bar]] = there[same_bar]
    return before


def _lag_weights(sung: Floats, heard: Floats, sources: dict[int, Indices]) -> dict[int, float]:
    """Return the share that each distance has in what is expected: the more, the better what was heard repeats."""
    norms = np.linalg.norm(sung, axis=1)
    known = (heard == 1.0) & (norms > 0)
    scores = {}
    for lag, source in sources.items():
        units = np.flatnonzero(known & (source >= 0) & known[source])
        if len(units) >= MIN_UNITS_COMPARED:
            before = source[units]
            likeness = (sung[units] * sung[before]).sum() / (norms[units] * norms[before]).sum()
            scores[lag] = float(np.exp(SHARPNESS * likeness))
    total = sum(scores.values())
    return {lag: score / total for lag, score in scores.items()}
