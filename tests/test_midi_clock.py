"""MIDI clock in, transport out: tempo off jittery ticks, start, stop, continue, song position, and no drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.clock import ManualClock
from bridge.midi.clock import NEW_CLOCK, ClockSettings, ClockState, step
from bridge.midi.listener import beat_of
from bridge.midi.messages import ControlCall, MidiMessage
from bridge.midi.tick_tempo import fit_ticks
from bridge.osc.contract import BY_ADDRESS
from bridge.transport.host import HostTransport
from tests.midi_support import FollowedTransport, jittered, message, tick_times

TICK, START, CONTINUE, STOP, SONG_POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2


@dataclass
class Rig:
    """The follower and the transport that it leads."""

    transport: FollowedTransport = field(default_factory=FollowedTransport)
    state: ClockState = NEW_CLOCK
    settings: ClockSettings = field(default_factory=ClockSettings)
    calls: list[ControlCall] = field(default_factory=list)

    def feed(self, *messages: MidiMessage) -> tuple[ControlCall, ...]:
        calls, self.state = step(messages, self.state, self.transport.beat_at, self.settings)
        self.transport.obey(calls)
        self.calls += calls
        return calls

    def ticks(self, times: Sequence[float] | NDArray[np.float64]) -> list[ControlCall]:
        return [call for seconds in times for call in self.feed(message(float(seconds), TICK))]

    def of(self, name: str) -> list[ControlCall]:
        return [call for call in self.calls if call.address == f"/backline/{name}"]


@pytest.mark.parametrize("bpm", [60.0, 92.5, 120.0, 127.37, 150.0])
def test_the_tempo_is_within_a_tenth_of_a_beat_a_minute_after_two_beats_of_jitter(bpm: float) -> None:
    errors = []
    for seed in range(60):
        fit = fit_ticks(tuple(jittered(tick_times(bpm, 49), 0.001, seed)))
        assert fit is not None
        errors.append(abs(fit.bpm - bpm))
    assert np.quantile(errors, 0.9) < 0.1
    assert np.mean(errors) < 0.05


@pytest.mark.parametrize("bpm", [60.0, 127.37, 220.0])
def test_the_longer_the_clock_is_steady_the_better_the_tempo_is_known(bpm: float) -> None:
    fits = [fit_ticks(tuple(jittered(tick_times(bpm, 385), 0.001, seed))) for seed in range(20)]
    assert all(fit is not None and fit.intervals == 384 and abs(fit.bpm - bpm) < 0.02 for fit in fits)


def test_a_few_ticks_held_up_on_the_bus_do_not_move_the_tempo() -> None:
    times = jittered(tick_times(104.0, 97), 0.0005, 1)
    times[[13, 40, 41, 77, 96]] += 0.012
    fit = fit_ticks(tuple(np.sort(times)))
    assert fit is not None
    assert fit.bpm == pytest.approx(104.0, abs=0.05)
    assert fit.last_seconds == pytest.approx(tick_times(104.0, 97)[-1], abs=0.001)


def test_the_reported_error_is_the_real_one() -> None:
    fits = [fit_ticks(tuple(jittered(tick_times(127.37, 97), 0.001, seed))) for seed in range(200)]
    deviations = [(fit.measured_bpm - 127.37) / fit.error_bpm for fit in fits if fit is not None]
    assert 0.7 < np.std(deviations) < 1.4


@pytest.mark.parametrize(("before", "after"), [(120.0, 180.0), (120.0, 90.0), (120.0, 124.0), (120.0, 121.0)])
def test_a_new_tempo_is_known_two_beats_later(before: float, after: float) -> None:
    rig = Rig()
    steady = tick_times(before, 400)
    changed = tick_times(after, 49, steady[-1])[1:]
    times = jittered(np.concatenate((steady, changed)), 0.0005, 7)
    rig.ticks(times)
    assert rig.state.bpm == pytest.approx(after, abs=0.25)
    assert rig.transport.bpm == pytest.approx(after, abs=0.3)


def test_a_steady_clock_is_reported_once_and_then_left_alone() -> None:
    rig = Rig()
    rig.ticks(tick_times(98.0, 24 * 64))
    assert [call.arguments for call in rig.of("tempo")] == [{"bpm": 98.0}]
    assert rig.calls == rig.of("tempo")


def test_changes_below_the_step_are_not_reported() -> None:
    rig = Rig()
    rig.ticks(jittered(tick_times(120.0, 24 * 100), 0.001, 3))
    reports = [float(call.arguments["bpm"]) for call in rig.of("tempo")]
    assert len(reports) < 8
    assert all(abs(late - early) > 0.05 for early, late in pairwise(reports))


def test_start_plays_from_the_first_tick_behind_it() -> None:
    rig = Rig()
    rig.ticks(tick_times(120.0, 100))
    located = rig.feed(message(2.1, START))
    assert [(call.address, call.arguments) for call in located] == [("/backline/locate", {"beat": 0.0})]
    assert not rig.transport.playing
    played = rig.feed(message(2.125, TICK))
    assert [(call.address, call.at_seconds) for call in played] == [("/backline/play", 2.125)]
    assert rig.transport.beat(2.625) == pytest.approx(1.0)


def test_stop_and_continue_go_on_where_the_song_stood() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    rig.ticks(tick_times(120.0, 61, 0.01))
    rig.feed(message(1.27, STOP))
    assert not rig.transport.playing
    assert rig.state.next_tick == 61
    rig.feed(message(5.0, CONTINUE))
    assert [call.address for call in rig.feed(message(5.02, TICK))] == ["/backline/play"]
    assert rig.state.next_tick == 62
    assert len(rig.of("play")) == 2


@pytest.mark.parametrize(("low", "high", "beat"), [(0, 0, 0.0), (16, 0, 4.0), (3, 1, 32.75), (127, 127, 4095.75)])
def test_a_song_position_counts_sixteenths(low: int, high: int, beat: float) -> None:
    rig = Rig()
    (located,) = rig.feed(message(1.0, SONG_POSITION, low, high))
    assert located.address == "/backline/locate"
    assert located.arguments == {"beat": beat}
    rig.feed(message(1.1, CONTINUE), message(1.2, TICK))
    assert rig.transport.beat(1.2) == pytest.approx(beat)


def test_a_song_position_while_playing_is_a_jump_on_the_next_tick() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    rig.ticks(tick_times(120.0, 97, 0.01))
    assert rig.feed(message(2.02, SONG_POSITION, 64, 0)) == ()
    (located,) = rig.feed(message(2.03, TICK))
    assert (located.arguments, located.at_seconds) == ({"beat": 16.0}, 2.03)


def test_start_while_playing_begins_anew_on_the_next_tick() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    rig.ticks(tick_times(120.0, 97, 0.01))
    assert rig.feed(message(2.02, START)) == ()
    assert [call.arguments for call in rig.feed(message(2.03, TICK))] == [{"beat": 0.0}]
    assert rig.transport.beat(2.03) == 0.0
    assert rig.transport.playing


@pytest.mark.parametrize("bpm", [60.0, 97.43, 120.03, 174.0])
def test_minutes_of_jitter_stay_in_step_without_a_locate(bpm: float) -> None:
    rig = Rig(FollowedTransport(bpm=110.0))
    rig.feed(message(0.0, START))
    ticks = round(2 * bpm * 24)
    exact = tick_times(bpm, ticks, 0.5)
    worst_seconds = 0.0
    for index, seconds in enumerate(jittered(exact, 0.001, 11)):
        rig.feed(message(float(seconds), TICK))
        if index > 24 * 16:
            error_beats = rig.transport.beat(float(exact[index])) - index / 24
            worst_seconds = max(worst_seconds, abs(error_beats) * 60.0 / bpm)
    assert worst_seconds < 0.005
    assert len([call for call in rig.of("locate") if call.at_seconds > 8.0]) == 0
    assert len(rig.of("tempo")) < 60


def obey(host: HostTransport, calls: Sequence[ControlCall]) -> None:
    for call in calls:
        match call.address:
            case "/backline/tempo":
                host.set_tempo(float(call.arguments["bpm"]), call.at_seconds)
            case "/backline/locate":
                host.locate(float(call.arguments["beat"]), call.at_seconds)
            case "/backline/play":
                host.play(call.at_seconds)
            case "/backline/stop":
                host.stop(call.at_seconds)


def test_the_real_transport_follows_a_jittery_clock_without_a_break_and_a_second_time() -> None:
    clock = ManualClock()
    host = HostTransport(clock)
    state, start_seconds = NEW_CLOCK, 0.5
    for bpm in (97.43, 97.43, 120.03):
        times = tick_times(bpm, 24 * 64, start_seconds)
        calls, state = step([message(start_seconds - 0.1, START)], state, beat_of(host))
        obey(host, calls)
        settled_breaks = 0
        for index, (exact, seconds) in enumerate(zip(times, jittered(times, 0.001, round(bpm)), strict=True)):
            clock.advance_to(max(clock.now(), float(seconds)))
            calls, state = step([message(float(seconds), TICK)], state, beat_of(host))
            obey(host, calls)
            if index == 24 * 8:
                settled_breaks = host.stats().discontinuities
            if index > 24 * 8:
                beat = beat_of(host)(float(exact))
                assert beat is not None
                assert abs(beat - index / 24) * 60.0 / bpm < 0.005
        assert host.stats().discontinuities == settled_breaks
        start_seconds = float(times[-1]) + 1.0
        calls, state = step([message(start_seconds - 0.5, STOP)], state, beat_of(host))
        obey(host, calls)
        assert not host.now_view(start_seconds).moving


def test_a_transport_a_little_off_is_nudged_back_and_one_far_off_is_located() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    times = tick_times(120.0, 24 * 40, 0.01)
    rig.ticks(times[: 24 * 8])
    seconds = float(times[24 * 8 - 1])
    rig.transport.obey([ControlCall("/backline/locate", {"beat": rig.transport.beat(seconds) - 0.04}, seconds)])
    rig.calls.clear()
    rig.ticks(times[24 * 8 : 24 * 38])
    assert rig.of("locate") == []
    assert max(float(call.arguments["bpm"]) for call in rig.of("tempo")) == pytest.approx(120.6, abs=0.02)
    assert rig.transport.bpm == pytest.approx(120.0, abs=0.1)
    assert rig.transport.beat(float(times[24 * 38 - 1])) == pytest.approx(38 - 1 / 24, abs=0.006)
    seconds = float(times[24 * 38 - 1])
    rig.transport.obey([ControlCall("/backline/locate", {"beat": rig.transport.beat(seconds) + 4.0}, seconds)])
    rig.ticks(times[24 * 38 : 24 * 39])
    assert len(rig.of("locate")) == 1
    assert rig.state.locates == 1
    assert rig.transport.beat(float(times[24 * 39 - 1])) == pytest.approx(39 - 1 / 24, abs=0.001)


def test_a_ramp_is_followed_within_the_threshold() -> None:
    beats = np.arange(0.0, 64.0, 1 / 24)
    slope = (140.0 - 100.0) / 64.0
    times = 60.0 / slope * np.log((100.0 + slope * beats) / 100.0)  # tempo linear in beats
    rig = Rig(FollowedTransport(bpm=100.0))
    rig.feed(message(-0.01, START))
    errors = []
    for beat, seconds in zip(beats, times, strict=True):
        rig.feed(message(float(seconds), TICK))
        errors.append(abs(rig.transport.beat(float(seconds)) - beat) * 60.0 / rig.transport.bpm)
    assert max(errors) < 0.035
    assert rig.transport.bpm == pytest.approx(140.0, abs=1.5)


def test_ticks_that_were_lost_are_taken_as_played() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    times = tick_times(120.0, 24 * 12, 0.01)
    rig.ticks([*times[: 24 * 4], *times[24 * 8 :]])
    assert rig.state.gaps == 1
    assert rig.state.next_tick == 24 * 12
    assert len(rig.of("locate")) == 1  # the start's


def test_the_latency_is_taken_off() -> None:
    rig = Rig(settings=ClockSettings(latency_seconds=0.02))
    rig.feed(message(0.0, START))
    (played,) = rig.feed(message(1.0, TICK))
    assert played.at_seconds == pytest.approx(0.98)


def test_impossible_tempos_and_broken_messages_are_counted_and_dropped() -> None:
    rig = Rig()
    rig.ticks([0.001 * index for index in range(60)])
    rig.feed(message(1.0, SONG_POSITION, 3), message(1.0, 0x90, 60, 100), message(1.0))
    assert rig.calls == []
    assert rig.state.out_of_range > 0
    assert rig.state.bad_messages == 1


def test_many_messages_in_one_step_mean_the_same() -> None:
    one, all_at_once = Rig(), Rig()
    messages = [message(0.0, START), *(message(float(t), TICK) for t in tick_times(100.0, 7, 0.1)), message(0.4, STOP)]
    for each in messages:
        one.feed(each)
    all_at_once.feed(*messages)
    assert all_at_once.calls == one.calls
    assert all_at_once.state.next_tick == one.state.next_tick == 7
    assert all_at_once.state.arrivals_seconds == one.state.arrivals_seconds


def test_every_call_fits_the_osc_contract() -> None:
    rig = Rig()
    rig.feed(message(0.0, START))
    rig.ticks(jittered(tick_times(120.0, 200, 0.1), 0.001, 2))
    rig.feed(message(6.0, STOP), message(6.1, SONG_POSITION, 4, 0))
    for call in rig.calls:
        assert list(call.arguments) == [argument.name for argument in BY_ADDRESS[call.address].arguments]


@pytest.mark.parametrize("wrong", [{"latency_seconds": 2.0}, {"locate_seconds": 0.0}, {"catch_up_seconds": 0.0}])
def test_wrong_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*out of range; give"):
        ClockSettings(**wrong)
