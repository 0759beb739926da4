from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from engine.chord_reader import (
    CHORD_CLASSES,
    PLACE_CHANNELS,
    QUALITIES,
    SLOTS,
    SUNG_CHANNELS,
    UNIT_CHANNELS,
    WINDOW_UNITS,
    ChordReader,
    chord_class,
    chord_of,
    nearest_quality,
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
SONG = [Chord.parse(name) for name in ("C", "G", "Am", "F") * 4]


class FirstNoteGraph:
    """Reads the major chord on the note that is sung first in each unit, or goes on; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        units = inputs["units"]
        assert units.shape[0] == 1
        assert units.shape[2] == UNIT_CHANNELS
        assert units.dtype == np.float32
        self.asked.append(units.shape[1])
        logits = np.zeros((1, units.shape[1], CHORD_CLASSES), np.float32)
        logits[0, :, :12] = 20.0 * units[0, :, :12]
        return {"logits": logits}


def channels(pitch: Array, signature: int = 0, heard: int | None = None) -> Array:
    beats = frame_beats(TIMELINE, 0, pitch.shape[1])
    units = harmonic_units(TIMELINE, float(beats[0]), float(beats[-1]))
    known = None if heard is None else np.arange(pitch.shape[1]) < heard
    return unit_channels(pitch, TIMELINE, beats, units, signature, known)


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
    assert steady_path(better, begins) == [0, 0, 0, 0]
    better[1:3, 3] = 0.7
    assert steady_path(better, begins) == [0, 3, 3, 0]
    better = np.zeros((4, CHORD_CLASSES))
    better[0, 0], better[2:, 5] = 3.0, 0.2  # more than a change on a bar line
    assert steady_path(better, begins) == [0, 0, 5, 5]


def test_long_songs_are_read_in_windows_and_short_ones_at_once() -> None:
    graph = FirstNoteGraph()
    chords = [Chord.parse(name) for name in ("C", "F", "G", "A")] * 80
    pitch = melody(chords, TIMELINE, 2)
    beats = frame_beats(TIMELINE, 0, pitch.shape[1])
    units = harmonic_units(TIMELINE, float(beats[0]), float(beats[-1]))
    found = steady_chords(ChordReader(graph).log_probabilities(channels(pitch)), units, 0)
    firsts = [chord.pitch_classes[2 * unit % 3] for unit, chord in enumerate(chords)]
    assert [chord.root for chord in found] == firsts
    assert max(graph.asked) == WINDOW_UNITS
    assert len(graph.asked) == 4
    ChordReader(graph).log_probabilities(channels(pitch[:, :500]))
    assert len(graph.asked) == 5


def test_a_harmoniser_with_a_reader_finds_the_chords_by_the_reader() -> None:
    pitch = melody(SONG, TIMELINE, 4)
    harmony = Harmoniser(rule_tables(), ChordReader(FirstNoteGraph())).harmonise(pitch, TIMELINE)
    assert harmony is not None
    assert harmony.key == Key.parse("C major")
    assert {span.chord.name.split(":")[1] for span in harmony.chords} == {"maj"}, "the graph knows no other"
    by_bar = [next(s.chord.root for s in harmony.chords if s.start_beat <= 4 * bar < s.end_beat) for bar in range(16)]
    firsts = [chord.pitch_classes[4 * bar % 3] for bar, chord in enumerate(SONG)]
    assert by_bar == firsts


def test_a_unit_alone_is_read() -> None:
    assert len(ChordReader(FirstNoteGraph()).log_probabilities(np.zeros((1, UNIT_CHANNELS), np.float32))) == 1
