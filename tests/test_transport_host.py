"""The host's transport: positions, events, states, in simulated time."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clock import ManualClock
from bridge.transport.host import HostTransport
from bridge.transport.simulation import HostBlock, HostScript, HostSimulator, ScriptAction, ScriptTempo
from bridge.transport.snapshot import TransportSnapshot
from engine.timeline import Timeline


def _snapshot(sequence: int, song_sample: int = 0, playing: bool = True, bpm: float = 120.0) -> TransportSnapshot:
    ppq = song_sample * bpm / (60 * 48_000)
    return TransportSnapshot(playing, song_sample, 48_000, ppq, bpm, 4, 4, False, 0.0, 0.0, sequence)


def _feed(transport: HostTransport, blocks: list[HostBlock]) -> None:
    for block in blocks:
        transport.observe(block.snapshot, block.seconds)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("block_samples", [pytest.param(64, marks=pytest.mark.slow), 480, 512, 2048])
def test_positions_and_segments_are_the_hosts_to_the_sample_through_loops_and_jumps(
    rate_hz: int, block_samples: int
) -> None:
    actions = (
        ScriptAction(0.0, "play"),
        ScriptAction(2.0, "locate", 33.0),
        ScriptAction(3.0, "stop"),
        ScriptAction(3.5, "locate", 4.0),
        ScriptAction(4.0, "play"),
        ScriptAction(4.5, "loop", 4.0, 7.5),
        ScriptAction(10.5, "loop_off"),
    )
    script = HostScript(actions=actions, rate_hz=rate_hz, block_samples=block_samples)
    simulator, transport = HostSimulator(script), HostTransport(ManualClock())
    scale = 44_100 / rate_hz
    for block in simulator.blocks(int(14 * rate_hz / block_samples)):
        transport.observe(block.snapshot, block.seconds)
        view = transport.now_view(block.seconds)
        host = block.snapshot
        assert view.position_at(block.seconds) == pytest.approx(host.song_sample * scale, abs=1e-2)
        loop = (host.loop_start_ppq, host.loop_end_ppq) if host.loop_on else None
        done = 0
        for segment in view.segments(block.seconds, block_samples, rate_hz):
            for i in (0, segment.samples - 1):
                there = host.song_sample
                if host.playing:
                    there = simulator.sample_after(there, done + i, loop)
                assert segment.song_start + i * segment.song_step == pytest.approx(there * scale, abs=1e-2)
            done += segment.samples
        assert done == block_samples
    kinds = Counter(event.kind for event in transport.events())
    assert kinds == {"started": 2, "located": 2, "stopped": 1, "loop_changed": 2, "looped": 3}
    assert transport.stats().discontinuities == 5
    assert transport.stats().wraps == 3


def test_the_first_snapshot_locks_at_once() -> None:
    transport = HostTransport(ManualClock())
    transport.observe(_snapshot(7, 480_000), 100.0)
    view = transport.now_view(100.0)
    assert (view.state, view.moving, view.epoch) == ("playing", True, 1)
    assert view.position_at(100.0) == 441_000.0
    assert view.position_at(101.0) == pytest.approx(485_100.0)
    assert view.timeline == Timeline.constant(120.0)


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("block_samples", [512, 2048])
def test_jitter_loss_and_repetition_leave_the_position_within_a_millisecond(ppm: float, block_samples: int) -> None:
    generator = random.Random(11)
    script = HostScript(rate_hz=48_000, block_samples=block_samples, clock_ratio=1.0 + ppm * 1e-6)
    simulator, transport = HostSimulator(script), HostTransport(ManualClock())
    messages: list[tuple[float, HostBlock]] = []
    for block in simulator.blocks(int(60 * 48_000 / block_samples)):
        delay = generator.uniform(-0.003, 0.003) + (0.03 if generator.random() < 0.01 else 0.0)
        copies = 0 if generator.random() < 0.02 else 2 if generator.random() < 0.02 else 1
        messages.extend((block.seconds + delay + 0.001 * copy, block) for copy in range(copies))
    messages.sort(key=lambda message: message[0])
    worst_seconds, last = 0.0, 0.0
    for arrived, block in messages:
        transport.observe(block.snapshot, arrived)
        view = transport.now_view(arrived)
        position = view.position_at(arrived)
        if arrived > 5.0:
            truth = arrived * script.clock_ratio * 44_100
            worst_seconds = max(worst_seconds, abs(position - truth) / 44_100)
            assert view.position_at(last) == pytest.approx(last * script.clock_ratio * 44_100, abs=44.1)
        last = arrived
    assert worst_seconds < 0.001
    assert transport.stats().discontinuities == 1
    assert transport.stats().old > 10
    assert view.lock.seconds_per_sample * 44_100 == pytest.approx(1.0 / script.clock_ratio, abs=3e-5)


def test_the_position_moves_smoothly_under_jitter() -> None:
    generator = random.Random(3)
    transport = HostTransport(ManualClock())
    before, steps = None, []
    for block in HostSimulator(HostScript(block_samples=512)).blocks(3000):
        arrived = block.seconds + abs(generator.gauss(0.0, 0.003))
        transport.observe(block.snapshot, arrived)
        due = block.seconds + 0.02
        position = transport.now_view(due).position_at(due)
        if before is not None and due > 5.0:
            steps.append(abs(position - before - 512 * 44_100 / 48_000) / 44_100)
        before = position
    assert max(steps) < 1e-4


def test_a_first_snapshot_that_came_late_is_outvoted_within_a_few() -> None:
    transport = HostTransport(ManualClock())
    for block in HostSimulator(HostScript(block_samples=512)).blocks(10):
        first = block.snapshot.sequence == 0
        transport.observe(block.snapshot, block.seconds + (0.03 if first else 0.0))
    now = block.seconds
    assert transport.now_view(now).position_at(now) == pytest.approx(now * 44_100, abs=10.0)


def test_a_jump_beyond_50_ms_is_a_new_epoch_and_a_late_burst_is_not() -> None:
    transport = HostTransport(ManualClock())
    blocks = list(HostSimulator(HostScript(block_samples=480)).blocks(400))
    for block in blocks[:200]:
        transport.observe(block.snapshot, block.seconds)
    for block in blocks[200:220]:  # the network held them up for 100 ms
        transport.observe(block.snapshot, max(block.seconds, blocks[210].seconds))
    assert transport.now_view(blocks[219].seconds).epoch == 1
    jumped = replace(blocks[220].snapshot, song_sample=blocks[220].snapshot.song_sample + 2_880, sequence=220)
    transport.observe(jumped, blocks[220].seconds)
    view = transport.now_view(blocks[220].seconds)
    assert view.epoch == 2
    assert view.position_at(blocks[220].seconds) == pytest.approx(jumped.song_sample * 44_100 / 48_000, abs=300.0)
    assert [event.kind for event in transport.events()] == ["started", "located"]


def test_a_lost_host_is_unknown_and_plays_on_until_it_is_found() -> None:
    clock = ManualClock()
    transport = HostTransport(clock)
    blocks = list(HostSimulator(HostScript(block_samples=480)).blocks(1000))
    _feed(transport, blocks[:100])
    assert transport.now_view(blocks[99].seconds + 1.99).state == "playing"
    view = transport.now_view(4.0)
    assert (view.state, view.moving, view.epoch) == ("unknown", True, 1)
    assert view.position_at(4.0) == pytest.approx(4.0 * 44_100, abs=0.01)
    transport.observe(blocks[500].snapshot, blocks[500].seconds + 0.02)
    view = transport.now_view(5.02)
    assert (view.state, view.epoch) == ("playing", 1)
    assert view.position_at(5.02) == pytest.approx(5.0 * 44_100, abs=1.0)
    assert [event.kind for event in transport.events()] == ["started", "lost", "found"]


def test_a_host_that_comes_back_elsewhere_is_a_new_epoch() -> None:
    clock = ManualClock()
    transport = HostTransport(clock)
    transport.observe(_snapshot(0), 0.0)
    clock.advance_to(3.0)
    assert [event.kind for event in transport.events()] == ["started", "lost"]
    transport.observe(_snapshot(300, 0, playing=False), 3.0)
    view = transport.now_view(3.0)
    assert (view.state, view.moving, view.epoch, view.position_at(9.0)) == ("stopped", False, 2, 0.0)
    assert view.segments(3.0, 256)[0].song_step == 0.0


def test_a_stopped_host_that_falls_silent_is_unknown_and_stands() -> None:
    transport = HostTransport(ManualClock())
    transport.observe(_snapshot(0, 4_800, playing=False), 0.0)
    view = transport.now_view(2.1)
    assert (view.state, view.moving, view.position_at(2.1)) == ("unknown", False, 4_410.0)


def test_commands_in_parts_make_a_transport_too() -> None:
    transport = HostTransport(ManualClock())
    assert transport.now_view(0.0).state == "stopped"
    transport.set_tempo(90.0, 0.0)
    transport.set_time_signature(3, 4, 0.0)
    transport.play(10.0)
    view = transport.now_view(1000.0)
    assert view.state == "playing"
    assert view.position_at(12.0) == pytest.approx(2 * 44_100)
    assert view.timeline == Timeline.constant(90.0, 3, 4)
    assert (view.bpm, view.numerator) == (90.0, 3)
    transport.set_tempo(120.0, 12.0)  # beat 3
    view = transport.now_view(12.0)
    assert view.timeline.sample_at_beat(5) == 3 * 44_100
    assert view.position_at(13.0) == pytest.approx(3 * 44_100)
    transport.locate(0.0, 13.0)
    transport.set_loop(True, 0.0, 3.0, 13.0)
    view = transport.now_view(13.0)
    assert view.position_at(15.5) == pytest.approx(0.5 * 44_100)
    transport.stop(15.5)
    assert transport.now_view(99.0).position_at(99.0) == pytest.approx(0.5 * 44_100)
    assert transport.now_view(99.0).epoch == 3
    kinds = [event.kind for event in transport.events()]
    assert kinds == [
        "tempo_changed", "signature_changed", "started", "tempo_changed", "located", "loop_changed", "stopped",
    ]  # fmt: skip


def test_parts_are_ignored_while_snapshots_tell_everything_and_take_over_when_they_end() -> None:
    transport = HostTransport(ManualClock())
    transport.observe(_snapshot(0), 0.0)
    transport.stop(0.5)
    assert transport.now_view(0.5).moving
    assert transport.stats().ignored_parts == 1
    transport.stop(3.0)
    view = transport.now_view(60.0)
    assert view.state == "stopped"
    assert view.position_at(60.0) == pytest.approx(3 * 44_100)


def test_sequence_numbers_wrap_and_a_restarted_sender_is_taken() -> None:
    transport = HostTransport(ManualClock())
    for i, sequence in enumerate([2**31 - 2, 2**31 - 1, -(2**31), -(2**31) + 1]):
        transport.observe(_snapshot(sequence, 480 * i), 0.01 * i)
    assert (transport.stats().snapshots, transport.stats().old) == (4, 0)
    transport.observe(_snapshot(0, 480 * 4), 0.04)
    transport.observe(_snapshot(1, 480 * 5), 0.05)
    assert transport.stats().snapshots >= 5
    assert transport.now_view(0.05).position_at(0.05) == pytest.approx(0.05 * 44_100, abs=1.0)
    transport = HostTransport(ManualClock())
    transport.observe(_snapshot(50, 0), 0.0)
    transport.observe(_snapshot(0, 48_000), 1.0)
    assert (transport.stats().snapshots, transport.stats().restarts) == (2, 1)


def test_a_tempo_step_and_a_ramp_are_told_once_each() -> None:
    tempos = (ScriptTempo(0, 120.0), ScriptTempo(4, 100.0), ScriptTempo(8, 100.0, ramp=True), ScriptTempo(12, 130.0))
    transport = HostTransport(ManualClock())
    _feed(transport, list(HostSimulator(HostScript(tempos=tempos)).blocks(900)))
    kinds = [event.kind for event in transport.events()]
    assert kinds.count("tempo_ramp") == 1
    assert kinds.count("tempo_changed") == 3  # the step, the ramp's first change, its end


def test_wrong_values_are_refused_with_the_remedy() -> None:
    transport = HostTransport(ManualClock())
    with pytest.raises(ValueError, match="tempo 1000 bpm"):
        transport.set_tempo(1000.0, 0.0)
    with pytest.raises(ValueError, match="7/9"):
        transport.set_time_signature(7, 9, 0.0)
    with pytest.raises(ValueError, match="empty"):
        transport.set_loop(True, 4.0, 4.0, 0.0)
    with pytest.raises(ValueError, match="nan"):
        transport.locate(float("nan"), 0.0)
    good = _snapshot(0)
    for name, value in [
        ("bpm", 5.0),
        ("ppq", float("nan")),
        ("rate_hz", 10),
        ("denominator", 5),
        ("song_sample", 2**60),
    ]:
        with pytest.raises(ValueError, match=r"out of range|not possible"):
            replace(good, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        replace(good, loop_on=True, loop_start_ppq=4.0, loop_end_ppq=4.0)


@given(st.integers(0, 400_000), st.integers(1, 500_000), st.integers(500, 90_000))
@settings(max_examples=60, deadline=None)
def test_upcoming_and_segments_unroll_the_loop_without_a_gap(position: int, samples: int, loop_samples: int) -> None:
    transport = HostTransport(ManualClock())
    end_ppq = (44_100 + loop_samples) / 22_050
    snapshot = TransportSnapshot(
        True, position, 44_100, position / 22_050, 120.0, 4, 4, True, 2.0, end_ppq, 0
    )  # fmt: skip
    transport.observe(snapshot, 0.0)
    view = transport.now_view(0.0)
    ranges = view.upcoming(position, samples)
    assert sum(end - start for start, end in ranges) == pytest.approx(samples)
    assert ranges[0][0] == position
    assert all(start == 44_100 for start, _ in ranges[1:])
    segments = view.segments(0.0, samples)
    assert sum(segment.samples for segment in segments) == samples
    assert [round(segment.song_start) for segment in segments] == [round(start) for start, _ in ranges]


def test_two_threads_may_feed_and_read_at_once() -> None:
    transport, errors = HostTransport(ManualClock()), []
    blocks = list(HostSimulator(HostScript(block_samples=256)).blocks(2000))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            view = transport.now_view(blocks[-1].seconds)
            if view.moving and not 0 <= view.position_at(blocks[-1].seconds) <= 12 * 44_100:
                errors.append(view)

    thread = threading.Thread(target=read)
    thread.start()
    _feed(transport, blocks)
    done.set()
    thread.join(5.0)
    assert not errors
    assert not thread.is_alive()
