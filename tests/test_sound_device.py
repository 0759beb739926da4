"""The sound card's output on a card made of arithmetic: heard when promised, lost and found again, counted exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.sound.card import CardSettings, Stamp
from bridge.sound.card_clock import STRAYS_TO_RESTART, CardClock
from bridge.sound.device import DeviceOutput
from bridge.sound.devices import SoundDevice, device_lines, find_device
from bridge.sound.output import Audio, SoundError
from tests.sound_support import FakeCard

RATE_HZ = 44_100


class Stage:
    """An output on fake cards, looked after and fed by hand."""

    def __init__(self, rate_hz: int | None = None, block_samples: int = 256, speed: float = 1.0) -> None:
        self.clock = ManualClock(100.0)
        self.cards: list[FakeCard] = []
        self.there = True
        self.anew: list[bool] = []
        self.speed = speed
        self.output = DeviceOutput(
            self.clock, "desk", block_samples, rate_hz=rate_hz, open_card=self._open, watched=False
        )

    def _open(self, settings: CardSettings, anew: bool) -> FakeCard:
        self.anew.append(anew)
        if not self.there:
            raise SoundError("no sound device for output is called 'desk'")
        self.cards.append(FakeCard(self.clock, settings, speed=self.speed))
        return self.cards[-1]

    @property
    def card(self) -> FakeCard:
        return self.cards[-1]

    def feed(self, seconds: float, mark: Callable[[Audio], None] = lambda _: None, step_seconds: float = 0.007) -> None:
        """Keep the ring full for `seconds`."""
        until_seconds = self.clock.now() + seconds
        while self.clock.now() < until_seconds:
            self.clock.advance(step_seconds)
            self.output.look()
            audio = np.zeros((2, self.output.writable_samples()), np.float32)
            mark(audio)
            self.output.write(audio)


def heard(card: FakeCard) -> list[float]:
    """Return when each impulse was heard."""
    sound = card.sound()[:, 0]
    peaks = [i for i in range(1, len(sound) - 1) if sound[i] > 0.3 and sound[i - 1] < sound[i] >= sound[i + 1]]
    return [card.heard_seconds(peak) for peak in peaks]


@pytest.mark.parametrize("block_samples", [64, 256, 512])
def test_every_sample_is_heard_when_promised(block_samples: int) -> None:
    stage = Stage(block_samples=block_samples)
    stage.output.open()
    promised: list[float] = []

    def mark(audio: Audio) -> None:
        if audio.shape[1] > 0:
            promised.append(stage.output.next_sample_seconds())
            audio[:, 0] = 0.9

    stage.feed(1.0, mark)
    stage.feed(0.2)
    assert len(promised) > 50
    np.testing.assert_allclose(heard(stage.card), promised, atol=1e-7, rtol=0)
    facts = stage.output.facts()
    assert (facts.underruns, facts.silent_samples, facts.state) == (0, 0, "open")


def test_a_card_at_another_rate_hears_it_when_promised_too() -> None:
    stage = Stage(rate_hz=48_000)
    stage.output.open()
    stage.feed(0.3)
    promised: list[float] = []

    def mark(audio: Audio) -> None:
        if audio.shape[1] > 8 and len(promised) < 20 and stage.clock.now() - (promised or [0.0])[-1] > -0.03:
            promised.append(stage.output.next_sample_seconds())
            audio[:, 0] = 0.9

    stage.feed(1.0, mark)
    stage.feed(0.3)
    assert len(promised) >= 10
    np.testing.assert_allclose(heard(stage.card), promised, atol=0.6 / 48_000, rtol=0)
    facts = stage.output.facts()
    assert (facts.rate_hz, facts.underruns) == (48_000, 0)
    assert facts.latency.resampler_seconds >= 0
    terms = facts.latency
    parts = terms.ring_seconds + terms.resampler_seconds + terms.block_seconds + terms.device_seconds
    assert parts == pytest.approx(terms.total_seconds, abs=1e-9)


def test_a_ring_that_runs_dry_is_counted_once_and_the_next_sound_comes_when_promised() -> None:
    stage = Stage()
    stage.output.open()
    stage.feed(0.5)
    for gap_seconds in (0.2, 0.101, 0.3):
        stage.clock.advance(gap_seconds)
        promised_seconds = stage.output.next_sample_seconds()
        stage.clock.advance(0.002)
        audio = np.full((2, stage.output.writable_samples()), 0.5, np.float32)
        stage.output.write(audio)
        first = len(stage.card.sound()) + np.flatnonzero(audio[0])[0]
        stage.feed(0.1)
        sound = stage.card.sound()[:, 0]
        onset = int(np.flatnonzero(sound)[0])
        assert stage.card.heard_seconds(onset) == pytest.approx(promised_seconds, abs=1e-7), first
        for block in stage.card.played:
            block[:] = 0.0
    assert stage.output.facts().underruns == 3


def test_silence_in_a_gap_is_counted_to_the_sample() -> None:
    stage = Stage()
    stage.output.open()
    stage.output.next_sample_seconds()
    stage.output.write(np.ones((2, 1000), np.float32))
    stage.clock.advance(0.1)
    stage.output.look()
    stage.output.write(np.ones((2, 700), np.float32))
    stage.clock.advance(0.1)
    ones = np.flatnonzero(stage.card.sound()[:, 0])
    assert ones.size == 1700
    gap = int(np.diff(ones).max()) - 1
    facts = stage.output.facts()
    assert (facts.underruns, facts.silent_samples) == (2, gap)
    assert stage.output.heard_position() == 1700 + gap


def test_a_block_that_begins_while_the_ring_is_armed_is_found_out() -> None:
    stage = Stage()
    stage.output.open()
    stage.card.block_begins_on_arm = True
    stage.output.write(np.zeros((2, 1000), np.float32))
    stage.clock.advance(0.008)
    promised_seconds = stage.output.next_sample_seconds()
    audio = np.zeros((2, 400), np.float32)
    audio[:, 0] = 0.9
    stage.output.write(audio)
    stage.clock.advance(0.1)
    sample = int(np.argmax(stage.card.sound()[:, 0]))
    assert stage.card.heard_seconds(sample) == pytest.approx(promised_seconds, abs=1e-7)


def test_the_driver_s_own_gaps_are_underruns() -> None:
    stage = Stage()
    stage.output.open()
    stage.feed(0.1)
    stage.card.driver_gaps = 3
    assert stage.output.facts().underruns == 3


def test_the_rate_of_the_card_is_learned() -> None:
    stage = Stage(speed=1.0 + 100e-6)
    stage.output.open()
    stage.feed(60.0, step_seconds=0.02)
    assert stage.output.facts().clock_ratio == pytest.approx(1.0 + 100e-6, abs=15e-6)


def lose_by_error(card: FakeCard) -> None:
    card.broken = True


def lose_by_standing_still(card: FakeCard) -> None:
    card.still = True


@pytest.mark.parametrize("lose", [lose_by_error, lose_by_standing_still])
def test_a_lost_card_is_told_time_goes_on_and_it_comes_back_by_name(lose: Callable[[FakeCard], None]) -> None:
    stage = Stage()
    stage.output.open()
    stage.feed(0.5)
    first, stage.there = stage.card, False
    lose(first)
    lost_seconds = stage.clock.now()
    before = stage.output.next_sample_seconds() - lost_seconds
    while stage.output.facts().state == "open":
        stage.feed(0.01)
    assert stage.clock.now() - lost_seconds < 1.0
    events = stage.output.events()
    assert [event.state for event in events] == ["open", "lost"]
    assert "desk" in events[1].words
    assert "every second" in events[1].words

    position = stage.output.heard_position()
    stage.feed(3.0)
    assert stage.output.facts().state == "lost"
    assert stage.output.heard_position() - position == pytest.approx(3.0 * RATE_HZ, abs=400)
    assert stage.output.next_sample_seconds() - stage.clock.now() == pytest.approx(before, abs=0.02)
    assert first.closed
    assert 3 <= len(stage.anew) - 1 <= 5, "it tries once a second"

    stage.there = True
    position = stage.output.write_position()
    stage.feed(1.5)
    assert stage.output.facts().state == "open"
    assert [event.state for event in stage.output.events()] == ["open"]
    assert stage.card is not first
    assert stage.card.settings.device == "desk"
    assert stage.anew[-1], "PortAudio lists its devices only when it starts"
    assert stage.output.write_position() - position == pytest.approx(1.5 * RATE_HZ, abs=0.1 * RATE_HZ)


@pytest.mark.parametrize("lose", [lose_by_error, lose_by_standing_still])
def test_what_there_was_room_for_is_taken_from_a_card_that_is_lost_meanwhile(lose: Callable[[FakeCard], None]) -> None:
    stage = Stage()
    stage.output.open()
    stage.feed(0.5)
    stage.clock.advance(0.005)
    room, position = stage.output.writable_samples(), stage.output.write_position()
    lose(stage.card)
    stage.clock.advance(0.004)
    while stage.output.facts().state == "open":
        stage.clock.advance(0.1)
        stage.output.look()
    stage.output.write(np.zeros((2, room), np.float32))
    assert room > 0
    assert stage.output.write_position() >= position + room
    with pytest.raises(ValueError, match="room for"):  # the promise holds once
        stage.output.write(np.zeros((2, stage.output.writable_samples() + room), np.float32))


def test_a_card_that_opens_and_does_not_run_is_refused_with_a_remedy() -> None:
    stage = Stage()

    def dead(settings: CardSettings, anew: bool) -> FakeCard:
        card = stage._open(settings, anew)
        card.still = True
        return card

    output = DeviceOutput(stage.clock, "desk", open_card=dead, watched=False)
    with pytest.raises(SoundError, match="opened and does not run; check that nothing else holds it"):
        output.open()
    assert stage.card.closed


def device(name: str, index: int, default: bool = False) -> SoundDevice:
    return SoundDevice(index, name, "ALSA", 0, 2, RATE_HZ, False, default)


def test_devices_are_found_by_name_or_part_and_errors_list_them() -> None:
    devices = (device("USB desk", 0), device("HDMI left", 1, default=True), device("HDMI", 2))
    assert find_device("usb", "output", devices).index == 0
    assert find_device("HDMI", "output", devices).index == 2
    assert find_device(None, "output", devices).index == 1
    with pytest.raises(SoundError, match=r"called 'tape'; there are: 'USB desk', 'HDMI left', 'HDMI'"):
        find_device("tape", "output", devices)
    with pytest.raises(SoundError, match="'D' fits several sound devices"):
        find_device("D", "output", devices)
    with pytest.raises(SoundError, match="run without a sound device"):
        find_device(None, "input", devices)


def test_devices_are_listed_a_line_each() -> None:
    assert device_lines((device("USB desk", 0), device("HDMI", 1, default=True))) == (
        "USB desk  ALSA, 2 out, 44100 Hz",
        "HDMI      ALSA, 2 out*, 44100 Hz",
    )
    assert "keeps time without one" in device_lines(())[0]


def test_a_card_s_clock_leaves_strays_out_and_follows_a_jump() -> None:
    card_clock = CardClock(RATE_HZ)
    for number in range(50):
        stray = 0.02 if number % 10 == 5 else 0.0
        card_clock.observe(Stamp(number * 4410, 7.0 + number * 0.1 + stray))
    assert card_clock.seconds_at(500_000) == pytest.approx(7.0 + 500_000 / RATE_HZ, abs=1e-6)
    for number in range(50, 50 + STRAYS_TO_RESTART):
        assert card_clock.restarts == 0
        card_clock.observe(Stamp(number * 4410, 7.012 + number * 0.1))
    assert card_clock.restarts == 1
    assert card_clock.seconds_at(500_000) == pytest.approx(7.012 + 500_000 / RATE_HZ, abs=1e-6)


def test_a_card_s_clock_begins_anew_at_once_when_the_driver_lost_time() -> None:
    card_clock = CardClock(RATE_HZ)
    for number in range(50):
        card_clock.observe(Stamp(number * 4410, 7.0 + number * 0.1))
    assert card_clock.next_probe_seconds > 0
    card_clock.jumped()
    card_clock.observe(Stamp(50 * 4410, 12.8))
    assert card_clock.seconds_at(51 * 4410) == pytest.approx(12.9, abs=1e-5)
    assert card_clock.next_probe_seconds == 0, "more stamps are wanted soon"
