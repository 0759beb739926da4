"""What is expected beyond what was heard: the song's own progression, at the distance at which it repeats."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.harmony import Chord, ChordSpan
from engine.harmony_tables import ChordState
from engine.live_harmony import LiveHarmony
from engine.repetition import EXPECTED_WEIGHT, with_expected
from engine.song_memory import SongMemory
from engine.timeline import Timeline
from engine.wish import Wish
from tests.harmony_support import melody, rule_harmoniser

HARMONISER = rule_harmoniser()
TIMELINE = Timeline.constant(120)
BAR_BEATS = 4
EIGHT_BARS = ((0, "maj"), (7, "maj"), (9, "min"), (4, "min"), (5, "maj"), (0, "maj"), (2, "min"), (7, "maj"))


def chords(bars: int) -> list[Chord]:
    return [ChordState(*EIGHT_BARS[bar % len(EIGHT_BARS)]).chord_in(0) for bar in range(bars)]


def chord_at(spans: tuple[ChordSpan, ...], beat: float) -> Chord:
    return next(span.chord for span in spans if span.start_beat <= beat < span.end_beat)


def share_right(spans: tuple[ChordSpan, ...], bars: range) -> float:
    truth = chords(bars.stop)
    return float(np.mean([chord_at(spans, bar * BAR_BEATS + 1).root == truth[bar].root for bar in bars]))


def heard_frames(bars: float, frames: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(TIMELINE.beats_at_frames(0, frames) < bars * BAR_BEATS)


@pytest.mark.parametrize("heard_bars", [18.5, 21, 24])
def test_a_progression_of_eight_bars_goes_on_where_nothing_was_heard_yet(heard_bars: float) -> None:
    pitch = melody(chords(32), TIMELINE, BAR_BEATS)
    heard = heard_frames(heard_bars, pitch.shape[1])
    spans = [HARMONISER.harmonise(pitch * heard, TIMELINE, heard=known) for known in (heard, None)]
    ahead = range(int(np.ceil(heard_bars)), int(np.ceil(heard_bars)) + 4)
    repeated, continued = (share_right(harmony.chords, ahead) for harmony in spans if harmony)
    assert repeated == 1.0
    assert continued < 1.0


def test_what_was_heard_is_read_as_before_and_all_heard_changes_nothing() -> None:
    pitch = melody(chords(24), TIMELINE, BAR_BEATS)
    everywhere = np.ones(pitch.shape[1], np.bool_)
    assert HARMONISER.harmonise(pitch, TIMELINE, heard=everywhere) == HARMONISER.harmonise(pitch, TIMELINE)


def test_the_distance_at_which_the_song_repeats_counts_most() -> None:
    rng = np.random.default_rng(0)
    twelve = rng.uniform(0, 1, (12, 12)) ** 4
    sung = np.concatenate([twelve, twelve, np.zeros((2, 12))])
    heard = (np.arange(len(sung)) < 24).astype(float)
    expected = with_expected(sung, np.ones(len(sung), np.bool_), heard)
    shares = [float(np.corrcoef(expected[24], sung[24 - lag])[0, 1]) for lag in (4, 8, 12, 16)]
    assert int(np.argmax(shares)) == 2, "twelve bars, as the blues has them"
    np.testing.assert_array_equal(expected[:24], sung[:24])


def test_half_bars_are_compared_with_half_bars_and_a_part_that_was_heard_counts_less() -> None:
    sung = np.zeros((40, 12))
    sung[np.arange(40), np.arange(40) % 8] = 1.0  # four bars of two units, over and over
    heard = np.repeat([1.0, 0.5, 0.0], [36, 1, 3])
    sung[37:] = 0.0
    expected = with_expected(sung, np.arange(40) % 2 == 0, heard)
    assert expected[36].argmax() == 36 % 8
    assert expected[36, 36 % 8] == pytest.approx(1.0 + EXPECTED_WEIGHT * 0.5)
    assert [int(unit.argmax()) for unit in expected[37:]] == [5, 6, 7]
    assert expected[37].sum() == pytest.approx(EXPECTED_WEIGHT)


def test_too_little_heard_or_another_metre_expects_nothing() -> None:
    sung, heard = np.zeros((8, 12)), np.repeat([1.0, 0.0], [4, 4])
    sung[:4, 0] = 1.0
    np.testing.assert_array_equal(with_expected(sung, np.ones(8, np.bool_), heard), sung)
    whole_then_halves = np.array([True] * 8 + [True, False] * 4)
    sung, heard = np.zeros((16, 12)), np.repeat([1.0, 0.0], [8, 8])
    sung[:8, 0] = 1.0
    second_halves = with_expected(sung, whole_then_halves, heard)[9:12:2]
    assert not second_halves.any(), "no bar before had a second half"


def test_live_harmony_foresees_the_loop_and_costs_little_more() -> None:
    pitch = melody(chords(24), TIMELINE, BAR_BEATS)
    frames, memory = pitch.shape[1], SongMemory(4)
    memory.write_vocal(0, np.zeros((64, frames), np.float32), pitch, np.zeros((2, frames), np.float32))
    live = LiveHarmony(HARMONISER, memory)
    wish = live.harmonised(Wish(), TIMELINE, frames)
    assert share_right(wish.chords, range(25, 29)) == 1.0
    sung, begins_bar = np.random.default_rng(1).uniform(0, 1, (72, 12)), np.arange(72) % 2 == 0
    start = time.perf_counter()
    for _ in range(20):
        with_expected(sung, begins_bar, (np.arange(72) < 60).astype(float))
    assert (time.perf_counter() - start) / 20 < 0.01, "a fifth of a millisecond on an idle core"
