"""The arranger listens: energy follows the voice, fills and answers stand where it rests."""

from dataclasses import replace

import numpy as np
import pytest

from engine.styles import STYLES
from training.corpus.composer import compose
from training.corpus.humanise import Feel
from training.corpus.notes import Note, Part
from training.corpus.response import ANSWER_REST_BEATS, Rest, answering_part, rests_of, sung_bars
from training.corpus.score import Bar, Metre, Score, bars_of, chord_index_at
from training.corpus.theory import make_chord

FEEL = Feel(100.0, jitter_seconds=0.0, velocity_jitter=0.0)


def note(start_beat: float, duration_beats: float, pitch: int = 67) -> Note:
    return Note(start_beat, duration_beats, pitch, 90)


def score_of(*melody: Note, bars: int = 8) -> Score:
    chords = tuple(make_chord(4.0 * bar, 4.0 * bar + 4.0, (0, 9, 5, 7)[bar % 4], "maj") for bar in range(bars))
    ends = tuple(8.0 * phrase for phrase in range(1, bars // 2 + 1))
    sections = ((0.0, 4.0 * bars, "verse"),)
    return Score("made", "composer", Metre(4, 4), 100.0, 0, "major", melody, chords, sections, ends, 4.0 * bars)


def listened(score: Score, seed: int) -> list[Bar]:
    return sung_bars(bars_of(score), score.melody, score.length_beats, np.random.default_rng(seed))


def test_rests_are_what_lies_between_the_notes_and_after_the_last() -> None:
    melody = (note(4, 2), note(6, 1), note(10, 1.5), note(12, 4))
    assert rests_of(melody, 20.0, 1.0) == (Rest(7, 10), Rest(16, 20))
    assert rests_of(melody, 20.0, 3.5) == (Rest(16, 20),)
    assert rests_of((), 8.0, 1.0) == ()


def test_energy_rises_with_the_voice() -> None:
    low = [note(4.0 * bar, 3.9, 60) for bar in range(4)]
    high = [note(4.0 * bar, 3.9, 74) for bar in range(4, 8)]
    bars = listened(score_of(*low, *high), 1)
    assert max(bar.energy for bar in bars[:4]) < min(bar.energy for bar in bars[4:]) - 0.2


def test_fills_stand_where_the_voice_leaves_room() -> None:
    free = [note(4.0 * bar, 2.5) for bar in range(8)]
    full = [note(4.0 * bar, 4.0) for bar in range(8)]
    closed = {name: np.zeros(8) for name in ("free", "full")}
    for seed in range(200):
        for name, melody in (("free", free), ("full", full)):
            closed[name] += [bar.closes_phrase for bar in listened(score_of(*melody), seed)]
    between, ends = slice(0, 8, 2), slice(1, 8, 2)
    assert closed["free"][ends] == pytest.approx(200)
    assert closed["free"][between] == pytest.approx(40, abs=25)
    assert closed["full"][ends] == pytest.approx(60, abs=28)
    assert closed["full"][between] == pytest.approx(0)


def test_some_bands_thin_out_where_the_voice_rests_and_others_do_not() -> None:
    score = score_of(*(note(4.0 * bar, 3.9) for bar in (0, 1, 4, 5, 6, 7)))
    resting = {round(listened(score, seed)[2].energy, 3) for seed in range(40)}
    sung = listened(score, 0)[1].energy
    assert len(resting) == 2
    assert min(resting) < sung < max(resting)


def answers(score: Score, style: str, subdivision: int, count: int = 30) -> list[Part]:
    made = (answering_part(score, style, subdivision, FEEL, np.random.default_rng(seed)) for seed in range(count))
    return [part for part in made if part]


@pytest.mark.parametrize("style", STYLES)
def test_answers_lie_in_the_rests_on_chord_tones_at_the_beats_and_in_the_key(style: str) -> None:
    score = score_of(*(note(8.0 * phrase + beat, 0.9) for phrase in range(4) for beat in range(4)))
    parts = answers(score, style, 3 if style == "jazz-swing" else 4)
    assert 5 <= len(parts) <= 25
    rests = rests_of(score.melody, score.length_beats, ANSWER_REST_BEATS)
    for part in parts:
        assert part.stem == "other"
        for played in part.notes:
            assert any(
                rest.start_beat <= played.start_beat and played.start_beat + played.duration_beats <= rest.end_beat
                for rest in rests
            )
            assert played.pitch % 12 in (0, 2, 4, 5, 7, 9, 11) or played.start_beat % 1.0 == 0
            if played.start_beat % 1.0 == 0:
                chord = score.chords[chord_index_at(score.chords, played.start_beat)]
                assert played.pitch % 12 in chord.pitch_classes


def test_a_voice_that_never_rests_is_not_answered() -> None:
    score = score_of(*(note(beat, 1.0) for beat in range(32)))
    assert answers(score, "pop", 4) == []


def test_real_tunes_are_answered() -> None:
    scores = [compose(seed, "pop") for seed in range(6)]
    assert sum(bool(answers(score, "pop", 4, 6)) for score in scores) >= 4
    silent = replace(scores[0], melody=())
    assert answers(silent, "pop", 4) == []
