"""The key of a vocal: in which of the 24 do songs sing such notes?

Without a chord reader, each key's score is the likelihood of all chord sequences in it (the forward algorithm over
`engine.harmony_tables`). That finds the notes of the key, but often takes a minor key for its relative major, whose
notes are the same; a reader, which hears the song as a whole, tells the likely ones apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.harmony import KEYS, PITCH_CLASSES
from engine.harmony_tables import MODES, Floats, HarmonyTables

CANDIDATE_NATS = 10.0
"""Keys that the tables alone have behind the best one by more are out: each other signature is a reading."""
CANDIDATES = 3
"""Signatures that are read at most, so that a vocal without a clear key takes no longer than others."""


def key_scores(tables: HarmonyTables, sung: Floats, begins_bar: NDArray[np.bool_]) -> Floats:
    """Return the log likelihood of each of the 24 keys by the tables, (24,).

    Args:
        tables: statistics of songs.
        sung: (units, 12) from `engine.harmoniser.sung_beats`.
        begins_bar: (units,) whether a unit starts on a bar line.
    """
    return _forward_scores(tables, unit_likelihoods(tables, sung), begins_bar).reshape(KEYS)


def likely_signatures(scores: Floats) -> list[int]:
    """Return the signatures, the likeliest first, that `key_scores` leave as the song's."""
    best = np.maximum(scores[:PITCH_CLASSES], scores[PITCH_CLASSES + _relative_minor(np.arange(PITCH_CLASSES))])
    order = np.argsort(-best)[:CANDIDATES]
    return [int(signature) for signature in order[best[order] > best.max() - CANDIDATE_NATS]]


def read_scores(signatures: Sequence[int], heard: Floats) -> Floats:
    """Return the logarithm of how likely each of the 24 keys is, (24,); minus infinity for those not heard of.

    Args:
        signatures: those that were read.
        heard: (signatures, 2) from `engine.chord_reader.ChordReading.keys`.
    """
    tonics = np.array(signatures)
    scores = np.full(KEYS, -np.inf)
    scores[tonics], scores[PITCH_CLASSES + _relative_minor(tonics)] = heard.T
    return scores


def unit_likelihoods(tables: HarmonyTables, sung: Floats) -> Floats:
    """Return log likelihoods (units, 2 modes, 12 tonics, states) of what is sung: a key is a rotation of chroma."""
    relative = sung[:, (np.arange(PITCH_CLASSES)[:, None] + np.arange(PITCH_CLASSES)) % PITCH_CLASSES]
    logs = np.log(tables.emission).reshape(-1, PITCH_CLASSES)
    products = tables.evidence * relative.reshape(-1, PITCH_CLASSES) @ logs.T
    by_mode = products.reshape(len(sung), PITCH_CLASSES, len(MODES), len(tables.states))
    return np.ascontiguousarray(by_mode.transpose(0, 2, 1, 3))


def _forward_scores(tables: HarmonyTables, likelihoods: Floats, begins_bar: NDArray[np.bool_]) -> Floats:
    """Return the log likelihood (2 modes, 12 tonics) of each key: the forward algorithm in all of them at once."""
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
    return scores


def _relative_minor(signatures: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the tonics of the minor keys with the notes of the major keys on `signatures`."""
    return (signatures + 9) % PITCH_CLASSES
