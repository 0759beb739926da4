"""Which chords to expect where nothing was heard yet: those of bars before, as far as the song repeats itself.

Songs come in phrases of two, four, eight and sixteen bars, and their verses and choruses come back. How well what was
sung last, and its chords, agree with what was sung so many bars before says how much each distance counts ahead, beside
the guess that does without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.harmony_tables import Floats

SHORTEST_BARS, STEP_BARS = 2, 4
"""Distances: two bars, then every four."""
COMPARED_UNITS = 32
LEAST_COMPARED = 4
SHARPNESS = 12.0
"""A distance at which chords agree better by 0.1 counts exp(1.2) as much; these numbers: by validation songs."""
OWN_AGREEMENT = 0.9
"""Agreement at which a distance counts as much as a sure guess that does without."""
RECENCY = 0.85
"""How much a unit counts beside the next one: where verses end, what the song goes back to changes."""
MELODY_WEIGHT = 0.6
"""What agreement of the notes sung counts beside that of the chords."""
USUAL_MELODY = 0.3
"""Agreement of the notes at places that are not repeated."""
_SUNG = 0.3
_LEAST = 1e-9

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Read:
    """A song, unit by unit, as far as it was read.

    Attributes:
        logs: (units, chords) logarithms of how likely each chord is by itself, up to a constant in each unit.
        sung: (units, channels) what is sung in each, not negative, from any pitch on; without columns if unknown.
        begins_bar: (units,) whether a unit starts on a bar line.
        heard: (units,) share of each unit that was heard, in [0, 1].
    """

    logs: Floats
    sung: Floats
    begins_bar: NDArray[np.bool_]
    heard: Floats


def with_repeats(song: Read) -> Floats:
    """Return how likely each chord is in each unit, with what repeats in the parts of units that were not heard.

    Returns:
        (units, chords) logarithms: the song's own in units that were heard, and everywhere while too little was heard
        to compare.
    """
    unheard = np.flatnonzero(song.heard < 1.0)
    if not len(unheard) or not song.begins_bar.any():
        return song.logs
    chances = np.exp(song.logs - np.logaddexp.reduce(song.logs, axis=1, keepdims=True))
    distances = np.array([SHORTEST_BARS, *range(STEP_BARS, int(song.begins_bar.sum()), STEP_BARS)], np.intp)
    agreements = _agreements(chances, song, distances)
    compared = np.flatnonzero(np.isfinite(agreements))
    if not len(compared):
        return song.logs
    weights = np.exp(SHARPNESS * (agreements[compared] - OWN_AGREEMENT))
    sources = _units_before(song.begins_bar, unheard, distances[compared])
    expected = chances.copy()
    for unit, source in zip(unheard, sources.T, strict=True):  # rising: what is expected is repeated in its turn
        there = source >= 0
        own = _sureness(chances[unit])
        repeated = own * chances[unit] + weights[there] @ expected[source[there]]
        repeated /= own + weights[there].sum()
        expected[unit] = song.heard[unit] * chances[unit] + (1.0 - song.heard[unit]) * repeated
    found = song.logs.copy()
    found[unheard] = np.log(expected[unheard] + _LEAST)
    return found


def _sureness(chances: Floats) -> float:
    """Return 1 for a guess that is sure, 0 for one that knows nothing: how far its entropy is below the largest."""
    entropy = -float(chances @ np.log(chances + _LEAST))
    return max(0.0, 1.0 - entropy / float(np.log(len(chances)))) + _LEAST


def _units_before(begins_bar: NDArray[np.bool_], units: Indices, distances_bars: Indices) -> Indices:
    """Return (distances, units) the unit at the same place so many bars before each; -1 where there is none."""
    starts = np.flatnonzero(begins_bar)
    ends = np.append(starts[1:], len(begins_bar))
    bars = np.cumsum(begins_bar)[units] - 1
    within_bar = units - starts[bars]  # of a part of a bar before the first bar line no unit is asked for
    earlier = bars - distances_bars[:, None]
    source = starts[earlier] + within_bar
    return np.where((bars >= 0) & (earlier >= 0) & (source < ends[earlier]), source, -1)


def _agreements(chances: Floats, song: Read, distances_bars: Indices) -> Floats:
    """Return (distances,) how well what was heard last agrees with what was so many bars before; NaN if unknown."""
    known = song.heard == 1.0
    last = np.flatnonzero(known)[-COMPARED_UNITS:]
    sources = _units_before(song.begins_bar, last, distances_bars)
    comparable = (sources >= 0) & known[sources]
    newness = RECENCY ** (last[-1:] - last).astype(np.float64) * comparable
    chords = _directions(chances)  # else unsure guesses would never agree
    agreement = _mean((chords[last] * chords[sources]).sum(axis=2), newness)
    if song.sung.shape[1]:
        notes, level = _directions(song.sung), np.linalg.norm(song.sung, axis=1)
        either = (level[last] > _SUNG) | (level[sources] > _SUNG)
        alike = _mean((notes[last] * notes[sources]).sum(axis=2), newness * either)
        agreement += MELODY_WEIGHT * np.nan_to_num(alike - USUAL_MELODY)
    return np.where(comparable.sum(axis=1) >= LEAST_COMPARED, agreement, np.nan)


def _directions(rows: Floats) -> Floats:
    """Return each of `rows` with length 1; what is nearly nothing stays that."""
    directions: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST)
    return directions


def _mean(values: Floats, weights: Floats) -> Floats:
    """Return the weighted mean of each row; NaN where nothing has a weight."""
    total = weights.sum(axis=1)
    return np.where(total > 0.0, (values * weights).sum(axis=1) / np.maximum(total, _LEAST), np.nan)
