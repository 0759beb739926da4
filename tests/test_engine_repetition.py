"""What is expected beyond what was heard: the song's own progression, at the distance at which it repeats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.bounce import factory_bundle
from engine.bundle import Bundle
from engine.harmonic_units import Units
from engine.harmoniser import ReadUnits
from engine.harmony import Chord, ChordSpan
from engine.harmony_tables import ChordState, Floats
from engine.live_harmony import MOST_BARS, BarsRead, LiveHarmony
from engine.repetition import Read, with_repeats
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


def logs_of(path: Sequence[int], chords: int = 12, sure: float = 0.9) -> Floats:
    """Return logarithms where each unit's chord has the chance `sure`, and -1 stands for one that nobody knows."""
    chances = np.full((len(path), chords), 1.0 / chords)
    for unit, number in enumerate(path):
        if number >= 0:
            chances[unit] = (1.0 - sure) / (chords - 1)
            chances[unit, number] = sure
    return np.log(chances)


def repeated(
    logs: Floats,
    begins_bar: NDArray[np.bool_],
    heard: NDArray[np.floating[Any]],
    sung: Floats | None = None,
) -> Floats:
    notes = np.zeros((len(logs), 0)) if sung is None else sung
    return with_repeats(Read(logs, notes, begins_bar, np.asarray(heard, np.float64)))


def test_the_distance_at_which_the_song_repeats_counts_most() -> None:
    twelve = np.random.default_rng(0).permutation(12)
    logs = logs_of([*twelve, *twelve, -1, -1])
    heard = (np.arange(len(logs)) < 24).astype(float)
    expected = repeated(logs, np.ones(len(logs), np.bool_), heard)
    assert expected[24:].argmax(axis=1).tolist() == twelve[:2].tolist(), "twelve bars, as the blues has them"
    np.testing.assert_array_equal(expected[:24], logs[:24])


def test_half_bars_are_compared_with_half_bars_and_a_part_that_was_heard_counts_less() -> None:
    path = [unit % 8 for unit in range(36)]  # four bars of two units, over and over
    logs = logs_of([*path, 11, -1, -1, -1])
    begins_bar, heard = np.arange(40) % 2 == 0, np.repeat([1.0, 0.5, 0.0], [36, 1, 3])
    expected = np.exp(repeated(logs, begins_bar, heard))
    assert expected[37:].argmax(axis=1).tolist() == [5, 6, 7]
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-6)
    unheard = np.exp(repeated(logs, begins_bar, heard * (heard == 1.0)))
    assert expected[36, 11] == pytest.approx(0.5 * 0.9 + 0.5 * unheard[36, 11], rel=1e-6)
    assert unheard[36].argmax() == 4


def test_the_newest_repetition_counts_more_and_a_sure_guess_of_its_own_is_kept() -> None:
    verse, chorus = [0, 1, 2, 3] * 6, [4, 5, 4, 5] * 4
    logs = logs_of([*verse, *chorus, -1, 9])
    heard = (np.arange(len(logs)) < 40).astype(float)
    expected = repeated(logs, np.ones(len(logs), np.bool_), heard)
    assert expected[40].argmax() == 4
    wanders = logs_of([*np.random.default_rng(3).integers(12, size=40).tolist(), -1, 9])
    assert repeated(wanders, np.ones(len(wanders), np.bool_), heard)[41].argmax() == 9


def test_too_little_heard_or_another_metre_expects_nothing() -> None:
    logs, heard = logs_of([0, 0, -1, -1]), np.repeat([1.0, 0.0], [2, 2])
    np.testing.assert_array_equal(repeated(logs, np.ones(4, np.bool_), heard), logs)
    whole_then_halves = np.array([True] * 8 + [True, False] * 2)
    logs, heard = logs_of([0] * 8 + [-1] * 4), np.repeat([1.0, 0.0], [8, 4])
    chances = np.exp(repeated(logs, whole_then_halves, heard))
    np.testing.assert_allclose(chances[9::2], 1 / 12, rtol=1e-6, err_msg="no bar before had a second half")
    assert (chances[8::2].argmax(axis=1) == 0).all()


def test_live_harmony_foresees_the_loop_and_costs_little_more() -> None:
    pitch = melody(chords(24), TIMELINE, BAR_BEATS)
    frames, memory = pitch.shape[1], SongMemory(4)
    memory.write_vocal(0, np.zeros((64, frames), np.float32), pitch, np.zeros((2, frames), np.float32))
    live = LiveHarmony(HARMONISER, memory)
    wish = live.harmonised(Wish(), TIMELINE, frames)
    assert share_right(wish.chords, range(25, 29)) == 1.0
    logs, begins_bar = np.random.default_rng(1).uniform(-9, 0, (72, 84)), np.arange(72) % 2 == 0
    start = time.process_time()
    for _ in range(20):
        repeated(logs, begins_bar, (np.arange(72) < 60).astype(float))
    assert (time.process_time() - start) / 20 < 0.01, "0.6 ms on an idle core"


