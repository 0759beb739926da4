"""The key of a vocal: in which of the 24 do songs sing such notes over such chords?

Each key's score is the likelihood of all chord sequences in it (the forward algorithm over `engine.harmony_tables`).
A chord reader counts in twice: what it hears makes chords likelier or less so, and a signature in which it cannot tell
the chords is less likely to be the song's. The tables alone often take a minor key for its relative major, whose notes
are the same; the chords tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.chord_reader import chord_class
from engine.harmony import KEYS, PITCH_CLASSES, Key
from engine.harmony_tables import MODES, ChordState, Floats, HarmonyTables

CANDIDATE_NATS = 10.0
"""Keys that the tables alone have behind the best one by more are out: each other signature is a reading."""
READER_WEIGHT = 0.25
"""Weight of the reader's log probabilities beside the notes', which they were read from. Chosen, as `DOUBT_WEIGHT`,
on songs of the validation and train splits."""
DOUBT_WEIGHT = 0.5
_LEAST_PROBABILITY = 1e-3

Reading = Callable[[int], Floats]
"""Returns the (units, CHORD_CLASSES) log probabilities that a chord reader hears if a signature is taken as given."""


def key_scores(
    tables: HarmonyTables, sung: Floats, begins_bar: NDArray[np.bool_], reading: Reading | None = None
) -> Floats:
    """Return the log likelihood of each of the 24 keys, (24,); minus infinity for one that is out.

    Args:
        tables: statistics of songs.
        sung: (units, 12) from `engine.harmoniser.sung_beats`.
        begins_bar: (units,) whether a unit starts on a bar line.
        reading: what a chord reader hears; None without one.
    """
    likelihoods = unit_likelihoods(tables, sung)
    scores = _forward_scores(tables, likelihoods, begins_bar)
    if reading is None:
        return scores
    near = np.flatnonzero(scores > scores.max() - CANDIDATE_NATS)
    candidates = {Key.from_index(int(index)).signature for index in near}
    classes = _classes_of(tables.states)
    handicaps = np.full((len(MODES), PITCH_CLASSES), -np.inf)
    for signature in candidates:
        logs = reading(signature)
        heard = READER_WEIGHT * np.logaddexp(logs, np.log(_LEAST_PROBABILITY))
        doubt = -float((np.exp(logs) * logs).sum())
        for mode, tonic in enumerate((signature, _relative_minor(signature))):
            likelihoods[:, mode, tonic] += heard[:, classes[mode]]
            handicaps[mode, tonic] = -DOUBT_WEIGHT * doubt
    return _forward_scores(tables, likelihoods, begins_bar) + handicaps.reshape(KEYS)


def unit_likelihoods(tables: HarmonyTables, sung: Floats) -> Floats:
    """Return log likelihoods (units, 2 modes, 12 tonics, states) of what is sung: a key is a rotation of chroma."""
    relative = sung[:, (np.arange(PITCH_CLASSES)[:, None] + np.arange(PITCH_CLASSES)) % PITCH_CLASSES]
    logs = np.log(tables.emission).reshape(-1, PITCH_CLASSES)
    products = tables.evidence * relative.reshape(-1, PITCH_CLASSES) @ logs.T
    by_mode = products.reshape(len(sung), PITCH_CLASSES, len(MODES), len(tables.states))
    return np.ascontiguousarray(by_mode.transpose(0, 2, 1, 3))


def _forward_scores(tables: HarmonyTables, likelihoods: Floats, begins_bar: NDArray[np.bool_]) -> Floats:
    """Return the log likelihood of each of the 24 keys: the forward algorithm in all keys at once."""
    peaks = likelihoods.max(axis=3)
    emitted = np.exp(likelihoods - peaks[..., None])
    scores = np.log(tables.mode_prior)[:, None] + peaks.sum(axis=0)
    forward = tables.first[:, None] * emitted[0]
    for unit in range(len(likelihoods)):
        if unit:
            forward = forward @ tables.transition[:, int(begins_bar[unit])] * emitted[unit]
        total = forward.sum(axis=2)
        scores += np.log(total)
        forward /= total[..., None]
    return scores.reshape(KEYS)


@cache
def _classes_of(states: tuple[ChordState, ...]) -> NDArray[np.intp]:
    """Return (2 modes, states) the reader's class of each state, in the major and the minor key of one signature."""
    tonics = (0, _relative_minor(0))
    return np.array([[chord_class(state.chord_in(tonic), signature=0) for state in states] for tonic in tonics])


def _relative_minor(signature: int) -> int:
    """Return the tonic of the minor key with the notes of the major key on `signature`."""
    return (signature + 9) % PITCH_CLASSES
