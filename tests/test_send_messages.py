"""Datagrams of the sender: read back by the project's own decoder, and literal ones."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest

from bridge.errors import UserError
from bridge.hearing.packets import PcmFormat, VocalPacket
from bridge.osc.contract import BY_ADDRESS
from bridge.osc.wire import decode, encode
from bridge.send.link import UdpLink, parse_destination
from bridge.send.messages import (
    ReplyCounter,
    as_int32,
    most_samples,
    split,
    transport_datagram,
    vocal_datagram,
)
from bridge.transport.snapshot import TransportSnapshot

SNAPSHOT = TransportSnapshot(True, -(1 << 40), 48_000, -1.25, 92.5, 7, 8, True, 4.0, 12.0, 2**32 - 1)


def _padded(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def test_a_snapshot_is_these_bytes() -> None:
    literal = (
        _padded("/backline/transport")
        + _padded(",ihiddiiiddi")
        + struct.pack(">iqiddiiiddi", 1, -(1 << 40), 48_000, -1.25, 92.5, 7, 8, 1, 4.0, 12.0, -1)
    )
    assert transport_datagram(SNAPSHOT) == literal


@pytest.mark.parametrize("pcm_format", ["f32", "i16"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_full_packet_is_read_back(pcm_format: PcmFormat, channels: int) -> None:
    samples = np.random.default_rng(3).integers(-32_768, 32_767, (channels, most_samples(channels, pcm_format)))
    packet = VocalPacket(7, 2**31, -5, 44_100, (samples / 32_768).astype(np.float32))
    (message,) = decode(vocal_datagram(packet, pcm_format))
    assert message.address == "/backline/vocal"
    names = [argument.name for argument in BY_ADDRESS["/backline/vocal"].arguments]
    values = dict(zip(names, message.values, strict=True))
    blob = values.pop("samples")
    assert values == {
        "stream": 7,
        "sequence": -(2**31),
        "song_sample": -5,
        "rate": 44_100,
        "channels": channels,
        "format": pcm_format,
    }
    assert isinstance(blob, bytes)
    again = VocalPacket.from_pcm(7, -(2**31), -5, 44_100, channels, pcm_format, blob)
    assert np.array_equal(again.samples, packet.samples)


def test_a_packet_that_is_too_full_is_refused_and_a_split_one_is_not() -> None:
    packet = VocalPacket(1, 10, 100, 48_000, np.linspace(0.0, 1.0, 2_500, dtype=np.float32)[None])
    with pytest.raises(ValueError, match="at most 2048"):
        vocal_datagram(packet)
    parts = list(split(packet, most_samples(1)))
    assert [(part.sequence, part.host_sample, part.samples.shape[1]) for part in parts] == [
        (10, 100, 2_048),
        (11, 2_148, 452),
    ]
    assert np.array_equal(np.concatenate([part.samples for part in parts], axis=1), packet.samples)


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 0), (2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**32, 0), (-1, -1)]
)
def test_numbers_wrap_to_signed_32_bits(number: int, expected: int) -> None:
    assert as_int32(number) == expected


def test_replies_are_counted_by_what_they_say() -> None:
    counter = ReplyCounter()
    for _ in range(2):
        counter.take(encode("/backline/error", ("/backline/vocal", "bad-argument", "send f32 or i16")))
    counter.take(encode("/backline/error", ("/backline/vocal", "#7", "bad-argument", "rate 3 is out of range")))
    counter.take(encode("/backline/heartbeat", ("playing", 0.1)))
    counter.take(b"\xff not OSC")
    counts = counter.counts()
    assert counts.errors == (("bad-argument: send f32 or i16", 2), ("bad-argument: rate 3 is out of range", 1))
    assert counts.error_count == 3
    assert counts.messages == (("/backline/heartbeat", 1),)
    assert counts.unreadable == 1


def test_a_flood_of_different_replies_does_not_fill_the_memory() -> None:
    counter = ReplyCounter()
    for i in range(500):
        counter.take(encode(f"/nonsense/{i}"))
    counts = counter.counts()
    assert len(counts.messages) <= 65
    assert sum(count for _, count in counts.messages) == 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9140", ("127.0.0.1", 9140)),
        ("localhost", ("localhost", 9140)),
        ("studio.local:7000", ("studio.local", 7000)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::1]", ("::1", 9140)),
    ],
)
def test_addresses_are_read(text: str, expected: tuple[str, int]) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize("text", ["", ":9140", "host:", "host:0", "host:65536", "host:port", "::1", "a:b:c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write it as 127"):
        parse_destination(text)


def test_a_closed_port_is_noticed_and_an_open_one_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(2.0)
        port = server.getsockname()[1]
        link = UdpLink("127.0.0.1", port)
        link.send(b"ping")
        data, sender = server.recvfrom(100)
        assert data == b"ping"
        server.sendto(b"pong", sender)
        assert link.received() == [b"pong"]
        assert link.received() == []
    for _ in range(3):
        link.send(b"is anyone there")
    link.received()
    link.close()
    assert link.refused > 0
