"""The vocal buffer against networks of every badness: what arrives is in place to the bit, what does not is silence."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.hearing.ordering import PAUSE_SECONDS
from bridge.hearing.packets import Audio, VocalPacket
from bridge.hearing.vocal_buffer import VocalBuffer, VocalRun

FADE_SAMPLES = 88
LONG_AFTER_SECONDS = 1_000.0


def _noise(samples: int, channels: int = 2, seed: int = 3) -> Audio:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def _packets(
    audio: Audio, block_samples: int, rate_hz: int = 44_100, start: int = 0, sequence: int = 0, stream: int = 1
) -> list[VocalPacket]:
    return [
        VocalPacket(stream, sequence + i, start + place, rate_hz, audio[:, place : place + block_samples])
        for i, place in enumerate(range(0, audio.shape[1], block_samples))
    ]


def _buffer(reorder_seconds: float = 0.02) -> VocalBuffer:
    return VocalBuffer(ManualClock(), reorder_seconds)


def _sent(buffer: VocalBuffer, packets: Iterable[VocalPacket], start_seconds: float = 0.0) -> float:
    """Push packets as fast as they sound, and return when the last came."""
    now = start_seconds
    for packet in packets:
        buffer.push(packet, now)
        now += packet.samples.shape[1] / packet.rate_hz
    return now


def _joined(runs: Iterable[VocalRun]) -> list[tuple[int, Audio, int]]:
    """Return each run with what continues it: (song_sample, audio, missing_samples); checks that continuing is true."""
    whole: list[tuple[int, Audio, int]] = []
    for run in runs:
        if run.continues:
            start, audio, missing = whole[-1]
            assert run.song_sample == start + audio.shape[1]
            whole[-1] = (start, np.concatenate((audio, run.audio), axis=1), missing + run.missing_samples)
        else:
            whole.append((run.song_sample, run.audio, run.missing_samples))
    return whole


def _heard(buffer: VocalBuffer, packets: Iterable[VocalPacket]) -> list[tuple[int, Audio, int]]:
    _sent(buffer, packets)
    return _joined(buffer.take(LONG_AFTER_SECONDS))


@pytest.mark.parametrize("block_samples", [1, 2, 7, 64, 4_410])
@pytest.mark.parametrize("channels", [1, 2])
def test_44_1_khz_passes_bit_for_bit(block_samples: int, channels: int) -> None:
    audio = _noise(600 if block_samples < 7 else 9_000, channels)
    ((start, heard, missing),) = _heard(_buffer(), _packets(audio, block_samples, start=777))
    assert (start, missing) == (777, 0)
    assert np.array_equal(heard, np.broadcast_to(audio, (2, audio.shape[1])))


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 32_000, 47_999, 48_000, 88_200, 96_000, 384_000])
@pytest.mark.parametrize("start", [0, 1, 12_345, -4_001])
def test_a_click_is_heard_at_its_song_sample(rate_hz: int, start: int) -> None:
    for place in (0, 101, rate_hz // 2):
        audio = np.zeros((1, rate_hz), np.float32)
        audio[0, place] = 1.0
        ((song_sample, heard, _),) = _heard(_buffer(), _packets(audio, 480, rate_hz, start))
        expected = round((start + place) * 44_100 / rate_hz)
        assert abs(song_sample + int(np.abs(heard[0]).argmax()) - expected) <= 1
        assert abs(song_sample + heard.shape[1] - (start + rate_hz) * 44_100 / rate_hz) <= 1


def test_where_a_run_begins_does_not_change_what_is_sung_later() -> None:
    audio = _noise(48_000, 1)
    ((_, early, _),) = _heard(_buffer(), _packets(audio, 512, 48_000, 0))
    for start in (7_001, 13_337):
        ((song_sample, heard, _),) = _heard(_buffer(), _packets(audio[:, start:], 300, 48_000, start))
        settled = 2_000
        assert np.abs(heard[:, settled:] - early[:, song_sample + settled :]).max() < 1e-5


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("seed", range(6))
def test_a_bad_network_moves_nothing(rate_hz: int, seed: int) -> None:
    rng, block_samples = np.random.default_rng(seed), 256
    audio = _noise(block_samples * 400, 2, seed)
    packets = _packets(audio, block_samples, rate_hz, start=9_000)
    block_seconds = block_samples / rate_hz
    lost = set(rng.choice(np.arange(1, 399), 25, replace=False).tolist())
    arrivals = []
    for i, packet in enumerate(packets):
        copies = 0 if i in lost else 1 + (rng.random() < 0.1)
        arrivals += [(i * block_seconds + rng.uniform(0, 0.018), packet) for _ in range(copies)]
    arrivals.sort(key=lambda arrival: arrival[0])
    buffer, runs = _buffer(), list[VocalRun]()
    for arrived, packet in arrivals:
        buffer.push(packet, arrived)
        if rng.random() < 0.2:
            runs.extend(buffer.take(arrived))
    runs.extend(buffer.take(LONG_AFTER_SECONDS))
    ((start, heard, missing),) = _joined(runs)
    assert buffer.stats.lost_packets == len(lost)
    assert buffer.stats.duplicate == len(arrivals) - (400 - len(lost))
    assert buffer.stats.late == buffer.stats.jumps == buffer.stats.bad == 0
    assert buffer.stats.reordered > 20
    assert missing == buffer.stats.lost_samples
    assert abs(missing - len(lost) * block_samples * 44_100 / rate_hz) <= len(lost)
    if rate_hz == 44_100:
        assert start == 9_000
        for i in range(400):
            block = heard[:, i * block_samples : (i + 1) * block_samples]
            if i not in lost:
                assert np.array_equal(block, packets[i].samples)
            else:
                assert not block[:, FADE_SAMPLES:-FADE_SAMPLES].any()
    else:
        ((_, clean, _),) = _heard(_buffer(), [packet for i, packet in enumerate(packets) if i not in lost])
        assert np.array_equal(heard, clean)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_heard_does_not_depend_on_when_it_is_taken(seed: int) -> None:
    audio = _noise(44_100, 1)
    packets = _packets(audio, 300, 48_000)
    for index in (12, 13, 60):
        packets[index] = packets[index - 1]

    def heard(probability: float) -> list[tuple[int, Audio, int]]:
        rng, buffer, runs = np.random.default_rng(seed), _buffer(), list[VocalRun]()
        for i, packet in enumerate(packets):
            buffer.push(packet, i * 300 / 48_000)
            while rng.random() < probability:
                runs.extend(buffer.take(i * 300 / 48_000 + rng.uniform(0, 0.006)))
        return _joined([*runs, *buffer.take(LONG_AFTER_SECONDS)])

    ((_, seldom, few),), ((_, often, many),) = heard(0.0), heard(0.7)
    assert few == many > 0
    assert np.abs(seldom - often).max() < 1e-6


def test_a_gap_is_waited_for_exactly_as_long_as_told() -> None:
    packets, buffer = _packets(_noise(3_000), 1_000), _buffer(reorder_seconds=0.02)
    buffer.push(packets[0], 0.0)
    assert buffer.take(0.0199) == ()  # the first packet waits for any that were sent before it
    assert buffer.take(0.02)[0].audio.shape == (2, 1_000)
    buffer.push(packets[2], 0.1)
    assert buffer.take(0.1199) == ()
    (run,) = buffer.take(0.12)
    assert (run.song_sample, run.audio.shape[1], run.missing_samples, run.continues) == (1_000, 2_000, 1_000, True)
    assert np.array_equal(run.audio[:, 1_000:], packets[2].samples)
    buffer.push(packets[1], 0.1201)
    assert buffer.stats.late == 1
    assert buffer.take(0.13) == ()


def test_a_packet_just_in_time_closes_the_gap_at_once() -> None:
    packets, buffer = _packets(_noise(3_000), 1_000), _buffer()
    _sent(buffer, packets[:1])
    buffer.take(0.05)
    buffer.push(packets[2], 0.1)
    buffer.push(packets[1], 0.1199)
    (run,) = buffer.take(0.1199)
    assert (run.missing_samples, run.audio.shape[1]) == (0, 2_000)
    assert buffer.stats.reordered == 1
    assert buffer.stats.late == buffer.stats.lost_packets == 0


def test_packets_before_the_first_to_arrive_are_not_lost() -> None:
    audio = _noise(4_000)
    packets = _packets(audio, 1_000)
    buffer = _buffer()
    for packet in (packets[1], packets[2], packets[0], packets[3]):
        buffer.push(packet, 0.001)
    ((start, heard, missing),) = _joined(buffer.take(1.0))
    assert (start, missing) == (0, 0)
    assert np.array_equal(heard, audio)


def test_a_gap_does_not_click() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 220 * np.arange(44_100) / 44_100 + 1.0)).astype(np.float32)[None]
    packets = _packets(tone, 441)
    del packets[40], packets[60]
    ((_, heard, missing),) = _heard(_buffer(), packets)
    assert missing == 882
    steps = np.abs(np.diff(heard[0]))
    assert float(steps.max()) < 0.05  # the tone's own steepest step is 0.016; a bare cut would be up to 0.5
    kept = np.r_[0 : 40 * 441, 41 * 441 : 61 * 441, 62 * 441 : 44_100]
    assert np.array_equal(heard[0, kept], tone[0, kept])


def test_a_loop_wrap_starts_a_new_run() -> None:
    audio = _noise(4_000)
    first = _packets(audio, 1_000)
    second = _packets(audio, 1_000, sequence=4)
    (a, b) = _heard(_buffer(), first + second)
    assert (a[0], b[0]) == (0, 0)
    assert np.array_equal(a[1], audio)
    assert np.array_equal(b[1], audio)


def test_a_loop_wrap_is_told_from_reordering() -> None:
    audio = _noise(4_000)
    packets = _packets(audio, 1_000) + _packets(audio, 1_000, sequence=4)
    packets[3], packets[4] = packets[4], packets[3]
    packets[5], packets[6] = packets[6], packets[5]
    (a, b) = _heard(_buffer(0.05), packets)
    assert np.array_equal(a[1], audio)
    assert np.array_equal(b[1], audio)


@pytest.mark.parametrize("there", [100_000, 4_050, -4_000, 3_500])
def test_a_locate_starts_a_new_run_and_loses_nothing(there: int) -> None:
    audio = _noise(4_000)
    buffer = _buffer()
    (a, b) = _heard(buffer, _packets(audio, 1_000) + _packets(audio, 1_000, start=there, sequence=4))
    assert (a[0], b[0]) == (0, there)
    assert np.array_equal(b[1], audio)
    assert buffer.stats.jumps == 1
    assert buffer.stats.lost_samples == 0


def test_a_locate_with_a_lost_packet_is_no_gap() -> None:
    audio = _noise(4_000)
    buffer = _buffer()
    (a, b) = _heard(buffer, [*_packets(audio, 1_000)[:3], *_packets(audio, 1_000, start=50_000, sequence=4)])
    assert a[1].shape[1] == 3_000
    assert (b[0], b[2]) == (50_000, 0)
    assert (buffer.stats.lost_packets, buffer.stats.lost_samples, buffer.stats.jumps) == (1, 0, 1)


def test_a_change_of_rate_starts_a_new_run_in_its_place() -> None:
    buffer = _buffer()
    packets = _packets(_noise(4_410), 441) + _packets(_noise(4_800), 480, 48_000, start=4_800, sequence=10)
    (a, b) = _heard(buffer, packets)
    assert (a[0], a[1].shape[1]) == (0, 4_410)
    assert b[0] == 4_410
    assert abs(b[1].shape[1] - 4_410) <= 1


def test_a_position_off_by_rounding_goes_on() -> None:
    audio = _noise(8_000)
    packets = [
        VocalPacket(1, packet.sequence, packet.host_sample + (-1, 0, 1)[packet.sequence % 3], 44_100, packet.samples)
        for packet in _packets(audio, 100, start=1)
    ]
    ((_, heard, missing),) = _heard(_buffer(), packets)
    assert missing == 0
    assert np.array_equal(heard, audio)


def test_a_sequence_wraps() -> None:
    audio = _noise(4_000)
    packets = [
        VocalPacket(1, sequence, packet.host_sample, 44_100, packet.samples)
        for packet, sequence in zip(_packets(audio, 1_000), (2**31 - 2, 2**31 - 1, -(2**31), -(2**31) + 1), strict=True)
    ]
    packets[1], packets[2] = packets[2], packets[1]
    ((_, heard, missing),) = _heard(_buffer(0.1), packets)
    assert missing == 0
    assert np.array_equal(heard, audio)


@pytest.mark.parametrize("sequence", [0, 1_000_000])
def test_a_host_that_counts_anew_is_heard_at_once(sequence: int) -> None:
    audio = _noise(8_000)
    before = _packets(audio[:, :4_000], 1_000, sequence=500)
    after = _packets(audio[:, 4_000:], 1_000, start=4_000, sequence=sequence or 501)
    buffer = _buffer()
    ((_, heard, missing),) = _heard(buffer, before + after)
    assert missing == 0
    assert np.array_equal(heard, audio)
    assert buffer.stats.late == buffer.stats.duplicate == 0


def test_a_client_that_does_not_count_is_heard_as_it_comes() -> None:
    audio = _noise(8_000)
    packets = [VocalPacket(1, 0, p.host_sample, 44_100, p.samples) for p in _packets(audio, 500)]
    ((_, heard, missing),) = _heard(_buffer(), packets)
    assert missing == 0
    assert np.array_equal(heard, audio)


def test_a_pause_ends_the_run_and_lets_its_end_out() -> None:
    audio = _noise(4_800)
    buffer = _buffer()
    end = _sent(buffer, _packets(audio, 480, 48_000))
    last_arrival = end - 0.01
    runs = list(buffer.take(last_arrival + PAUSE_SECONDS - 0.001))
    assert sum(run.audio.shape[1] for run in runs) < 4_410
    runs += buffer.take(last_arrival + PAUSE_SECONDS)
    ((_, heard, _),) = _joined(runs)
    assert heard.shape[1] == 4_410
    _sent(buffer, _packets(audio, 480, 48_000, start=4_800, sequence=10), start_seconds=5.0)
    (run,) = buffer.take(6.0)
    assert not run.continues
    assert run.song_sample == 4_410


def test_another_stream_takes_over_after_a_second_of_silence_only() -> None:
    mine, other = _packets(_noise(4_410), 441), _packets(_noise(4_410, seed=9), 441, stream=2, sequence=70)
    buffer = _buffer()
    _sent(buffer, mine)
    _sent(buffer, other[:5], start_seconds=0.5)
    assert buffer.stats.other_stream == 5
    _sent(buffer, other[5:], start_seconds=1.2)
    a, b = _joined(buffer.take(LONG_AFTER_SECONDS))
    assert np.array_equal(a[1], np.concatenate([packet.samples for packet in mine], axis=1))
    assert b[0] == 5 * 441
    assert buffer.stats.other_stream == 5


def test_nobody_taking_does_not_fill_the_memory() -> None:
    buffer, audio = _buffer(), _noise(44_100 * 7, 1)
    _sent(buffer, _packets(audio, 2_048))
    ((start, heard, _),) = _joined(buffer.take(LONG_AFTER_SECONDS))
    assert heard.shape[1] <= 4 * 44_100
    assert buffer.stats.overflow == start == audio.shape[1] - heard.shape[1]
    assert np.array_equal(heard[0], audio[0, start:])


def test_a_flood_behind_a_gap_does_not_fill_the_memory() -> None:
    buffer = _buffer()
    buffer.push(VocalPacket(1, 0, 0, 44_100, _noise(100)), 0.0)
    buffer.take(0.05)
    for i in range(2, 400):
        buffer.push(VocalPacket(1, i, i * 40_000, 44_100, _noise(40_000, 1, 0)), 0.06)
    runs = buffer.take(0.06)
    assert sum(run.audio.shape[1] for run in runs) <= 4 * 44_100 + 40_000
    assert buffer.stats.overflow > 300 * 40_000


def test_a_stream_of_nonsense_ends_in_counts_and_finite_audio() -> None:
    rng, buffer, total = np.random.default_rng(8), _buffer(), 0
    for i in range(3_000):
        packet = VocalPacket(
            int(rng.integers(3)),
            int(rng.integers(-(2**31), 2**31)) if rng.random() < 0.3 else i,
            int(rng.integers(-(2**47), 2**47)) if rng.random() < 0.3 else i * 32,
            int(rng.choice([8_000, 44_100, 48_000])),
            _noise(32, 1, i),
        )
        buffer.push(packet, i * 1e-3)
        if i % 100 == 0:
            runs = buffer.take(i * 1e-3)
            total += sum(run.audio.shape[1] for run in runs)
            assert all(np.isfinite(run.audio).all() for run in runs)
    stats = buffer.stats
    assert stats.packets == 3_000
    assert stats.other_stream > 500
    assert stats.jumps > 100
    assert total > 0


def test_bad_packets_are_counted_and_the_clock_is_used_where_no_time_is_given() -> None:
    clock = ManualClock(50.0)
    buffer = VocalBuffer(clock)
    buffer.count_bad()
    buffer.push(VocalPacket(1, 0, 0, 44_100, _noise(10)))
    assert buffer.take() == ()
    clock.advance(0.02)
    assert buffer.take()[0].audio.shape == (2, 10)
    assert (buffer.stats.bad, buffer.stats.packets) == (1, 2)


def test_two_threads_lose_nothing() -> None:
    audio = _noise(44_100 * 2, 1)
    buffer, runs, done = _buffer(), list[VocalRun](), threading.Event()
    packets = _packets(audio, 64, 48_000)

    def generate() -> None:
        while not done.is_set():
            runs.extend(buffer.take(0.0))
            done.wait(1e-4)

    taker = threading.Thread(target=generate)
    taker.start()
    _sent(buffer, packets)
    done.set()
    taker.join()
    ((_, heard, missing),) = _joined([*runs, *buffer.take(LONG_AFTER_SECONDS)])
    ((_, clean, _),) = _heard(_buffer(), packets)
    assert missing == 0
    assert np.abs(heard - clean).max() < 1e-6


@pytest.mark.parametrize("reorder_seconds", [-0.001, 0.21, float("nan")])
def test_impossible_waits_are_refused(reorder_seconds: float) -> None:
    with pytest.raises(ValueError, match="reorder_seconds"):
        VocalBuffer(ManualClock(), reorder_seconds)
