"""Locates, loops, a lost host, a card that lost time: back on the grid without a step."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.transport.simulation import ScriptAction
from engine.geometry import SAMPLE_RATE_HZ
from tests.live_rig import (
    BAR_SECONDS,
    BEAT_SAMPLES,
    BLOCK_SAMPLES,
    LEVEL,
    PLAY,
    RING_SECONDS,
    STEADIEST,
    LevelBand,
    Rig,
    clicks,
    largest_step,
    louder,
    sample,
    started_seconds,
)


def test_a_locate_fades_within_ten_milliseconds_and_joins_without_a_step() -> None:
    for late in (0.0, 0.002, 0.004):
        rig = Rig((PLAY, ScriptAction(3.0 + late, "locate", 64.0)), band=LevelBand)
        rig.run(5.0)
        sound = rig.sound[sample(1.0) :]
        assert largest_step(sound) <= 3 * LEVEL * STEADIEST
        silent = np.flatnonzero(sound == 0.0)[0] - sample(2.0 + late)
        assert silent <= sample(RING_SECONDS + 0.01) + 2 * BLOCK_SAMPLES
        assert sound[-1] == pytest.approx(3 * LEVEL)


def test_a_loop_goes_round_without_a_step_whatever_its_length() -> None:
    for end_beat in (2.0, 2.01, 2.02, 2.03, 1.77):
        rig = Rig((ScriptAction(0.0, "loop", 0.0, end_beat), PLAY), band=LevelBand)
        rig.run(4.0)
        assert largest_step(rig.sound[sample(0.6) :]) <= 3 * LEVEL * STEADIEST, end_beat
        assert rig.sound[sample(0.7) :].min() > 3 * LEVEL - 1e-5, end_beat
        assert rig.sound[sample(0.7) :].max() < 2 * 3 * LEVEL, end_beat


def test_leaving_a_loop_for_other_sound_takes_a_fade() -> None:
    """The end of the loop sounds unlike its start: what was is faded out, not cut, however the quanta fall."""
    for end_beat in np.arange(8.0, 8.08, 0.01):
        loop = ScriptAction(0.0, "loop", 4.0, round(float(end_beat), 2))
        rig = Rig((loop, ScriptAction(0.0, "locate", 4.0), PLAY), band=LevelBand)
        rig.run(0.9)
        rig.generator.request(louder(3.0, start_frame=36))
        rig.run(4.5)
        sound = rig.sound[sample(0.6) :]
        assert sound.max() >= 9 * LEVEL - 1e-4
        assert largest_step(sound) <= 9 * LEVEL * STEADIEST, end_beat


def test_a_second_pass_through_a_loop_makes_nothing_anew() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 8.0), PLAY), band=LevelBand)
    rig.run(9.0)
    assert isinstance(rig.band, LevelBand)
    assert len(rig.band.sampled_frames) == len(set(rig.band.sampled_frames))
    sampled = [seconds for seconds, delivery in rig.deliveries if delivery.chunk.sampled]
    replayed = [seconds for seconds, delivery in rig.deliveries if not delivery.chunk.sampled]
    assert max(sampled) < 0.5 + 2 * BAR_SECONDS + 0.3
    assert len(replayed) >= 18
    assert "silence" not in rig.level_names()


@pytest.mark.parametrize("beats", [0.5, 1.0, 2.0, 3.5])
def test_short_loops_never_run_dry(beats: float) -> None:
    rig = Rig((ScriptAction(0.0, "loop", 8.0, 8.0 + beats), ScriptAction(0.1, "locate", 8.0), PLAY), band=LevelBand)
    rig.run(5.0)
    assert rig.sound[sample(0.7) :].min() > 3 * LEVEL - 1e-5
    assert rig.level_names()[-1] == "fresh"


def test_a_loop_that_is_set_when_its_end_has_gone_to_the_card_already_is_still_followed() -> None:
    """The host is before the loop's end and turns round there; the player, a ring ahead, is past it."""
    start = sample(0.5) // BLOCK_SAMPLES + 1
    host_beat = (sample(3.0) // BLOCK_SAMPLES + 1 - start) * BLOCK_SAMPLES / BEAT_SAMPLES
    loop = (round(host_beat - 2.0, 2), round(host_beat + 0.06, 2))
    rig = Rig((PLAY, ScriptAction(3.0, "loop", *loop)))
    rig.run(6.0)
    view = rig.host.now_view(rig.clock.now())
    assert view.loop is not None
    assert rig.player.front.song_sample <= view.loop.end_sample
    host_now = view.position_at(rig.out.next_sample_seconds())
    assert abs(rig.player.front.song_sample - host_now) < 50


def test_a_transport_that_is_not_heard_any_more_plays_on() -> None:
    rig = Rig()
    rig.run(3.0)
    rig.sends = False
    rig.run(8.0)
    assert rig.host.now_view(rig.clock.now()).state == "unknown"
    found = clicks(rig.sound)
    found = found[found > sample(1.0)]
    assert np.abs(np.diff(found) - BEAT_SAMPLES).max() <= 1
    assert found[-1] > sample(7.7)
    rig.sends = True
    rig.run(10.0)
    beats = clicks(rig.sound) - sample(started_seconds(rig))
    assert np.abs((beats + 500) % BEAT_SAMPLES - 500).max() <= 40


def test_after_the_card_has_lost_time_the_sound_is_back_on_the_grid_within_a_second() -> None:
    """A hole is heard anyway: what follows it must not be off for as long as an unheard change of speed takes."""
    rig = Rig()
    rig.run(3.0)
    hole_seconds = RING_SECONDS + 0.03
    rig.clock.advance(hole_seconds)  # nobody fills the ring
    while rig.simulator.block_seconds(rig._block) < rig.clock.now():
        block = next(rig._host_blocks)
        rig.host.observe(block.snapshot, rig.clock.now())
        rig._block += 1
    rig.run(6.0)
    assert rig.out.facts().underruns == 1
    found = clicks(rig.sound)
    late = found[found > sample(4.1)] - sample(started_seconds(rig))
    off = (late + BEAT_SAMPLES // 2) % BEAT_SAMPLES - BEAT_SAMPLES // 2
    assert np.abs(off).max() < 0.005 * SAMPLE_RATE_HZ
