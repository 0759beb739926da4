import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmoniser import Harmoniser, Harmony
from engine.harmony import Chord, Key
from engine.harmony_tables import ChordState, HarmonyTables
from engine.timeline import Timeline
from tests.harmony_support import STATES, melody, rule_tables

TABLES = rule_tables()
HARMONISER = Harmoniser(TABLES)
TIMELINE = Timeline.constant(100)
I_V_VI_IV = ((0, "maj"), (7, "maj"), (9, "min"), (5, "maj"))


def song(tonic: int) -> list[Chord]:
    return [ChordState(degree, quality).chord_in(tonic) for degree, quality in I_V_VI_IV * 4]


def read(pitch: np.ndarray[Any, np.dtype[np.float32]], key: Key | None = None, start_frame: int = 0) -> Harmony:
    harmony = HARMONISER.harmonise(pitch, TIMELINE, start_frame, key)
    assert harmony is not None
    return harmony


def chord_at(harmony: Harmony, beat: float) -> Chord:
    return next(span.chord for span in harmony.chords if span.start_beat <= beat < span.end_beat)


def share_right(harmony: Harmony, chords: list[Chord], from_beat: float = 0.0) -> float:
    hits = [
        chord_at(harmony, 4 * bar + 2 * half).pitch_classes == chord.pitch_classes
        for bar, chord in enumerate(chords)
        for half in (0, 1)
        if 4 * bar + 2 * half >= from_beat
    ]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("tonic", [0, 3, 6, 10])
def test_a_melody_of_chord_tones_gives_its_key_and_chords(tonic: int) -> None:
    harmony = read(melody(song(tonic), TIMELINE, 4))
    assert harmony.key == Key(tonic)
    assert 1 / 24 < harmony.confidence <= 1
    assert share_right(harmony, song(tonic)) >= 0.9


@pytest.mark.parametrize("steps", [1, 5, 11])
def test_a_transposed_melody_gives_the_transposed_harmony(steps: int) -> None:
    pitch = melody(song(0), TIMELINE, 4)
    pitch[:12] += np.random.default_rng(0).uniform(0, 0.2, pitch[:12].shape).astype(np.float32)
    moved = np.concatenate([np.roll(pitch[:12], steps, axis=0), pitch[12:]])
    first, second = read(pitch), read(moved)
    assert second.key == Key((first.key.tonic + steps) % 12, first.key.minor)
    assert second.confidence == pytest.approx(first.confidence)
    assert len(first.chords) == len(second.chords) > 1
    for before, after in zip(first.chords, second.chords, strict=True):
        assert (before.start_beat, before.end_beat) == (after.start_beat, after.end_beat)
        assert after.chord.root == after.chord.bass == (before.chord.root + steps) % 12


def test_silence_has_no_harmony_and_a_wrong_shape_is_refused() -> None:
    assert HARMONISER.harmonise(np.zeros((14, 300), np.float32), TIMELINE) is None
    assert HARMONISER.harmonise(np.zeros((14, 0), np.float32), TIMELINE) is None
    with pytest.raises(ValueError, match=r"pitch has shape \(12, 300\)"):
        HARMONISER.harmonise(np.zeros((12, 300), np.float32), TIMELINE)


def test_a_given_key_is_kept_and_bends_the_chords_to_it() -> None:
    pitch = melody(song(0), TIMELINE, 4)
    heard, given = read(pitch), read(pitch, Key(9, minor=True))
    assert given.key == Key(9, minor=True)
    assert given.confidence == 1.0
    assert read(pitch, heard.key).chords == heard.chords
    assert read(pitch, Key(6)).chords != heard.chords


