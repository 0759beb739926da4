from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.chord_reader import CHORD_CLASSES, chord_class
from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmoniser import sung_beats
from engine.harmony import Chord, Key
from engine.timeline import Timeline
from engine.vocal_key import CANDIDATE_NATS, key_scores
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


def hearing(*chords: str, sure: float = 0.95) -> Callable[[int], Floats]:
    """Return a reading that hears `chords`, two units each, whatever the signature."""

    def reading(signature: int) -> Floats:
        shares = np.full((2 * len(chords), CHORD_CLASSES), (1.0 - sure) / (CHORD_CLASSES - 1))
        for unit in range(len(shares)):
            shares[unit, chord_class(Chord.parse(chords[unit // 2]), signature)] = sure
        return np.log(shares)

    return reading


def best(scores: Floats) -> Key:
    return Key.from_index(int(scores.argmax()))


@pytest.mark.parametrize(
    ("heard", "key"),
    [(("C", "G", "C", "C") * 2, "C major"), (("Am", "Dm", "Am", "Am") * 2, "A minor")],
)
def test_the_chords_that_are_heard_tell_a_key_from_its_relative(heard: tuple[str, ...], key: str) -> None:
    sung, begins_bar = notes_of(*("C", "Am") * 4)
    without = key_scores(TABLES, sung, begins_bar)
    assert best(without).signature == 0
    found = key_scores(TABLES, sung, begins_bar, hearing(*heard))
    assert best(found) == Key.parse(key)
    relative = Key.parse("A minor" if key == "C major" else "C major")
    margin = [scores[Key.parse(key).index] - scores[relative.index] for scores in (without, found)]
    assert margin[1] > margin[0] + 0.5


def test_a_signature_in_which_the_chords_are_unclear_is_less_likely() -> None:
    chords = ("C", "G", "C", "G") * 2  # in C and in G
    sung, begins_bar = notes_of(*chords)
    without = key_scores(TABLES, sung, begins_bar)
    assert abs(without[Key.parse("C major").index] - without[Key.parse("G major").index]) < CANDIDATE_NATS
    for sure_of in (0, 7):
        found = key_scores(
            TABLES,
            sung,
            begins_bar,
            lambda signature: hearing(*chords, sure=0.95 if signature == sure_of else 0.3)(signature),  # noqa: B023
        )
        assert best(found) == Key(sure_of)


def test_only_keys_that_may_be_it_are_read_and_the_others_are_out() -> None:
    sung, begins_bar = notes_of(*("C", "F", "G", "C") * 4)
    asked: list[int] = []

    def reading(signature: int) -> Floats:
        asked.append(signature)
        return hearing(*("C", "F", "G", "C") * 4)(signature)

    scores = key_scores(TABLES, sung, begins_bar, reading)
    assert best(scores) == Key(0)
    assert 1 <= len(asked) == len(set(asked)) < 6
    signatures = {Key.from_index(int(index)).signature for index in np.flatnonzero(np.isfinite(scores))}
    assert signatures == set(asked)
