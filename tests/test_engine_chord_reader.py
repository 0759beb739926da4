from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from engine.chord_classes import CHORD_CLASSES, QUALITIES, chord_class, chord_of, nearest_quality, shared_notes
from engine.chord_habits import ChordHabits
from engine.chord_reader import (
    PLACE_CHANNELS,
    SLOTS,
    SUNG_CHANNELS,
    UNIT_CHANNELS,
    WINDOW_UNITS,
    ChordReader,
    seen_from,
    steady_chords,
    steady_path,
    unit_channels,
)
from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmoniser import Harmoniser
from engine.harmony import Chord, Key
from engine.runtime import Array
from engine.timeline import Timeline
from tests.harmony_support import melody, rule_tables

TIMELINE = Timeline.constant(100)
NO_MOVES = np.zeros((CHORD_CLASSES, CHORD_CLASSES))
SONG = [Chord.parse(name) for name in ("C", "G", "Am", "F") * 4]


class FirstNoteGraph:
    """Reads the major chord on the note that is sung first in each unit, in minor the minor chord, or goes on, and the
    major key on the note that is sung first most often; counts what it is asked.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        units = inputs["units"]
        assert units.shape[2] == UNIT_CHANNELS
        assert units.dtype == np.float32
        self.asked.append(units.shape[1])
        chords = np.zeros((*units.shape[:2], 2, CHORD_CLASSES), np.float32)
        chords[:, :, 0, :12] = chords[:, :, 1, 12:24] = 20.0 * units[:, :, :12]
        return {"chords": chords, "keys": np.stack([units[:, :, 0].sum(axis=1), -np.ones(len(units))], axis=1)}


def channels(pitch: Array, signature: int = 0, heard: int | None = None) -> Array:
    beats = frame_beats(TIMELINE, 0, pitch.shape[1])
    units = harmonic_units(TIMELINE, float(beats[0]), float(beats[-1]))
    known = None if heard is None else np.arange(pitch.shape[1]) < heard
    return seen_from(unit_channels(pitch, TIMELINE, beats, units, known), signature)


@pytest.mark.parametrize("signature", [0, 5, 11])
@pytest.mark.parametrize("label", ["C", "F#m", "Bb7", "Em7", "Dbmaj7", "Gsus4", "Bdim"])
def test_each_class_is_a_chord_and_back(label: str, signature: int) -> None:
    chord = Chord.parse(label)
    quality = label.lstrip("ABCDEFG#b") if label != "F#m" else "min"
    quality = {"": "maj", "m7": "min7"}.get(quality, quality)
    number = chord_class(chord, signature)
    assert number // 12 == QUALITIES.index(quality)
    again = chord_of(number, signature)
    assert (again.root, again.pitch_classes) == (chord.root, chord.pitch_classes)
    assert 0 <= number < CHORD_CLASSES == 12 * len(QUALITIES)
    assert chord_class(Chord.parse("N"), signature) == -1


@pytest.mark.parametrize(
    ("label", "quality"),
    [
        ("D", "maj"),
        ("Dm", "min"),
        ("D9", "7"),
        ("Dm9", "min7"),
        ("Dmaj9", "maj7"),
        ("D7sus4", "sus4"),
        ("Ddim", "dim"),
    ],
)
def test_rich_chords_go_to_the_nearest_quality(label: str, quality: str) -> None:
    assert nearest_quality(Chord.parse(label)) == quality


@pytest.mark.parametrize(("label", "quality"), [("C6", "maj"), ("Dm9", "min7"), ("G13", "7"), ("Bm7b5", "dim")])
def test_rich_chords_are_learned_as_the_nearest_quality(label: str, quality: str) -> None:
    assert nearest_quality(Chord.parse(label)) in {quality, "min7" if quality == "dim" else quality}


def test_channels_say_what_is_sung_where_in_the_unit_and_what_was_heard() -> None:
    pitch = melody([Chord.parse("C"), Chord.parse("G")], TIMELINE, 2)  # C E | B D, a beat each
    found = channels(pitch)
    assert found.shape == (2, UNIT_CHANNELS)
    sung = found[:, :SUNG_CHANNELS].reshape(2, SLOTS, 12)
    assert [[int(slot.argmax()) for slot in unit] for unit in sung] == [[0, 0, 4, 4], [11, 11, 2, 2]]
    np.testing.assert_allclose(sung.sum(axis=2)[0, 0], 0.9, atol=0.1)
    place = found[:, SUNG_CHANNELS : SUNG_CHANNELS + PLACE_CHANNELS]
    np.testing.assert_allclose(place[:, :3], [[1.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    assert place[0, 3:].min() > 0.85


def test_another_key_is_the_same_song_turned() -> None:
    pitch = melody(SONG, TIMELINE, 4)
    higher = np.concatenate([np.roll(pitch[:12], 5, axis=0), pitch[12:]])
    np.testing.assert_array_equal(channels(pitch), channels(higher, signature=5))


def test_what_was_not_heard_is_not_seen() -> None:
    pitch = melody(SONG, TIMELINE, 4)
    frames = pitch.shape[1] // 2
    told, silent = channels(pitch, heard=frames), pitch.copy()
    silent[:, frames:] = 0.0
    np.testing.assert_array_equal(told[:, :SUNG_CHANNELS], channels(silent)[:, :SUNG_CHANNELS])
    assert not told[17:, SUNG_CHANNELS + 3 : SUNG_CHANNELS + PLACE_CHANNELS].any()
    assert told[:15, SUNG_CHANNELS + 3 : SUNG_CHANNELS + PLACE_CHANNELS].min() > 0.8


def test_a_change_costs_and_costs_twice_within_a_bar() -> None:
    begins = np.array([True, False, True, False])
    better = np.zeros((4, CHORD_CLASSES))
    better[0, 0] = better[3, 0] = 3.0
    better[1:3, 3] = 0.5  # less than the two changes within bars, there and back
    assert steady_path(better, begins, NO_MOVES) == [0, 0, 0, 0]
    better[1:3, 3] = 0.7
    assert steady_path(better, begins, NO_MOVES) == [0, 3, 3, 0]
    better = np.zeros((4, CHORD_CLASSES))
    better[0, 0], better[2:, 5] = 3.0, 0.2  # more than a change on a bar line
    assert steady_path(better, begins, NO_MOVES) == [0, 0, 5, 5]


def test_a_usual_change_is_taken_before_one_as_likely_and_never_instead_of_what_is_sung() -> None:
    begins = np.array([True, True])
    sung = np.zeros((2, CHORD_CLASSES))
    sung[0, 0] = sung[1, 5] = sung[1, 7] = 3.0
    usual = NO_MOVES.copy()
    usual[0, 7] = 0.5
    assert steady_path(sung, begins, usual) == [0, 7]
    usual[0, 5] = 0.6
    assert steady_path(sung, begins, usual) == [0, 5]
    usual[0, 9] = 2.0
    assert steady_path(sung, begins, usual) == [0, 5]


def test_habits_are_those_of_the_songs_counted() -> None:
    habits = ChordHabits.of(rule_tables())
    assert habits.degrees.shape == (2, CHORD_CLASSES)
    assert habits.moves.shape == (2, CHORD_CLASSES, CHORD_CLASSES)
    assert np.isfinite(habits.moves).all()
    assert not habits.moves[:, np.arange(CHORD_CLASSES), np.arange(CHORD_CLASSES)].any()
    tables = rule_tables()
    for mode, key in enumerate((Key.parse("C major"), Key.parse("A minor"))):  # both are seen from C
        best = [int(number) for number in habits.degrees[mode].argsort()[::-1][:3]]
        used = {chord_class(state.chord_in(key.tonic), 0) for state in tables.states}
        assert set(best) <= used


@pytest.mark.parametrize("label", ["C major", "E major"])
def test_a_given_key_is_heard_where_the_reader_is_in_doubt(label: str) -> None:
    """The graph reads the chords on the notes sung, in whatever key; in doubt those of the key given are taken."""

    class Doubting(FirstNoteGraph):
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            found = super().run(inputs)
            return {**found, "chords": 0.05 * found["chords"]}

    key, pitch = Key.parse(label), melody(SONG, TIMELINE, 4)
    harmony = Harmoniser(rule_tables(), ChordReader(Doubting(), rule_tables())).harmonise(pitch, TIMELINE, key=key)
    assert harmony is not None
    roots = {span.chord.root for span in harmony.chords}
    assert roots <= {(key.tonic + degree) % 12 for degree in (0, 2, 4, 5, 7, 9, 11)}


def test_long_songs_are_read_in_windows_and_short_ones_at_once() -> None:
    graph = FirstNoteGraph()
    chords = [Chord.parse(name) for name in ("C", "F", "G", "A")] * 80
    pitch = melody(chords, TIMELINE, 2)
    beats = frame_beats(TIMELINE, 0, pitch.shape[1])
    units = harmonic_units(TIMELINE, float(beats[0]), float(beats[-1]))
    reader = ChordReader(graph, rule_tables())
    found = steady_chords(reader.read(channels(pitch)[None]).chords[0, :, 0], units, 0, NO_MOVES)
    firsts = [chord.pitch_classes[2 * unit % 3] for unit, chord in enumerate(chords)]
    assert [chord.root for chord in found] == firsts
    assert max(graph.asked) == WINDOW_UNITS
    assert len(graph.asked) == 4
    reader.read(channels(pitch[:, :500])[None])
    assert len(graph.asked) == 5


@pytest.mark.parametrize(
    ("given", "key", "quality"),
    [(None, "C major", "maj"), ("C major", "C major", "maj"), ("A minor", "A minor", "min")],
)
def test_a_harmoniser_with_a_reader_finds_the_chords_of_the_key_by_the_reader(
    given: str | None, key: str, quality: str
) -> None:
    pitch = melody(SONG, TIMELINE, 4)
    asked = Key.parse(given) if given else None
    reader = ChordReader(FirstNoteGraph(), rule_tables())
    harmony = Harmoniser(rule_tables(), reader).harmonise(pitch, TIMELINE, key=asked)
    assert harmony is not None
    assert harmony.key == Key.parse(key)
    assert {span.chord.name.split(":")[1] for span in harmony.chords} == {quality}, "the graph knows no other"
    by_bar = [next(s.chord.root for s in harmony.chords if s.start_beat <= 4 * bar < s.end_beat) for bar in range(16)]
    firsts = [chord.pitch_classes[4 * bar % 3] for bar, chord in enumerate(SONG)]
    assert by_bar == firsts


def test_a_unit_alone_is_read() -> None:
    found = ChordReader(FirstNoteGraph(), rule_tables()).read(np.zeros((1, 1, UNIT_CHANNELS), np.float32))
    assert found.chords.shape == (1, 1, 2, CHORD_CLASSES)
    assert found.keys.tolist() == [[0.0, -1.0]]


class UndecidedGraph:
    """Thinks of C, a little less of A minor and F, everywhere."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        units = inputs["units"]
        chances = np.full((*units.shape[:2], 2, CHORD_CLASSES), 1e-4, np.float32)
        for label, chance in (("C", 0.36), ("Am", 0.32), ("F", 0.32)):
            chances[..., chord_class(Chord.parse(label), 0)] = chance
        return {"chords": np.log(chances), "keys": np.zeros((len(units), 2), np.float32)}


def test_where_nothing_was_heard_the_chord_is_played_that_clashes_least() -> None:
    assert shared_notes().diagonal().tolist() == [1.0] * CHORD_CLASSES
    c_major, a_minor = (chord_class(Chord.parse(label), 0) for label in ("C", "Am"))
    assert shared_notes()[c_major, a_minor] == pytest.approx(2 / 3)
    tables = rule_tables()
    quiet = ChordHabits(np.zeros((2, CHORD_CLASSES)), np.zeros((2, CHORD_CLASSES, CHORD_CLASSES)))
    reader = ChordReader(UndecidedGraph(), tables)
    reader.habits = quiet
    pitch = melody(SONG[:4], TIMELINE, 4.0)
    heard = np.arange(pitch.shape[1]) < pitch.shape[1] // 2
    harmony = Harmoniser(tables, reader).harmonise(pitch * heard, TIMELINE, key=Key.parse("C"), heard=heard)
    assert harmony is not None
    assert [span.chord.root for span in harmony.chords] == [0, 9], "A minor has two notes of each of the others"
