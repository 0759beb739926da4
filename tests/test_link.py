"""Ableton Link: what a session says becomes a transport's calls; two real peers on this machine agree."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aalink
import pytest

from bridge.clock import SystemClock
from bridge.link import LinkFollower
from bridge.link_following import LinkReading, LinkSettings, LinkState, step
from bridge.midi.messages import ControlCall
from bridge.osc.contract import BY_ADDRESS
from tests.midi_support import FollowedTransport


class Rig:
    """Readings in, and the transport that they lead."""

    def __init__(self, settings: LinkSettings | None = None) -> None:
        self.settings = settings or LinkSettings()
        self.state = LinkState()
        self.transport = FollowedTransport()
        self.calls: list[ControlCall] = []

    def read(
        self, seconds: float, beat: float, bpm: float = 120.0, playing: bool = False, peers: int = 1
    ) -> list[tuple[str, dict[str, object]]]:
        reading = LinkReading(seconds, beat, bpm, playing, peers)
        calls, self.state = step(reading, self.state, self.transport.beat_at, self.settings)
        self.transport.obey(calls)
        self.calls += calls
        for call in calls:
            assert list(call.arguments) == [argument.name for argument in BY_ADDRESS[call.address].arguments]
        return [(call.address, dict(call.arguments)) for call in calls]


def playing_rig(seconds: float = 0.0) -> Rig:
    """Return a session that has just begun to play at beat 0."""
    rig = Rig()
    rig.read(seconds - 0.1, -0.2)
    rig.read(seconds, 0.0, playing=True)
    assert rig.transport.playing
    return rig


def test_a_tempo_is_reported_when_it_is_another_one() -> None:
    rig = Rig()
    assert rig.read(0.0, 0.0, 93.50003350417867) == [("/backline/tempo", {"bpm": 93.5})]
    assert rig.read(0.1, 0.1, 93.50003350417867) == []
    assert rig.read(0.2, 0.2, 94.0) == [("/backline/tempo", {"bpm": 94.0})]


def test_alone_nobody_is_followed_and_whoever_joins_is_reported_anew() -> None:
    rig = Rig()
    assert rig.read(0.0, 0.0, 120.0, playing=True, peers=0) == []
    assert rig.read(0.1, 0.2, 99.0) == [("/backline/tempo", {"bpm": 99.0})]
    assert rig.read(0.2, 0.4, 99.0, peers=0) == []
    assert rig.read(0.3, 0.6, 99.0) == [("/backline/tempo", {"bpm": 99.0})]


def test_a_start_locates_at_once_and_plays_on_the_next_downbeat_exactly() -> None:
    rig = Rig(LinkSettings(start_beat=32.0))
    rig.read(10.0, 5.0)
    assert rig.read(10.1, -2.8, playing=True) == [("/backline/locate", {"beat": 32.0})]
    assert rig.read(10.5, -2.0, playing=True) == []
    assert rig.read(11.51, 0.02, playing=True) == [("/backline/play", {})]
    assert rig.calls[-1].at_seconds == pytest.approx(11.5)
    assert rig.transport.beat(12.0) == pytest.approx(33.0)
    assert rig.read(12.0, 1.0, playing=True) == []


def test_joining_a_session_that_plays_begins_on_its_next_bar() -> None:
    rig = Rig()
    assert rig.read(0.0, 101.0, playing=True)[1:] == [("/backline/locate", {"beat": 0.0})]
    assert rig.state.waiting_for_beat == 104.0


def test_a_stop_stops_and_one_before_the_downbeat_calls_the_start_off() -> None:
    rig = playing_rig()
    assert rig.read(1.0, 2.0, playing=False) == [("/backline/stop", {})]
    rig.read(2.0, -3.0, playing=True)
    assert rig.read(2.1, -2.8, playing=False) == [("/backline/stop", {})]
    assert rig.read(5.0, 3.0, playing=False) == []


def test_start_and_stop_can_be_left_to_others() -> None:
    rig = Rig(LinkSettings(follow_start_stop=False))
    rig.read(0.0, 0.0)
    assert rig.read(0.1, 0.2, playing=True) == []


@pytest.mark.parametrize(("off_seconds", "located"), [(0.015, False), (-0.015, False), (0.025, True), (-0.3, True)])
def test_only_an_error_beyond_20_ms_twice_in_a_row_is_corrected(off_seconds: float, located: bool) -> None:
    rig = playing_rig()
    rig.transport.obey([ControlCall("/backline/locate", {"beat": 4.0 + 2.0 * off_seconds}, 2.0)])
    assert rig.read(2.1, 4.2, playing=True) == []
    calls = rig.read(2.2, 4.4, playing=True)
    assert bool(calls) == located
    if located:
        assert rig.transport.beat(2.2) == pytest.approx(4.4)
        assert rig.state.locates == 1
    assert rig.read(2.3, 4.6, playing=True) == []


def test_a_single_late_reading_moves_nothing() -> None:
    rig = playing_rig()
    assert rig.read(1.0, 2.1, playing=True) == []
    assert rig.read(1.1, 2.2, playing=True) == []
    assert rig.read(1.2, 2.5, playing=True) == []


def test_a_locate_by_whole_bars_stays_and_one_off_the_bar_is_put_on_the_sessions_phase() -> None:
    rig = playing_rig()
    rig.transport.obey([ControlCall("/backline/locate", {"beat": 64.0}, 2.0)])
    assert rig.read(2.1, 4.2, playing=True) == []
    assert rig.read(2.2, 4.4, playing=True) == []
    rig.transport.obey([ControlCall("/backline/locate", {"beat": 65.0}, 2.5)])  # the session is at 5 there: in phase
    assert rig.read(2.6, 5.2, playing=True) == []
    rig.transport.obey([ControlCall("/backline/locate", {"beat": 100.5}, 3.0)])  # the session is at 6
    rig.read(3.1, 6.2, playing=True)
    ((address, arguments),) = rig.read(3.2, 6.4, playing=True)
    assert address == "/backline/locate"
    assert arguments["beat"] == pytest.approx(102.4)


def test_a_tempo_that_no_song_has_is_counted_once() -> None:
    rig = Rig()
    rig.read(0.0, 0.0, 120.0)
    assert rig.read(0.1, 0.2, 20.0) == []
    assert rig.read(0.2, 0.4, 20.0) == []
    assert rig.state.out_of_range == 1
    assert rig.read(0.3, 0.6, 120.0) == []


@pytest.mark.parametrize(
    "wrong", [{"quantum_beats": 0.0}, {"locate_seconds": 0.0}, {"first_bpm": 999.0}, {"start_beat": float("nan")}]
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*; give"):
        LinkSettings(**wrong)  # type: ignore[arg-type]


def test_a_failure_to_join_is_reported_and_ends_nothing() -> None:
    def join(bpm: float) -> aalink.Link:
        raise OSError("no network interface")

    follower = LinkFollower(SystemClock(), lambda seconds: None, join=join)
    follower.start()
    until(lambda: follower.facts().state == "failed")
    assert "no network interface" in follower.facts().reason
    follower.stop()


def until(condition: Callable[[], bool], timeout_seconds: float = 5.0) -> None:
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class Peer:
    """Another application in the session: a real Link peer in a thread of its own."""

    def __init__(self, bpm: float) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.link: Any = self.do(lambda: aalink.Link(bpm))
        self.do(self._join)

    def _join(self) -> None:
        self.link.quantum = 4.0
        self.link.start_stop_sync_enabled = True
        self.link.enabled = True

    def do(self, what: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5.0)

    def set(self, name: str, value: object) -> None:
        self.do(lambda: setattr(self.link, name, value))

    def leave(self) -> None:
        self.set("enabled", False)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5.0)
        self.loop.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    it = Peer(104.0)
    yield it
    it.leave()


@pytest.mark.slow
def test_two_real_peers_agree_on_tempo_start_beat_and_stop(peer: Peer) -> None:
    clock, transport = SystemClock(), FollowedTransport()
    follower = LinkFollower(clock, transport.beat_at)
    calls: list[ControlCall] = []

    def obey() -> None:
        new = follower.take()
        transport.obey(new)
        calls.extend(new)

    def after(condition: Callable[[], bool]) -> None:
        def obeyed() -> bool:
            obey()
            return condition()

        until(obeyed)

    follower.start()
    try:
        try:
            until(lambda: follower.facts().state == "following", 4.0)
        except AssertionError:
            pytest.skip("no multicast between peers on this machine")
        after(lambda: calls != [] and transport.bpm == round(peer.link.tempo, 3))  # 104, or ours if both began at once
        peer.set("tempo", 180.0)
        after(lambda: transport.bpm == 180.0)
        peer.set("playing", True)
        after(lambda: transport.playing)
        reading = follower.facts().reading
        assert reading is not None
        error_beats = (transport.beat(reading.seconds) - reading.beat + 2.0) % 4.0 - 2.0
        assert abs(error_beats) * 60.0 / 180.0 < 0.002
        seconds_before, theirs = clock.now(), peer.do(lambda: peer.link.beat)
        error_beats = (transport.beat(seconds_before) - theirs + 2.0) % 4.0 - 2.0
        assert abs(error_beats) * 60.0 / 180.0 < 0.01
        peer.set("playing", False)
        after(lambda: not transport.playing)
        moves = [call.address.rsplit("/")[-1] for call in calls if call.address != "/backline/tempo"]
        assert moves == ["locate", "play", "stop"]
        assert follower.facts().locates == 0
    finally:
        follower.stop()
    assert follower.facts().state == "off"
    until(lambda: peer.link.num_peers == 0)