def test_rests_carry_on_with_chords_of_the_key() -> None:
    pitch = melody(song(2), TIMELINE, 4)
    rest = slice(pitch.shape[1] // 2, None)
    pitch[:, rest] = 0.0
    harmony = read(pitch)
    scale = {(2 + note) % 12 for note in (0, 2, 4, 5, 7, 9, 11)}
    assert harmony.chords[-1].end_beat == 64
    assert all({*span.chord.pitch_classes} <= scale for span in harmony.chords)


def test_a_bonus_for_changes_makes_chords_move_on_bar_lines_where_little_is_sung() -> None:
    pitch = 0.02 * melody(song(0), TIMELINE, 4)
    still, moving = (Harmoniser(replace(TABLES, change_bonus=bonus)).harmonise(pitch, TIMELINE) for bonus in (0.0, 2.2))
    assert still is not None
    assert moving is not None
    assert len(moving.chords) > len(still.chords)
    assert all(span.start_beat % 4 == 0 for span in moving.chords)


def test_a_prefix_has_a_harmony_and_a_later_start_lies_where_the_song_does() -> None:
    pitch = melody(song(7), TIMELINE, 4)
    prefix = read(pitch[:, :300])
    assert share_right(prefix, song(7)[: int(prefix.chords[-1].end_beat // 4)]) >= 0.8
    later = read(pitch[:, 250:], start_frame=250)
    first_beat = float(frame_beats(TIMELINE, 250, 1)[0])
    assert later.chords[0].start_beat == 2 * (first_beat // 2)
    assert share_right(later, song(7), from_beat=later.chords[0].start_beat) >= 0.8


@pytest.mark.parametrize(
    ("timeline", "unit_beats"),
    [
        (Timeline.constant(120), (2.0,)),
        (Timeline.constant(90, 3, 4), (3.0,)),
        (Timeline.constant(70, 6, 8), (3.0,)),
        (Timeline.constant(150, 5, 4), (5.0,)),
        (Timeline.constant(150, 7, 8), (3.5,)),
        (Timeline.constant(90, 12, 8), (3.0,)),
        (Timeline(((0, 100), (10, 55.5)), ((0, 4, 4), (8, 3, 4)), first_beat_sample=30_000), (2.0, 3.0)),
    ],
)
def test_chords_cover_the_song_without_a_gap_and_change_on_unit_borders_alone(
    timeline: Timeline, unit_beats: tuple[float, ...]
) -> None:
    pitch = np.random.default_rng(1).uniform(0, 0.3, (14, 700)).astype(np.float32)
    harmony = HARMONISER.harmonise(pitch, timeline)
    assert harmony is not None
    beats = frame_beats(timeline, 0, 700)
    units = harmonic_units(timeline, beats[0], beats[-1])
    assert {*np.diff(units.borders).tolist()} == {*unit_beats}
    for border, begins_bar in zip(units.borders, units.begins_bar, strict=False):
        assert begins_bar == (timeline.beat_at_bar(timeline.bar_at_beat(border)) == border)
    assert harmony.chords[0].start_beat <= beats[0]
    assert harmony.chords[-1].end_beat > beats[-1]
    for before, after in zip(harmony.chords, harmony.chords[1:], strict=False):
        assert before.end_beat == after.start_beat
        assert before.chord != after.chord
    assert {span.start_beat for span in harmony.chords} <= {*units.borders.tolist()}


def test_reading_is_fast_and_repeats() -> None:
    pitch = np.random.default_rng(2).uniform(0, 0.3, (14, 12_920)).astype(np.float32)
    start = time.perf_counter()
    first = read(pitch)
    assert time.perf_counter() - start < 5.0, "ten minutes of song; a fifth of a second on an idle core"
    assert read(pitch) == first


def test_tables_survive_a_round_trip_as_json() -> None:
    facts = json.loads(json.dumps(TABLES.to_dict()))
    again = HarmonyTables.from_dict(facts)
    assert again.to_dict() == TABLES.to_dict()
    assert again.states == STATES
    np.testing.assert_allclose(again.transition, TABLES.transition, rtol=1e-4)
    pitch = melody(song(4), TIMELINE, 4)
    assert Harmoniser(again).harmonise(pitch, TIMELINE).chords == read(pitch).chords  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda facts: facts.pop("emission"), "missing or wrong"),
        (lambda facts: facts.update(first=[1.0, 2.0]), "missing or wrong"),
        (lambda facts: facts.update(mode_prior="0.5 0.3"), "sum to 1"),
        (lambda facts: facts.update(mode_prior="0.5 0.25 0.25"), "shape"),
        (lambda facts: facts.update(mode_prior="1 0"), "not above 0"),
        (lambda facts: facts.update(mode_prior="nan 1"), "not above 0"),
        (lambda facts: facts.update(mode_prior="half half"), "half"),
        (lambda facts: facts["first"].pop(), "shape"),
        (lambda facts: facts["states"].pop(), "shape"),
        (lambda facts: facts["states"].__setitem__(1, facts["states"][0]), "different"),
        (lambda facts: facts["states"].__setitem__(0, "12:maj"), "degree 12"),
        (lambda facts: facts["states"].__setitem__(0, "0:polka"), "polka"),
        (lambda facts: facts.update(evidence=0), "evidence"),
        (lambda facts: facts.update(beat_accent=-1), "beat_accent"),
        (lambda facts: facts.pop("change_bonus"), "missing or wrong"),
        (lambda facts: facts.update(evidence=float("inf")), "evidence"),
    ],
)
def test_damaged_tables_are_refused(damage: Callable[[dict[str, Any]], object], words: str) -> None:
    facts = json.loads(json.dumps(TABLES.to_dict()))
    damage(facts)
    with pytest.raises(ValueError, match=words):
        HarmonyTables.from_dict(facts)
