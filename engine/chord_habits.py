"""Which chords songs in a key use, and which they follow with which: what the reader's guesses are weighed with.

Both come from the statistics of songs (`engine.harmony_tables`), so that songs teach harmony in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from engine.chord_classes import CHORD_CLASSES, chord_class
from engine.harmony import PITCH_CLASSES, Key
from engine.harmony_tables import MODES, Floats, HarmonyTables

_SETTLED_UNITS = 64  # transitions after which the first chord is forgotten
_SELDOM = 0.05  # what each chord has of a common one's share at least
_POOLED = 0.1  # how much a move counts that no song made, beside one as common as chance makes it
_NEVER = 1e-6


@dataclass(frozen=True, slots=True)
class ChordHabits:
    """What songs do, as logarithms, by mode; chord classes count from the key signature's tonic up.

    Attributes:
        degrees: (MODES, CHORD_CLASSES) how much more often than on other roots a chord holds.
        moves: (MODES, CHORD_CLASSES, CHORD_CLASSES) how much more often than by chance a change from the one chord is
            to the other; 0 where it stays.
    """

    degrees: Floats
    moves: Floats

    @classmethod
    def of(cls, tables: HarmonyTables) -> Self:
        """Return the habits of the songs that `tables` were counted in."""
        degrees, moves = zip(*(_of_mode(tables, mode) for mode in range(len(MODES))), strict=True)
        return cls(np.stack(degrees), np.stack(moves))


def _of_mode(tables: HarmonyTables, mode: int) -> tuple[Floats, Floats]:
    key = Key(0, minor=bool(mode))
    classes = np.array([chord_class(state.chord_in(key.tonic), key.signature) for state in tables.states])
    transition = tables.transition[mode].mean(axis=0)
    holding = np.linalg.matrix_power(transition, _SETTLED_UNITS)[0]
    by_root = np.bincount(classes, holding, CHORD_CLASSES).reshape(-1, PITCH_CLASSES)
    usual = by_root.mean(axis=1, keepdims=True)
    floor = _SELDOM * usual.max()
    degrees = np.log((by_root + floor) / (usual + floor)).reshape(-1)
    return degrees, _moves(classes, holding[:, None] * transition)


def _moves(classes: np.ndarray[tuple[int, ...], np.dtype[np.intp]], pairs: Floats) -> Floats:
    """Return what changes are worth, from the shares (states, states) of all pairs of neighbouring units."""
    counts = np.zeros((CHORD_CLASSES, CHORD_CLASSES))
    np.add.at(counts, (classes[:, None], classes), pairs)
    np.fill_diagonal(counts, 0.0)
    counts /= max(counts.sum(), _NEVER)
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    worth = np.log((counts + _POOLED * chance + _NEVER) / ((1.0 + _POOLED) * chance + _NEVER))
    np.fill_diagonal(worth, 0.0)
    return worth
