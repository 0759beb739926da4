"""A player that comes late: what sounded goes on out of the ring, nothing is missed, and every count stays true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.clock import ManualClock
from bridge.live.lane import LaneKey, Lanes, Roll
from bridge.live.mixing_desk import MixingDesk
from bridge.live.player import STANDBY_SAMPLES, Player
from bridge.live.quantum import Quantum, render
from bridge.sound.card import CardSettings
from bridge.sound.device import DeviceOutput
from bridge.sound.file import FileTee
from bridge.sound.output import Audio, SoundOut
from bridge.sound.ring_player import LEAD_BLOCKS
from bridge.transport.delay_locked_loop import Lock
from bridge.transport.view import HostView
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ, STEMS
from engine.timeline import Timeline
from tests.sound_support import FakeCard

Array = NDArray[np.float32]
FRAMES = 200
STEP_SECONDS = 0.007


class Room:
    """A player on a fake card; the host plays from the start, and all of the song is there."""

    def __init__(self, file: Path | None = None, rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.clock = ManualClock(50.0)
        self.cards: list[FakeCard] = []
        self.device = DeviceOutput(
            self.clock, "desk", ring_seconds=0.05, rate_hz=rate_hz, open_card=self._open, watched=False
        )
        self.out: SoundOut = FileTee(self.device, file, self.clock, watched=False) if file else self.device
        self.roll = Roll(1, Timeline.constant(120.0), 0, FRAMES, FRAMES)
        rng = np.random.default_rng(3)
        self.roll.append((0.1 * rng.standard_normal((len(STEMS), 2, FRAMES * LATENT_HOP_SAMPLES))).astype(np.float32))
        lanes = Lanes()
        lanes.open(LaneKey(0, 0)).add(self.roll)
        self.quanta: list[tuple[Quantum, float]] = []
        self.out.open()
        self.start_seconds = self.clock.now() + 0.1
        self.player = Player(self.clock, self, self.out, lanes, lambda *quantum: self.quanta.append(quantum))
        self.player.desk = MixingDesk()

    def _open(self, settings: CardSettings, anew: bool) -> FakeCard:
        self.cards.append(FakeCard(self.clock, settings))
        return self.cards[-1]

    def now_view(self, now_seconds: float, builds: bool = True) -> HostView:
        lock = Lock(0.0, self.start_seconds, 1.0 / SAMPLE_RATE_HZ)
        return HostView("playing", True, 0, None, self.roll.timeline, 0, 120.0, 4, 4, 0.0, lock)

    def play(self, seconds: float) -> None:
        until_seconds = self.clock.now() + seconds
        while self.clock.now() < until_seconds - 1e-9:
            self.clock.advance(min(STEP_SECONDS, until_seconds - self.clock.now()))
            self.device.look()
            self.player.fill()

    def sound(self) -> Array:
        return np.asarray(self.cards[0].sound()[:, 0])

    def logged(self) -> Array:
        pieces = [render(quantum, lambda _: (self.roll.start_sample, self.roll.audio())) for quantum, _ in self.quanta]
        return np.concatenate(pieces, axis=2).sum(axis=0)


def without_silence(sound: Array) -> Array:
    """Return `sound` from its first sample to its last."""
    at = np.flatnonzero(sound)
    return sound[at[0] : at[-1] + 1]


@pytest.mark.parametrize("stall_seconds", [0.06, 0.11, 0.2])
def test_a_player_that_is_held_up_is_not_missed(stall_seconds: float) -> None:
    steady, held_up = Room(), Room()
    steady.play(1.5)
    held_up.play(0.6)
    held_up.clock.advance(stall_seconds)
    held_up.play(1.5 - 0.6 - stall_seconds)
    facts = held_up.device.facts()
    assert (facts.underruns, facts.silent_samples) == (0, 0)
    assert held_up.out.stood_in_samples() > 0
    wanted, found = without_silence(steady.sound()), without_silence(held_up.sound())
    samples = min(len(wanted), len(found))
    assert samples > SAMPLE_RATE_HZ
    np.testing.assert_array_equal(found[:samples], wanted[:samples])


def test_what_is_logged_is_what_was_played() -> None:
    room = Room()
    room.play(0.5)
    room.clock.advance(0.15)
    room.play(0.5)
    played, logged = without_silence(room.sound()), without_silence(room.logged()[0])
    np.testing.assert_array_equal(played, logged[: len(played)])
    positions = [position for _, position in room.quanta]
    assert positions == sorted(positions)


def test_what_stood_in_is_in_the_file(tmp_path: Path) -> None:
    room = Room(tmp_path / "set.wav")
    room.play(0.5)
    room.clock.advance(0.15)
    room.play(0.5)
    assert room.out.stood_in_samples() > 0
    played = without_silence(room.sound())
    room.out.close()
    written, _ = soundfile.read(tmp_path / "set.wav", dtype="float32")
    np.testing.assert_array_equal(without_silence(written[:, 0])[: len(played)], played)


def test_a_stall_longer_than_the_standby_is_one_underrun_and_the_song_goes_on_in_place() -> None:
    room = Room()
    room.play(0.5)
    room.clock.advance(0.05 + STANDBY_SAMPLES / SAMPLE_RATE_HZ + 0.2)
    room.play(0.5)
    assert room.device.facts().underruns == 1
    assert room.device.facts().silent_samples > 0
    sound, song = room.sound(), np.asarray(room.roll.audio()[:, 0].sum(axis=0))
    heard = sound[-2_000:]
    place = room.now_view(0.0).position_at(room.cards[0].heard_seconds(len(sound) - 2_000))
    np.testing.assert_allclose(heard, song[round(place) : round(place) + 2_000], atol=1e-6)


def test_a_card_at_another_rate_goes_without() -> None:
    room = Room(rate_hz=48_000)
    room.play(0.5)
    room.clock.advance(0.15)
    room.play(0.3)
    assert room.out.stood_in_samples() == 0
    assert room.device.facts().underruns == 1


def test_a_write_takes_the_place_of_what_stood_by() -> None:
    room = Room()
    device = room.device
    mark: Audio = np.full((2, 600), 0.25, np.float32)
    device.next_sample_seconds()
    device.write(mark)
    for level in (0.5, 0.75):
        device.stand_by(np.full((2, 4_000), level, np.float32))
    lead_samples = LEAD_BLOCKS * 256
    assert device.facts().fill_seconds == pytest.approx((600 + lead_samples) / SAMPLE_RATE_HZ)
    room.clock.advance(0.001)
    device.write(mark)
    device.stand_by(np.zeros((2, 0), np.float32))
    room.clock.advance(0.2)
    device.look()
    assert set(np.unique(room.sound())) == {0.0, 0.25}
    assert np.count_nonzero(room.sound()) == 1_200
