"""Mute, solo, gain and gates: no step, and the beat whole."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.click_band import CLICK
from bridge.live.mixing_desk import GATE_RAMP_SAMPLES, Gate
from engine.geometry import STEMS
from tests.live_rig import (
    BEAT_SAMPLES,
    BLOCK_SAMPLES,
    LEVEL,
    STEADIEST,
    LevelBand,
    Rig,
    clicks,
    largest_step,
    sample,
    started_seconds,
)


@pytest.mark.parametrize("ring_seconds", [0.03, 0.0301, 0.0351])
@pytest.mark.parametrize("at", [2.0, 2.0013, 2.0061])
def test_mute_solo_and_gain_move_without_a_step(ring_seconds: float, at: float) -> None:
    rig = Rig(band=LevelBand, ring_seconds=ring_seconds)
    rig.run(at)
    rig.player.desk = rig.player.desk.changed("drums", mute=True)
    rig.run(at + 0.1)
    assert rig.player.desk.factors_at(0.0)[0] == 0.0
    rig.player.desk = rig.player.desk.changed("drums", mute=False)
    rig.run(at + 0.2)
    rig.player.desk = rig.player.desk.changed("bass", solo=True)
    rig.run(at + 0.3)
    rig.player.desk = rig.player.desk.changed("bass", solo=False, gain_db=-60.0)
    rig.run(at + 0.5)
    stems = rig.stem_sound[:, sample(1.0) :]
    for name, row in zip(STEMS, stems, strict=True):
        assert largest_step(row) <= LEVEL * STEADIEST, name
    assert np.allclose(stems[:, -BLOCK_SAMPLES:], LEVEL * np.array([[1.0], [0.001], [1.0]]), atol=1e-5)


def test_a_mute_between_two_short_quanta_is_no_click() -> None:
    """A border leaves a quantum of a few samples behind; a mute that comes just then must not be squeezed into it."""
    rig = Rig(band=LevelBand)
    rig.run(2.0)
    rig.player.desk = rig.player.desk.changed("other", gate=Gate(0, round(rig.player.front.song_sample) + 4))
    rig.run(2.3)
    assert largest_step(rig.stem_sound[:, sample(1.0) :]) <= LEVEL * STEADIEST


def test_a_gate_opens_just_before_its_beat_and_not_sooner() -> None:
    rig = Rig(band=LevelBand)
    start = 8 * BEAT_SAMPLES
    for stem in STEMS:
        rig.player.desk = rig.player.desk.changed(stem, gate=Gate(start))
    rig.run(4.0)
    heard = np.flatnonzero(rig.sound)
    opens = sample(started_seconds(rig)) + start
    assert opens - GATE_RAMP_SAMPLES - 1 <= heard[0] <= opens
    assert np.allclose(rig.sound[opens : opens + 1000], 3 * LEVEL, atol=1e-5)


def test_a_click_on_the_beat_of_a_gate_is_whole() -> None:
    rig = Rig()
    rig.player.desk = rig.player.desk.changed("drums", gate=Gate(8 * BEAT_SAMPLES))
    rig.player.desk = rig.player.desk.changed("bass", gate=None)
    rig.player.desk = rig.player.desk.changed("other", gate=None)
    rig.run(4.0)
    first = clicks(rig.sound)[0]
    assert abs(first - sample(started_seconds(rig)) - 8 * BEAT_SAMPLES) <= 1
    assert rig.sound[first] == pytest.approx(CLICK)


def test_a_click_is_whole_where_a_gate_opens_while_the_clocks_are_drawn_together() -> None:
    """Between whole samples a border may be less than half a sample away: it must not be stepped over."""
    for lag in range(8):
        rig = Rig()
        for stem in STEMS:
            rig.player.desk = rig.player.desk.changed(stem, gate=Gate(8 * BEAT_SAMPLES))
        rig.run(2.3)
        rig.player.offset_samples = 100.0 + lag
        rig.run(3.0)
        before = rig.sound[: sample(started_seconds(rig)) + 8 * BEAT_SAMPLES - 2 * GATE_RAMP_SAMPLES - 110]
        first = clicks(rig.sound)[0]
        assert not before.any()
        assert np.abs(rig.sound[first : first + 40]).max() > 0.6  # between samples a click is spread