def test_a_verse_that_is_sung_again_brings_its_chords_back_however_long_ago_it_was() -> None:
    """The chords heard last fit the verse and the chorus; the notes sung fit the verse alone."""
    rng = np.random.default_rng(5)
    verse, chorus = [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 8, 9, 10, 11]
    sung_verse, sung_chorus = rng.uniform(0.0, 1.0, (2, 8, 12)) ** 4
    logs = logs_of([*verse, *chorus, *chorus, *chorus, *verse[:4], -1, -1, -1, -1])
    sung = np.concatenate([sung_verse, *[sung_chorus] * 3, sung_verse[:4], np.zeros((4, 12))])
    heard = (np.arange(40) < 36).astype(float)
    everywhere = np.ones(40, np.bool_)
    assert repeated(logs, everywhere, heard, sung)[36:].argmax(axis=1).tolist() == verse[4:]
    assert repeated(logs, everywhere, heard, np.roll(sung, 8, axis=0))[36:].argmax(axis=1).tolist() == chorus[4:]


def read_bars(bars: Sequence[int], first_bar: int) -> ReadUnits:
    """Return bars of two units, each bar's number sung and played in both."""
    borders = np.asarray(4.0 * first_bar + 2.0 * np.arange(2 * len(bars) + 1), np.float64)
    units = Units(borders, np.arange(2 * len(bars)) % 2 == 0)
    sounding = [ChordState(bar % 12, "maj").chord_in(0) for bar in bars for _ in range(2)]
    sung = np.repeat(np.eye(12)[np.array(bars) % 12], 2, axis=0)
    return ReadUnits(units, tuple(sounding), sung, np.ones(2 * len(bars)))


def test_bars_are_kept_as_they_were_read_last_and_given_back_without_a_gap() -> None:
    kept = BarsRead()
    assert kept.before(0.0) is None
    kept.keep(read_bars([0, 1, 2, 3, 4], 0))  # whether the last bar is whole nobody knows
    kept.keep(read_bars([9, 7, 5], 2))
    before = kept.before(16.0)
    assert before is not None
    assert [chord.root for chord in before.chords] == [0, 0, 1, 1, 9, 9, 7, 7]
    assert before.units.borders.tolist() == list(np.arange(0.0, 17.0, 2.0))
    assert before.units.begins_bar.tolist() == [True, False] * 4
    assert before.sung.argmax(axis=1).tolist() == [0, 0, 1, 1, 9, 9, 7, 7]
    assert kept.before(18.0) is None
    kept.keep(read_bars([1, 2, 3], 30))
    after_a_gap = kept.before(4.0 * 32)
    assert after_a_gap is not None
    assert len(after_a_gap.chords) == 4


def test_no_more_bars_are_kept_than_memory_is_meant_to_hold() -> None:
    kept = BarsRead()
    for first in range(0, 3_000, 30):
        kept.keep(read_bars([0] * 31, first))
    before = kept.before(4.0 * 3_000)
    assert before is not None
    assert len(before.chords) == 2 * MOST_BARS
    assert kept.before(4.0 * 1_000) is None, "the oldest are given up"


def test_bars_sung_more_than_a_minute_ago_come_back_live() -> None:
    """A verse, a minute and a half of something else, the verse again: what follows is known from the first time."""
    between = [ChordState(5 + 2 * (bar % 2), "maj").chord_in(0) for bar in range(44)]
    verse = chords(16)
    pitch = melody([*verse, *between, *verse], TIMELINE, BAR_BEATS)
    bar_frames, again = pitch.shape[1] / 76, 60  # `melody` sings three notes in turn: alike every three bars
    harmoniser = Bundle.load(factory_bundle(), threads=1).harmony

    def heard_from(first_bar: int) -> LiveHarmony:
        """Return what has listened since `first_bar`, four bars at a time, into the second verse."""
        memory = SongMemory(8)
        live = LiveHarmony(harmoniser, memory)
        for bar in range(first_bar, again + 5, 4):
            start, end = int(bar * bar_frames), int((bar + 4) * bar_frames)
            empty = np.zeros((64, end - start), np.float32)
            memory.write_vocal(start, empty, pitch[:, start:end], empty[:2])
            live.harmonised(Wish(), TIMELINE, end)
        return live

    def roots(live: LiveHarmony, first_bar: int, at_bar: int) -> list[int]:
        spans = live.harmonised(Wish(), TIMELINE, int(at_bar * bar_frames)).chords
        return [chord_at(spans, bar * BAR_BEATS + 1).root for bar in range(first_bar, first_bar + 3)]

    read_then = roots(heard_from(0), 10, 16)
    assert roots(heard_from(0), again + 10, again + 8) == read_then
    assert roots(heard_from(16), again + 10, again + 8) != read_then
