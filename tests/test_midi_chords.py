"""Held notes become chord names that the engine parses; fingers that land or leave unevenly do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.midi.chord_names import QUALITY_COSTS, chord_name
from bridge.midi.chords import ChordSettings, ChordState, step, without_port
from bridge.midi.messages import ControlCall, MidiMessage
from bridge.osc.contract import BY_ADDRESS
from engine.harmony import Chord
from tests.midi_support import message

NAMES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def notes(text: str) -> list[int]:
    """Return MIDI numbers of `C4 Eb4 G4`; C4 is 60."""
    accidentals = {"": 0, "#": 1, "b": -1}
    return [12 * (int(name[-1]) + 1) + NAMES[name[0]] + accidentals[name[1:-1]] for name in text.split()]


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ("C4 E4 G4", "C"),
        ("A3 C4 E4", "Am"),
        ("E3 G3 C4", "C/E"),
        ("C2 C3 E4 G4", "C"),
        ("C4 E4 G4 Bb4", "C7"),
        ("C4 E4 G4 B4", "Cmaj7"),
        ("A3 C4 E4 G4", "Am7"),
        ("C4 E4 G4 A4", "C6"),
        ("C4 E4 Bb4", "C7"),
        ("D4 G4 A4", "Dsus4"),
        ("D4 E4 A4", "Dsus2"),
        ("B3 D4 F4", "Bdim"),
        ("B3 D4 F4 A4", "Bm7b5"),
        ("D4 F4 A4 B4", "Dm6"),
        ("C4 Eb4 Gb4 A4", "Cdim7"),
        ("E4 G#4 C5", "Eaug"),
        ("C4 E4 G4 D5", "Cadd9"),
        ("C3 E4 G4 B4 D5", "Cmaj9"),
        ("D2 C4 E4 G4", "C/D"),
        ("D4 E4 G4 C5", "Cadd9/D"),
        ("G2 F4 A4 C5", "F/G"),
        ("C3 G3 C4", "C5"),
        ("F#3 A#3 C#4", "F#"),
        ("C#3 E3 G#3", "C#m"),
        ("Eb3 G3 Bb3", "Eb"),
    ],
)
def test_a_chord_is_named_as_a_player_would(held: str, name: str) -> None:
    assert chord_name(notes(held)) == name


@pytest.mark.parametrize("held", ["", "C4", "C4 G4", "C4 C5 C6", "C4 C#4 D4", "C4 E4 C5"])
def test_too_little_or_too_much_is_no_chord(held: str) -> None:
    assert chord_name(notes(held)) is None


@pytest.mark.parametrize("quality", QUALITY_COSTS)
@pytest.mark.parametrize("root", range(12))
def test_every_quality_on_every_root_is_named_such_that_the_engine_hears_the_same_notes(
    root: int, quality: str
) -> None:
    intervals = sorted((note - 0) % 12 for note in Chord.parse(f"C{quality}").pitch_classes)
    held = [48 + root + interval for interval in intervals]
    name = chord_name(held)
    assert name is not None
    chord = Chord.parse(name)
    assert set(chord.pitch_classes) | {chord.bass} == {note % 12 for note in held}
    assert chord.bass == held[0] % 12


@given(st.sets(st.integers(0, 127), max_size=8))
def test_a_name_never_claims_other_notes_than_are_held_but_for_a_fifth(held: set[int]) -> None:
    name = chord_name(held)
    if name is None:
        return
    chord = Chord.parse(name)
    pitch_classes = {note % 12 for note in held}
    assert chord.bass == min(held) % 12
    assert pitch_classes <= {*chord.pitch_classes, chord.bass}
    assert set(chord.pitch_classes) - pitch_classes <= {(chord.root + 7) % 12}


class Hand:
    """Plays notes and steps the parser every 5 ms, as the live session does."""

    def __init__(self, settings: ChordSettings | None = None) -> None:
        self.settings = settings
        self.state = ChordState()
        self.seconds = 0.0
        self.calls: list[ControlCall] = []

    def send(self, *messages: MidiMessage) -> None:
        calls, self.state = step(messages, self.seconds, self.state, self.settings)
        self.calls += calls

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.005)):
            self.seconds += 0.005
            self.send()

    def press(self, text: str, channel: int = 1) -> None:
        self.send(*(message(self.seconds, 0x90 + channel - 1, note, 90) for note in notes(text)))

    def let_go(self, text: str) -> None:
        self.send(*(message(self.seconds, 0x80, note, 0) for note in notes(text)))

    @property
    def chords(self) -> list[object]:
        return [call.arguments["chord"] for call in self.calls]


def test_a_chord_is_sent_once_it_has_been_held_for_30_ms() -> None:
    hand = Hand()
    hand.press("A3 C4 E4")
    hand.wait(0.025)
    assert hand.calls == []
    hand.wait(0.01)
    assert hand.calls == [ControlCall("/backline/control/chord", {"chord": "Am", "beat": -1.0}, 0.0)]
    hand.wait(2.0)
    assert len(hand.calls) == 1
    assert list(hand.calls[0].arguments) == [argument.name for argument in BY_ADDRESS[hand.calls[0].address].arguments]


def test_fingers_that_land_one_after_the_other_make_one_chord() -> None:
    hand = Hand()
    for name in ("A3", "C4", "E4", "G4"):
        hand.press(name)
        hand.wait(0.02)
    hand.wait(0.05)
    assert hand.chords == ["Am7"]


def test_fingers_that_leave_one_after_the_other_make_none_and_silence_keeps_the_chord() -> None:
    hand = Hand()
    hand.press("A3 C4 E4 G4")
    hand.wait(1.0)
    for name in ("A3", "G4", "C4", "E4"):
        hand.let_go(name)
        hand.wait(0.06)
    hand.wait(5.0)
    assert hand.chords == ["Am7"]
    assert not hand.state.held


def test_a_new_chord_over_the_last_ones_dying_fingers_is_heard() -> None:
    hand = Hand()
    hand.press("C4 E4 G4")
    hand.wait(1.0)
    hand.press("D4 F4 A4")
    hand.wait(0.05)
    hand.let_go("C4 E4 G4")
    hand.wait(0.1)
    assert hand.chords[-1] == "Dm"


def test_the_same_chord_again_is_not_sent_again() -> None:
    hand = Hand()
    for _ in range(3):
        hand.press("C4 E4 G4")
        hand.wait(0.2)
        hand.let_go("C4 E4 G4")
        hand.wait(0.2)
    assert hand.chords == ["C"]


def test_a_cluster_is_counted_and_changes_nothing() -> None:
    hand = Hand()
    hand.press("C4 C#4 D4")
    hand.wait(0.1)
    assert hand.calls == []
    assert hand.state.unnamed == 1


def test_drums_and_notes_outside_the_range_are_no_chord() -> None:
    hand = Hand(ChordSettings(highest_note=71))
    hand.press("C2 E2 G2", channel=10)
    hand.wait(0.1)
    hand.press("D3 F3 A3 C6")
    hand.wait(0.1)
    assert hand.chords == ["Dm"]


def test_one_channel_can_be_chosen() -> None:
    hand = Hand(ChordSettings(channel=3))
    hand.press("C4 E4 G4", channel=1)
    hand.press("D4 F4 A4", channel=3)
    hand.wait(0.1)
    assert hand.chords == ["Dm"]


def test_note_on_with_no_velocity_and_all_notes_off_let_go() -> None:
    hand = Hand()
    hand.press("C4 E4 G4")
    hand.wait(0.1)
    hand.send(message(hand.seconds, 0x90, 60, 0))
    assert len(hand.state.held) == 2
    hand.send(message(hand.seconds, 0xB0, 123, 0))
    assert not hand.state.held


def test_a_port_that_vanishes_lets_go_of_its_notes() -> None:
    hand = Hand()
    hand.press("C4 E4 G4")
    assert not without_port(hand.state, "desk").held
    assert without_port(hand.state, "another") == hand.state


def test_a_late_step_does_not_lose_a_chord_that_was_held_in_between() -> None:
    on = [message(0.0, 0x90, note, 90) for note in notes("C4 E4 G4")]
    off = [message(0.1, 0x80, note, 0) for note in notes("C4 E4 G4")]
    calls, _ = step([*on, *off], 0.5, ChordState())
    assert [call.arguments["chord"] for call in calls] == ["C"]


def test_broken_messages_are_counted() -> None:
    _, state = step([message(0.0, 0x90, 60), message(0.0, 0x90, 200, 3)], 0.1, ChordState())
    assert state.bad_messages == 2
    assert not state.held


@pytest.mark.parametrize("wrong", [{"channel": 17}, {"lowest_note": 80, "highest_note": 40}, {"settle_seconds": 9.0}])
def test_wrong_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        ChordSettings(**wrong)
