"""A microphone's blocks on the host's timeline: no drift beyond a millisecond, no click, loops cut on the sample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.hearing.input import DeviceVocal
from bridge.hearing.packets import Audio, VocalPacket
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.transport.host import HostTransport
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction


@dataclass(frozen=True)
class _Loop:
    start_sample: int
    end_sample: int


@dataclass(frozen=True)
class _View:
    """A host whose song was at `origin` at time 0 and runs at its own idea of 44.1 kHz."""

    origin: float = 0.0
    rate_hz: float = 44_100.0
    loop: _Loop | None = None
    moving: bool = True
    epoch: int = 0

    def position_at(self, seconds: float) -> float:
        position = self.origin + seconds * self.rate_hz
        if self.loop is not None and position >= self.loop.end_sample:
            length = self.loop.end_sample - self.loop.start_sample
            position = self.loop.start_sample + (position - self.loop.start_sample) % length
        return position


@dataclass
class _Host:
    view: _View

    def now_view(self, now_seconds: float) -> _View:
        return self.view


def _block(samples: int) -> Audio:
    return np.full((1, samples), 0.25, np.float32)


def _fed(
    vocal: DeviceVocal, seconds: float, rate_hz: int, jitter_seconds: float = 0.0
) -> list[tuple[float, VocalPacket]]:
    """Return (capture time, packet) of a tone that is captured in blocks of 256."""
    rng = np.random.default_rng(2)
    out = []
    for start in range(0, round(seconds * rate_hz), 256):
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(start, start + 256) / rate_hz)
        captured = start / rate_hz
        block = tone.astype(np.float32)[None]
        out += [(captured, p) for p in vocal.packets(block, captured + rng.uniform(-jitter_seconds, jitter_seconds))]
    return out


@pytest.mark.parametrize("host_ppm", [-200, -50, 0, 50, 200])
@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_drift_is_followed_within_a_millisecond(host_ppm: int, rate_hz: int) -> None:
    view = _View(origin=10_000.0, rate_hz=44_100 * (1 + host_ppm * 1e-6))
    vocal = DeviceVocal(_Host(view), rate_hz)
    fed = _fed(vocal, 20.0, rate_hz, jitter_seconds=0.001)
    position = fed[0][1].host_sample
    for captured, packet in fed:
        assert packet.host_sample == position  # each goes on where the one before ended
        error_seconds = packet.host_sample / rate_hz - view.position_at(captured) / 44_100
        assert abs(error_seconds) < 0.0015 if captured < 1.0 else abs(error_seconds) < 0.0006
        position += packet.samples.shape[1]
    assert abs(vocal.slipped_samples - host_ppm * 1e-6 * 20.0 * rate_hz) < 0.0015 * rate_hz


def test_following_does_not_click() -> None:
    vocal = DeviceVocal(_Host(_View(rate_hz=44_100 * 1.0004)), 44_100)
    whole = np.concatenate([packet.samples for _, packet in _fed(vocal, 5.0, 44_100)], axis=1)[0].astype(np.float64)
    assert abs(vocal.slipped_samples) > 40
    steepest = 0.5 * 2 * np.pi * 440 / 44_100
    assert float(np.abs(np.diff(whole)).max()) < steepest * 1.02


def test_packets_go_through_the_vocal_buffer_as_one_run() -> None:
    vocal = DeviceVocal(_Host(_View(origin=777.0, rate_hz=44_100 * 1.0001)), 44_100)
    buffer = VocalBuffer(ManualClock())
    samples = 0
    for captured, packet in _fed(vocal, 3.0, 44_100):
        buffer.push(packet, captured)
        samples += packet.samples.shape[1]
    runs = buffer.take(100.0)
    assert [run.continues for run in runs] == [False]
    assert (runs[0].song_sample, runs[0].audio.shape[1], runs[0].missing_samples) == (777, samples, 0)


def test_a_real_transport_is_followed_through_its_loop() -> None:
    script = HostScript(
        actions=(ScriptAction(0.0, "locate", 2.0), ScriptAction(0.0, "loop", 1.0, 5.0), ScriptAction(0.0, "play")),
        clock_ratio=1.0001,
    )
    transport, simulator = HostTransport(ManualClock()), HostSimulator(script)
    vocal, next_block, heard = DeviceVocal(transport, 44_100), simulator.step(), list[tuple[float, VocalPacket]]()
    for start in range(0, 44_100 * 6, 256):
        captured = start / 44_100
        while next_block.seconds <= captured:
            transport.observe(next_block.snapshot, next_block.seconds)
            next_block = simulator.step()
        heard += [(captured, packet) for packet in vocal.packets(_block(256), captured)]
    beat_samples, loop_samples = 22_050, 4 * 22_050
    assert max(packet.host_sample + packet.samples.shape[1] for _, packet in heard) == 5 * beat_samples
    for captured, packet in heard:
        unrolled = 2 * beat_samples + captured * 44_100 * script.clock_ratio
        error = (packet.host_sample - unrolled + loop_samples / 2) % loop_samples - loop_samples / 2
        after_a_wrap = packet.host_sample == beat_samples  # the second half of a block, sung later than its start
        assert abs(error) < (300 if after_a_wrap else 44)
    assert sum(packet.host_sample == beat_samples for _, packet in heard) == 3


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_a_loop_is_cut_on_its_sample(rate_hz: int) -> None:
    loop = _Loop(22_050, 44_100)
    vocal = DeviceVocal(_Host(_View(origin=30_000.0, loop=loop)), rate_hz)
    packets = [packet for _, packet in _fed(vocal, 3.0, rate_hz, jitter_seconds=0.0003)]
    ends = {packet.host_sample + packet.samples.shape[1] for packet in packets}
    start, end = loop.start_sample * rate_hz // 44_100, loop.end_sample * rate_hz // 44_100
    assert max(ends) == end
    wraps = [
        (before, after)
        for before, after in pairwise(packets)
        if after.host_sample != before.host_sample + before.samples.shape[1]
    ]
    assert len(wraps) == 6
    for before, after in wraps:
        assert before.host_sample + before.samples.shape[1] == end
        assert after.host_sample == start
    assert [packet.sequence for packet in packets] == list(range(len(packets)))


def test_a_jittery_wrap_is_no_jump() -> None:
    vocal = DeviceVocal(_Host(_View(loop=_Loop(0, 2_560))), 44_100)
    places = [vocal.packets(_block(256), max(0.0, i * 256 / 44_100 - 0.0002))[0].host_sample for i in range(50)]
    assert places == [i % 10 * 256 for i in range(50)]  # though at each wrap the host seems to be at the loop's end


def test_a_wrong_beginning_is_mended_without_overshooting() -> None:
    vocal, slipped = DeviceVocal(_Host(_View()), 44_100), []
    for i in range(600):
        vocal.packets(_block(256), i * 256 / 44_100 - (0.003 if i == 0 else 0.0))
        slipped.append(vocal.slipped_samples)
    wrong = 0.003 * 44_100
    assert slipped == sorted(slipped)
    assert wrong - 12 < slipped[-1] < wrong + 1


def test_a_loop_shorter_than_a_block_wraps_as_often_as_it_must() -> None:
    vocal = DeviceVocal(_Host(_View(loop=_Loop(0, 500))), 44_100)
    packets = vocal.packets(_block(1_200), 0.0)
    assert [(packet.host_sample, packet.samples.shape[1]) for packet in packets] == [(0, 500), (0, 500), (0, 200)]


def test_nothing_is_heard_while_the_host_stands() -> None:
    host = _Host(_View(origin=500.0, moving=False))
    vocal = DeviceVocal(host, 44_100)
    assert vocal.packets(_block(256), 0.0) == ()
    host.view = _View(origin=90_000.0, epoch=1)
    (packet,) = vocal.packets(_block(256), 0.0)
    assert packet.host_sample == 90_000


def test_a_locate_is_followed_at_once_by_its_epoch_or_its_distance() -> None:
    host = _Host(_View())
    vocal = DeviceVocal(host, 44_100)
    vocal.packets(_block(256), 0.0)
    host.view = _View(origin=400.0, epoch=1)
    assert vocal.packets(_block(256), 256 / 44_100)[0].host_sample == 656
    host.view = _View(origin=44_100.0, epoch=1)
    assert vocal.packets(_block(256), 512 / 44_100)[0].host_sample == 44_612


def test_a_lost_input_block_is_not_followed_for_ever() -> None:
    vocal = DeviceVocal(_Host(_View()), 44_100)
    for i in range(200):
        if i != 20:
            (packet,) = vocal.packets(_block(441), i * 0.01)
    assert abs(packet.host_sample - 199 * 441) <= 0.0005 * 44_100
    assert packet.samples.shape == (1, 441)


def test_the_host_s_latency_is_taken_off() -> None:
    vocal = DeviceVocal(_Host(_View(origin=10_000.0)), 48_000, stream=5, heard_later_seconds=0.01)
    (packet,) = vocal.packets(_block(256), 0.0)
    assert (packet.host_sample, packet.stream) == (round((10_000 - 441) * 48_000 / 44_100), 5)


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        DeviceVocal(_Host(_View()), 500)
