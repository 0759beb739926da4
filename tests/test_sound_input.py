"""The sound card's input on a recorder made of arithmetic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.sound.card import CardSettings
from bridge.sound.input import DeviceInput, InputBlock
from bridge.sound.measure import impulse_seconds
from bridge.sound.output import SoundError
from tests.sound_support import FakeRecorder


class Stage:
    def __init__(self, ring_seconds: float = 1.0) -> None:
        self.clock = ManualClock(50.0)
        self.cards: list[FakeRecorder] = []
        self.there = True
        self.input = DeviceInput(
            self.clock, "mic", ring_seconds=ring_seconds, rate_hz=44_100, open_card=self._open, watched=False
        )

    def _open(self, settings: CardSettings, anew: bool) -> FakeRecorder:
        if not self.there:
            raise SoundError("no sound device for input is called 'mic'")
        self.cards.append(FakeRecorder(self.clock, settings, latency_seconds=-0.008))
        return self.cards[-1]

    def next_block(self) -> InputBlock:
        for _ in range(100):
            block = self.input.read()
            if block is not None:
                return block
            self.clock.advance(0.005)
            self.input.look()
        raise AssertionError("nothing was captured in half a second")


def test_blocks_follow_each_other_with_the_time_of_their_capture() -> None:
    stage = Stage()
    stage.input.open()
    blocks = []
    for _ in range(40):
        stage.clock.advance(0.021)
        stage.input.look()
        blocks.append(stage.next_block())
    for before, after in pairwise(blocks):
        assert after.continues
        assert after.sample == before.sample + before.audio.shape[1]
    for block in blocks:
        np.testing.assert_array_equal(block.audio[0], block.sample + np.arange(block.audio.shape[1]))
        assert block.captured_seconds == pytest.approx(stage.cards[0].heard_seconds(block.sample), abs=1e-7)
    assert not blocks[0].continues
    assert stage.input.facts().overruns == 0


def test_a_ring_that_nobody_reads_overruns_once_and_the_gap_is_counted() -> None:
    stage = Stage(ring_seconds=0.1)
    stage.input.open()
    first = stage.next_block()
    stage.clock.advance(0.5)
    kept = stage.next_block()
    after = stage.next_block()
    assert kept.sample == first.sample + first.audio.shape[1]
    assert kept.continues
    assert not after.continues
    lost = after.sample - (kept.sample + kept.audio.shape[1])
    np.testing.assert_array_equal(after.audio[0], after.sample + np.arange(after.audio.shape[1]))
    facts = stage.input.facts()
    assert (facts.overruns, facts.lost_samples) == (1, lost)
    assert lost == pytest.approx(0.4 * 44_100, abs=600)


def test_a_lost_input_is_told_and_comes_back_by_name() -> None:
    stage = Stage()
    stage.input.open()
    stage.next_block()
    stage.there, stage.cards[0].still = False, True
    for _ in range(80):
        stage.clock.advance(0.01)
        stage.input.look()
        stage.input.read()
    assert [event.state for event in stage.input.events()] == ["open", "lost"]
    assert stage.input.facts().state == "lost"
    assert stage.input.read() is None
    stage.there = True
    for _ in range(120):
        stage.clock.advance(0.01)
        stage.input.look()
    assert [event.words for event in stage.input.events()] == ["mic is back, at 44100 Hz"]
    assert not stage.next_block().continues


def test_an_impulse_is_found_in_the_block_that_holds_it() -> None:
    def block(start: int, peak: int | None) -> InputBlock:
        audio = np.zeros((2, 1000), np.float32)
        if peak is not None:
            audio[1, peak] = -0.7
        return InputBlock(audio, 3.0 + start / 44_100, 44_100, start, True)

    assert impulse_seconds([]) is None
    assert impulse_seconds([block(0, None)]) is None
    found = impulse_seconds([block(0, None), block(1000, 300), block(2000, None)])
    assert found == pytest.approx(3.0 + 1300 / 44_100)
    assert impulse_seconds([block(0, 999)]) is None, "it may still rise"
