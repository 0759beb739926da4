"""The key that chords are of, as a listener hears it: from which triads hold, and from which follows which.

The mean of all pitch classes against a profile of the key's notes (Krumhansl and Schmuckler's way) says of many a real
accompaniment its relative key or its dominant's: three notes in four are the same. Chords tell them apart, and their
order does so where two keys have the same chords. Both tables are counts of the corpus's train split.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.harmony import KEYS, NO_CHORD, PITCH_CLASSES, TRIADS, ChordSpan, Key

Floats = NDArray[np.float64]

MOVES_FILE = Path(__file__).with_name("chord_moves.txt")
_HOLDING_BEATS = 4.0  # beats of a chord that say as much as a move; chosen on train and validation songs
_POOLED_MOVES = 5.0  # how many moves the mean of all is worth beside those from a chord

# Share of the time that each triad holds in a song of the corpus's train split, by semitones above the tonic: major
# triads of a major key, minor ones of it, then both of a minor key. Seldom ones are forgiven by `_UNHEARD`.
_DEGREE_SHARES = (
    ((0.289, 0.000, 0.013, 0.002, 0.006, 0.169, 0.000, 0.210, 0.001, 0.016, 0.009, 0.000),
     (0.000, 0.000, 0.070, 0.001, 0.060, 0.012, 0.001, 0.001, 0.000, 0.139, 0.000, 0.001)),
    ((0.019, 0.001, 0.000, 0.074, 0.000, 0.022, 0.000, 0.088, 0.128, 0.000, 0.122, 0.000),
     (0.372, 0.000, 0.014, 0.000, 0.000, 0.108, 0.000, 0.051, 0.000, 0.001, 0.000, 0.000)),
)  # fmt: skip
_UNHEARD = 0.01


def heard_key(chords: Sequence[ChordSpan]) -> Key:
    """Return the key in which major and minor triads such as these, in this order, are likeliest; C major for none."""
    holding, moves = np.log(np.array(_DEGREE_SHARES) + _UNHEARD).reshape(2, TRIADS), _move_logs()
    sounding = [span for span in chords if span.chord != NO_CHORD]
    scores = np.zeros(KEYS)
    for key in range(KEYS):
        mode, tonic = divmod(key, PITCH_CLASSES)
        triads = [span.chord.triad_above(tonic) for span in sounding]
        for span, triad in zip(sounding, triads, strict=True):
            scores[key] += (span.end_beat - span.start_beat) / _HOLDING_BEATS * holding[mode, triad]
        scores[key] += sum(moves[mode, before, after] for before, after in pairwise(triads) if before != after)
    return Key.from_index(int(scores.argmax()))


@cache
def _move_logs() -> Floats:
    """Return (2 modes, from, to) log probabilities of the next other triad."""
    counts = np.loadtxt(MOVES_FILE).reshape(2, TRIADS, TRIADS)
    common = counts.sum(axis=1) + 0.2
    pooled = counts + _POOLED_MOVES * (common / common.sum(axis=1, keepdims=True))[:, None]
    pooled *= 1.0 - np.eye(TRIADS)
    shares: Floats = pooled / pooled.sum(axis=2, keepdims=True)
    return np.log(np.maximum(shares, 1e-12))
