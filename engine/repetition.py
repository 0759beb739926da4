"""Which chords to expect where nothing was heard yet: those of some bars before, as far as the song repeats itself.

Songs come in phrases of two, four, eight and sixteen bars. How well what was heard agrees with itself at each of these
distances says how much each of them counts ahead, beside the guess that does without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.harmony_tables import Floats

LAGS_BARS = (2, 4, 8, 12, 16)
MIN_UNITS_COMPARED = 2
SHARPNESS = 12.0
"""A distance at which chances agree better by 0.1 counts exp(1.2) as much; chosen on validation songs."""
OWN_AGREEMENT = 0.85
"""Agreement at which a distance counts as much as a sure guess that does without; chosen on validation songs."""
RECENCY = 0.97
"""How much a unit counts beside the next one: what a song repeats changes as it goes."""
_LEAST = 1e-9

Indices = NDArray[np.intp]


def with_repeats(logs: Floats, begins_bar: NDArray[np.bool_], heard: Floats) -> Floats:
    """Return how likely each chord is in each unit, with what repeats in the parts of units that were not heard.

    Args:
        logs: (units, chords) logarithms of how likely each is by itself, up to a constant in each unit.
        begins_bar: (units,) whether a unit starts on a bar line.
        heard: (units,) share of each unit that was heard, in [0, 1].

    Returns:
        (units, chords) logarithms: `logs` themselves in units that were heard, and everywhere while too little was
        heard to compare.
    """
    unheard = np.flatnonzero(heard < 1.0)
    if not len(unheard):
        return logs
    chances = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    sources = {lag: _units_before(begins_bar, lag) for lag in LAGS_BARS}
    agreements = _agreements(chances, heard, sources)
    if not agreements:
        return logs
    expected = chances.copy()
    for unit in unheard:  # rising, so that what is expected is repeated in its turn
        at = {lag: sources[lag][unit] for lag in agreements if sources[lag][unit] >= 0}
        counts = np.exp(SHARPNESS * np.array([OWN_AGREEMENT, *(agreements[lag] for lag in at)]))
        counts[0] *= _sureness(chances[unit])
        repeated = counts @ np.stack([chances[unit], *(expected[source] for source in at.values())]) / counts.sum()
        expected[unit] = heard[unit] * chances[unit] + (1.0 - heard[unit]) * repeated
    found = logs.copy()
    found[unheard] = np.log(expected[unheard] + _LEAST)
    return found


def _sureness(chances: Floats) -> float:
    """Return 1 for a guess that is sure, 0 for one that knows nothing: how far its entropy is below the largest."""
    entropy = -float(chances @ np.log(chances + _LEAST))
    return max(0.0, 1.0 - entropy / float(np.log(len(chances)))) + _LEAST


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


def _agreements(chances: Floats, heard: Floats, sources: dict[int, Indices]) -> dict[int, float]:
    """Return how well what was heard agrees with what was so many bars before, in [0, 1], the newest most of all."""
    known = heard == 1.0
    directions = chances / np.linalg.norm(chances, axis=1, keepdims=True)  # else unsure guesses would never agree
    found = {}
    for lag, source in sources.items():
        units = np.flatnonzero(known & (source >= 0))
        units = units[known[source[units]]]
        if len(units) >= MIN_UNITS_COMPARED:
            newness = RECENCY ** (units[-1] - units).astype(np.float64)
            agreeing = (directions[units] * directions[source[units]]).sum(axis=1)
            found[lag] = float(newness @ agreeing / newness.sum())
    return found
