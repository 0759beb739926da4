"""What the user changes while it plays: heard from its place on, and nothing else with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.live.controls import Lock
from bridge.live.work import Change
from bridge.transport.simulation import ScriptAction
from engine.geometry import LATENT_HOP_SAMPLES
from engine.live_chunk import ChunkPlan
from engine.stem_decoder import Piece
from tests.live_rig import (
    BLOCK_SAMPLES,
    LEVEL,
    PLAY,
    STEADIEST,
    LevelBand,
    Rig,
    largest_step,
    louder,
    sample,
    started_seconds,
)


def _place_of(rig: Rig, stem: int, value: float) -> int:
    """Return the song position at which a stem has reached `value` first."""
    row = rig.stem_sound[stem]
    return int(np.flatnonzero(np.isclose(row, value, atol=1e-5))[0]) - sample(started_seconds(rig))


def test_a_change_is_heard_from_its_effect_frame_on_and_not_before() -> None:
    for making in (0.0, 0.08):
        rig = Rig(band=lambda clock, making=making: LevelBand(clock, making))  # type: ignore[misc]
        rig.run(3.0)
        effect = rig.generator.effect_frame() * LATENT_HOP_SAMPLES
        rig.generator.request(louder(2.0))
        rig.run(5.0)
        start = sample(started_seconds(rig)) + effect
        row = rig.stem_sound[0]
        assert np.allclose(row[sample(1.0) : start - 512 - 2], LEVEL, atol=1e-5)
        assert _place_of(rig, 0, 2 * LEVEL) <= effect + 2
        assert np.allclose(row[start + 2 : sample(4.9)], 2 * LEVEL, atol=1e-5)
        assert largest_step(row[sample(1.0) :]) <= LEVEL * STEADIEST
        assert rig.pace.late == 0


def test_a_locked_stem_stays_and_the_others_change() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 16.0), PLAY), band=LevelBand)
    rig.run(6.0)
    rig.generator.request(Change(lambda controls: controls.with_lock(Lock("drums", 0, None)), ()))
    rig.generator.request(louder(2.0))
    rig.run(8.5)
    stems = rig.stem_sound[:, sample(7.0) : sample(8.4)]
    assert np.allclose(stems[0], LEVEL, atol=1e-5)
    assert np.allclose(stems[1:], 2 * LEVEL, atol=1e-5)


def test_a_change_of_one_stem_leaves_the_others() -> None:
    rig = Rig((ScriptAction(0.0, "loop", 0.0, 16.0), PLAY), band=LevelBand)
    rig.run(6.0)
    rig.generator.request(louder(2.0, ("bass",)))
    rig.run(8.0)
    stems = rig.stem_sound[:, sample(7.0) : sample(7.9)]
    assert np.allclose(stems[0], LEVEL, atol=1e-5)
    assert np.allclose(stems[1], 2 * LEVEL, atol=1e-5)


def test_a_chunk_that_is_not_wanted_any_more_is_given_up_where_there_is_time() -> None:
    rig = Rig(band=lambda clock: LevelBand(clock, 0.2))
    rig.generator.controls = replace(rig.generator.controls, lookahead_frames=64)
    rig.pace.first_guess_seconds = 0.2
    rig.run(4.0)
    before = rig.pace.abandoned
    asked = len(rig.band.asked_at)  # type: ignore[attr-defined]
    rig.band.seconds = 0.25
    rig.generator.request(louder(2.0))
    wishes = [louder(3.0)]

    def press_again(seconds: float) -> None:
        rig._pass(seconds)
        if wishes:
            rig.generator.request(wishes.pop())

    rig.band._clock.pass_time = press_again  # type: ignore[attr-defined]
    rig.run(7.0)
    assert rig.pace.abandoned == before + 1
    assert len(rig.band.asked_at) > asked + 1  # type: ignore[attr-defined]
    assert rig.stem_sound[0][-BLOCK_SAMPLES:] == pytest.approx(3 * LEVEL, abs=1e-4)
    heard = np.isclose(rig.stem_sound[0], 2 * LEVEL, atol=1e-4)
    assert heard.sum() < 10, "the chunk that was given up has been played"


def test_sound_that_is_no_number_is_left_out_and_told() -> None:
    class Broken(LevelBand):
        broken = False

        def _constant_pieces(self, plan: ChunkPlan, values: NDArray[np.float64]) -> Iterator[Piece]:
            for piece in super()._constant_pieces(plan, values):
                yield replace(piece, audio=piece.audio * np.float32("nan")) if self.broken else piece

    rig = Rig(band=Broken)
    rig.run(3.0)
    assert isinstance(rig.band, Broken)
    rig.band.broken = True
    rig.band.seconds = 0.05
    rig.run(4.0)
    rig.band.broken = False
    rig.run(6.0)
    assert rig.troubles
    assert np.isfinite(rig.sound).all()
    assert rig.level_names()[-1] == "fresh"
    assert rig.pace.late > 0
