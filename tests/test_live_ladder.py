"""What is played when the generator is late: backup, bar loop, silence, and back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bridge.live.playing import Level
from engine.geometry import STEMS
from tests.live_rig import (
    BAR_SECONDS,
    BEAT_SAMPLES,
    LEVEL,
    STEADIEST,
    LevelBand,
    Rig,
    clicks,
    largest_step,
    sample,
    started_seconds,
)


def stalled(rig: Rig, from_seconds: float, making_seconds: float, until_seconds: float) -> None:
    """Have the next chunk after `from_seconds` take `making_seconds`, and those after it no time again."""
    rig.run(from_seconds)
    rig.band.seconds = making_seconds
    made = len(rig.deliveries)
    while len(rig.deliveries) == made:
        rig.run(rig.clock.now() + 0.05)
    rig.band.seconds = 0.0
    rig.run(until_seconds)


def test_a_generator_that_is_late_falls_to_backup_then_bar_loop_then_silence_and_comes_back() -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, 9.0, 22.0)
    assert rig.level_names() == ["fresh", "backup", "bar loop", "silence", "fresh"]
    times = [seconds for _, seconds in rig.levels]
    assert 1.0 < times[2] - times[1] < 1.8  # a bar of backup and a bit
    assert 3 * BAR_SECONDS < times[3] - times[2] < 5 * BAR_SECONDS
    for level in (Level.FRESH, Level.BACKUP, Level.BAR_LOOP, Level.SILENCE):
        assert rig.player.counts[level] > 0
    assert sum(rig.player.counts.values()) == sum(quantum.samples for quantum, _ in rig.quanta)


@pytest.mark.parametrize("making_seconds", [0.6, 2.0, 9.0])
def test_after_one_slow_chunk_there_is_fresh_sound_again_within_a_bar_or_so(making_seconds: float) -> None:
    """One slow chunk says little of the next: what is there to be made is not put off by as much."""
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, making_seconds, 3.3 + making_seconds + 2 * BAR_SECONDS)
    assert rig.level_names()[-1] == "fresh"


def test_what_is_played_for_a_late_chunk_is_still_on_the_grid() -> None:
    rig = Rig()
    stalled(rig, 3.0, 3.0, 8.0)
    assert "bar loop" in rig.level_names()
    found = clicks(rig.sound)
    beats = found - sample(started_seconds(rig))
    off = (beats + BEAT_SAMPLES // 2) % BEAT_SAMPLES - BEAT_SAMPLES // 2
    assert np.abs(off).max() <= 1
    assert np.diff(found).max() <= BEAT_SAMPLES + 1, "a beat is missing"


@pytest.mark.parametrize("making_seconds", [0.6, 2.0, 9.0])
def test_each_chunk_that_was_missed_is_counted_once(making_seconds: float) -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, making_seconds, 3.3 + making_seconds + 8.0)
    firsts = [delivery.chunk.plan.first_frame for _, delivery in rig.deliveries]
    left_out = sum((b - a) // 8 - 1 for a, b in pairwise(firsts) if b > a)
    came_late = sum(d.slack_seconds is not None and d.slack_seconds < 0 for _, d in rig.deliveries)
    assert came_late >= 1
    assert left_out - 1 <= rig.pace.late - came_late <= left_out + 1


def test_no_chunk_is_late_while_nothing_is_meant_to_play() -> None:
    rig = Rig(band=LevelBand)
    rig.run(3.0)
    for stem in STEMS:
        rig.player.desk = rig.player.desk.changed(stem, gate=None)
    rig.run(9.0)
    assert rig.pace.late == 0
    assert rig.player.level is Level.RESTING
    made = len(rig.deliveries)
    rig.run(10.0)
    assert len(rig.deliveries) == made


def test_a_fall_and_a_return_are_faded() -> None:
    rig = Rig(band=LevelBand)
    stalled(rig, 3.0, 9.0, 16.0)
    assert largest_step(rig.sound[sample(1.0) :]) <= 3 * LEVEL * STEADIEST


def test_a_position_between_two_samples_is_no_reason_to_fall_back() -> None:
    """Where clocks part the player reads between samples; a chunk that is there is entered all the same."""
    rig = Rig(band=LevelBand)
    rig.run(1.0)
    for turn in range(1_200):
        rig.player.offset_samples = 80.0 * np.sin(turn / 37.0)
        rig.run(rig.clock.now() + 0.01)
    assert any(voice.step != 1.0 for quantum, _ in rig.quanta for voice in quantum.voices)
    assert rig.level_names() == ["fresh"]
