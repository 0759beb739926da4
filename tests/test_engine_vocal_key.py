from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmoniser import sung_beats
from engine.harmony import Chord, Key
from engine.timeline import Timeline
from engine.vocal_key import CANDIDATE_NATS, CANDIDATES, key_scores, likely_signatures, read_scores
from tests.harmony_support import melody, rule_tables

TABLES = rule_tables()
TIMELINE = Timeline.constant(100)
Floats = NDArray[np.float64]


def notes_of(*chords: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what a voice sings over four bars of `chords`, and which units begin a bar."""
    pitch = melody([Chord.parse(name) for name in chords], TIMELINE, 4)
    beats = frame_beats(TIMELINE, 0, pitch.shape[1])
    units = harmonic_units(TIMELINE, float(beats[0]), float(beats[-1]))
    return sung_beats(pitch, TIMELINE, beats, units, TABLES.beat_accent), units.begins_bar


def best(scores: Floats) -> Key:
    return Key.from_index(int(scores.argmax()))


def test_the_tables_find_the_notes_of_the_key() -> None:
    scores = key_scores(TABLES, *notes_of(*("C", "F", "G", "Am") * 4))
    assert best(scores).signature == likely_signatures(scores)[0] == 0


def test_only_signatures_that_may_be_it_are_left() -> None:
    scores = key_scores(TABLES, *notes_of(*("C", "G", "C", "G") * 2))  # in C and in G
    assert {0, 7} <= set(likely_signatures(scores))
    near = np.maximum(scores[:12], scores[12 + (np.arange(12) + 9) % 12])
    for signature in likely_signatures(scores):
        assert near[signature] > scores.max() - CANDIDATE_NATS
    assert likely_signatures(key_scores(TABLES, *notes_of(*("C", "F", "G", "C") * 8))) == [0]


def test_a_vocal_in_no_key_leaves_no_more_than_others() -> None:
    signatures = likely_signatures(key_scores(TABLES, np.ones((2, 12)), np.ones(2, np.bool_)))
    assert len(set(signatures)) == CANDIDATES


@pytest.mark.parametrize("heard", ["C major", "A minor", "G major", "E minor"])
def test_what_was_read_tells_a_key_from_its_relative_and_its_neighbour(heard: str) -> None:
    key = Key.parse(heard)
    keys = np.zeros((2, 2))
    keys[[0, 7].index(key.signature), int(key.minor)] = 3.0
    scores = read_scores([0, 7], keys)
    assert best(scores) == key
    assert np.isfinite(scores).sum() == 4
    assert {Key.from_index(int(index)).signature for index in np.flatnonzero(np.isfinite(scores))} == {0, 7}
