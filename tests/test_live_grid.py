"""Clicks on the host's grid to the sample, on a clock of the test's own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import grid
from benchmarks.click_band import ClickBand
from bridge.transport.simulation import HostScript, ScriptAction, ScriptTempo
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.timeline import Timeline
from tests.live_rig import (
    BEAT_SAMPLES,
    BPM,
    MAKING_SECONDS,
    PLAY,
    RING_SECONDS,
    Array,
    Rig,
    clicks,
    started_seconds,
)


def short_script() -> HostScript:
    """Return steps, a ramp, 3/4, 7/8, a locate, a loop and a stop in 64 s, some 70 bars."""
    tempos = (
        ScriptTempo(0, 230),
        ScriptTempo(48, 280),
        ScriptTempo(96, 280, ramp=True),
        ScriptTempo(112, 200),
        ScriptTempo(160, 300),
    )
    signatures = ((0.0, 4, 4), (64.0, 3, 4), (130.0, 7, 8), (158.0, 4, 4))
    actions = (
        ScriptAction(0.5, "play"),
        ScriptAction(30.0, "loop", 104.0, 107.5),
        ScriptAction(30.2, "locate", 105.0),
        ScriptAction(34.0, "loop_off"),
        ScriptAction(44.0, "stop"),
        ScriptAction(45.0, "locate", 8.0),
        ScriptAction(46.0, "play"),
        ScriptAction(54.0, "locate", 131.0),
    )
    return HostScript(tempos, signatures, actions, rate_hz=SAMPLE_RATE_HZ, block_samples=1024)


# What is played right after the host starts or jumps was on its way to the card already, or is not made yet.
REACTION_SECONDS = RING_SECONDS + MAKING_SECONDS + 4 * LATENT_HOP_SAMPLES / SAMPLE_RATE_HZ + 0.1


@pytest.mark.slow
def test_every_click_is_on_the_hosts_beat_to_the_sample() -> None:
    result = grid.run(short_script(), 64.0)
    assert result.bars > 60
    assert result.beats > 230
    errors = np.sort(np.abs(result.errors))
    assert errors[-2] <= 0.5 + 0.02  # rounding to a sample, and what the learned ramp may be off
    assert errors[-1] <= 1.0  # the one beat after a ramp began that nobody could know of
    assert result.extra == 0
    jumps = [action.seconds for action in short_script().actions if action.kind in ("play", "locate")]
    for beat in result.missing:
        assert min(abs(beat.seconds - jump - 0.5 * REACTION_SECONDS) for jump in jumps) <= 0.5 * REACTION_SECONDS, beat


class LateClicks(ClickBand):
    """Three samples behind the beat."""

    def _clicks(self, timeline: Timeline, start: int, end: int) -> Array:
        return super()._clicks(timeline, start - 3, end - 3)


def test_three_samples_late_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "ClickBand", LateClicks)
    result = grid.run(HostScript((ScriptTempo(0, BPM),), actions=(PLAY,), rate_hz=44_100, block_samples=1024), 6.0)
    assert len(result.errors) > 15
    assert np.abs(result.errors - 3.0).max() <= 0.5


def test_a_host_at_another_rate_is_followed_to_the_sample() -> None:
    rig = Rig(rate_hz=48_000)
    rig.run(8.0)
    found = clicks(rig.sound)
    assert len(found) == 30
    beats = (found / SAMPLE_RATE_HZ - started_seconds(rig)) * 4
    assert np.abs(beats - np.round(beats)).max() * BEAT_SAMPLES <= 1.0
