"""The sender on a manual clock: what leaves, when it leaves, and that the vocal buffer hears the vocal again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.hearing.packets import Audio, VocalPacket
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.osc.wire import Message, decode, encode
from bridge.send.network import BadNetwork
from bridge.send.player import FAREWELLS, PlacedVocal, PlayedBlock, Player, SendReport, unlooped
from bridge.transport.snapshot import TransportSnapshot

RATE_HZ = 48_000


@dataclass
class _FakeLink:
    """Notes what is sent and when; answers with what it is given."""

    clock: ManualClock
    sent: list[tuple[float, Message]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    refused: int = 0

    def send(self, datagram: bytes) -> None:
        (message,) = decode(datagram)
        self.sent.append((self.clock.now(), message))

    def received(self) -> list[bytes]:
        answers, self.answers = self.answers, []
        return answers


def _vocal(samples: int, channels: int = 1) -> Audio:
    return np.random.default_rng(6).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def _snapshot(song_sample: int, playing: bool = True) -> TransportSnapshot:
    return TransportSnapshot(playing, song_sample, RATE_HZ, song_sample / 24_000, 120.0, 4, 4, False, 0.0, 0.0, 0)


def _blocks(samples: int, block_samples: int, start: int = 0) -> Iterator[PlayedBlock]:
    for place in range(0, samples, block_samples):
        yield PlayedBlock(_snapshot(start + place), min(block_samples, samples - place))


def _heard(link: _FakeLink) -> VocalBuffer:
    buffer = VocalBuffer(link.clock)
    for at_seconds, message in link.sent:
        if message.address == "/backline/vocal":
            buffer.push(VocalPacket.from_pcm(*message.values), at_seconds)  # type: ignore[arg-type]
    return buffer


@pytest.mark.parametrize("speed", [1.0, 2.0, 0.5])
def test_blocks_leave_when_their_time_comes(speed: float) -> None:
    clock = ManualClock(100.0)
    link = _FakeLink(clock)
    report = Player(PlacedVocal(_vocal(RATE_HZ), 0), link, clock).play(_blocks(RATE_HZ, 480), speed)
    starts = [at for at, message in link.sent if message.address == "/backline/transport"]
    assert starts[:100] == pytest.approx([100.0 + i * 0.01 / speed for i in range(100)])
    assert starts[100:] == pytest.approx([100.0 + 1.0 / speed] * FAREWELLS)
    assert (report.snapshots, report.packets, report.datagrams) == (100 + FAREWELLS, 100, 200 + FAREWELLS)
    assert report.host_seconds == pytest.approx(1.0)
    assert report.late_blocks == report.refused == 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("block_samples", [37, 512, 5_000])
def test_the_vocal_buffer_hears_the_vocal_again(block_samples: int, channels: int) -> None:
    clock, audio = ManualClock(), _vocal(20_000, channels)
    link = _FakeLink(clock)
    Player(PlacedVocal(audio, 1_000), link, clock).play(_blocks(22_000, block_samples))
    packets = [VocalPacket.from_pcm(*m.values) for _, m in link.sent if m.address == "/backline/vocal"]  # type: ignore[arg-type]
    assert [packet.sequence for packet in packets] == list(range(len(packets)))
    joined = np.concatenate([packet.samples for packet in packets], axis=1)
    assert np.array_equal(joined, np.pad(audio, ((0, 0), (1_000, 1_000))))
    (run,) = _heard(link).take(1_000.0)
    assert (run.song_sample, run.missing_samples) == (0, 0)
    assert abs(run.audio.shape[1] - 22_000 * 0.91875) <= 1


def test_the_end_is_said_even_where_the_song_is_interrupted() -> None:
    clock = ManualClock()
    link = _FakeLink(clock)

    def interrupted() -> Iterator[PlayedBlock]:
        yield from _blocks(4_800, 480)
        raise KeyboardInterrupt

    player = Player(PlacedVocal(_vocal(4_800), 0), link, clock)
    with pytest.raises(KeyboardInterrupt):
        player.play(interrupted())
    last = [message.values for _, message in link.sent if message.address == "/backline/transport"][-FAREWELLS:]
    assert [values[0] for values in last] == [0] * FAREWELLS
    assert [values[-1] for values in last] == [10, 11, 12]


def test_a_stopped_host_sends_no_vocal() -> None:
    clock = ManualClock()
    link = _FakeLink(clock)
    report = Player(PlacedVocal(_vocal(4_800), 0), link, clock).play([PlayedBlock(_snapshot(0, playing=False), 480)])
    assert report.packets == 0
    assert {message.address for _, message in link.sent} == {"/backline/transport"}


def test_a_bad_network_is_between_and_stopping_is_past_it() -> None:
    clock = ManualClock()
    link, network = _FakeLink(clock), BadNetwork[bytes](0.2, 0.1, 0.1, np.random.default_rng(2))
    report = Player(PlacedVocal(_vocal(RATE_HZ), 0), link, clock, network).play(_blocks(RATE_HZ, 480))
    assert report.network == network.stats
    assert network.stats.taken == 200
    assert report.datagrams == len(link.sent) == 200 - network.stats.lost + network.stats.duplicated + FAREWELLS
    stats = _heard(link).stats
    assert stats.lost_packets > 5
    assert stats.duplicate > 2


def test_a_dead_network_still_says_the_end() -> None:
    clock = ManualClock()
    link, network = _FakeLink(clock), BadNetwork[bytes](1.0, 0.0, 0.0, np.random.default_rng(2))
    Player(PlacedVocal(_vocal(4_800), 0), link, clock, network).play(_blocks(4_800, 480))
    assert [message.values[0] for _, message in link.sent] == [0] * FAREWELLS


def test_what_comes_back_is_counted_and_late_blocks_too() -> None:
    clock = ManualClock()
    link = _FakeLink(clock, answers=[encode("/backline/error", ("/backline/vocal", "busy", "later"))], refused=3)

    def slow() -> Iterator[PlayedBlock]:
        for i, block in enumerate(_blocks(4_800, 480)):
            clock.advance(0.035 if i == 5 else 0.0)
            yield block

    report = Player(PlacedVocal(_vocal(4_800), 0), link, clock).play(slow())
    assert report.replies.errors == (("busy: later", 1),)
    assert report.refused == 3
    assert report.late_blocks == 2  # 25 and 15 ms late; the next one, 5 ms late, is no worse than jitter


def test_progress_is_told_ten_times_a_second() -> None:
    clock, told = ManualClock(), list[SendReport]()
    Player(PlacedVocal(_vocal(10), 0), _FakeLink(clock), clock).play(_blocks(RATE_HZ, 480), progress=told.append)
    assert 8 <= len(told) <= 10
    assert told[-1].packets > told[0].packets > 0


def test_a_block_is_cut_where_the_loop_wraps() -> None:
    assert list(unlooped(PlayedBlock(_snapshot(90), 30, (50, 100)))) == [(90, 10), (50, 20)]
    assert list(unlooped(PlayedBlock(_snapshot(90), 10, (50, 100)))) == [(90, 10)]
    assert list(unlooped(PlayedBlock(_snapshot(0), 250, (0, 100)))) == [(0, 100), (0, 100), (0, 50)]
    assert list(unlooped(PlayedBlock(_snapshot(200), 30, (50, 100)))) == [(200, 30)]
    assert list(unlooped(PlayedBlock(_snapshot(20), 30, None))) == [(20, 30)]


@pytest.mark.parametrize("place", [-300, -100, -50, 0, 40, 90, 150])
def test_a_placed_vocal_is_silent_beyond_its_ends(place: int) -> None:
    audio = _vocal(100, 2)
    whole = np.pad(audio, ((0, 0), (500, 500)))
    assert np.array_equal(PlacedVocal(audio, 0).at(place, 130), whole[:, 500 + place : 630 + place])
