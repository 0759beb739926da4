"""Length framing: any division of the stream gives the same packets; and which framing a stream has."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.osc import framing, slip
from bridge.osc.length_framing import LENGTH_BYTES, LengthState, encode, step
from bridge.osc.wire import MAX_DATAGRAM_BYTES
from bridge.osc.wire import encode as encode_message

PACKETS = (encode_message("/backline/ping", ("#1",)), b"\xc0\x00\x00\x00", b"", b"\x00" * 9, b"a" * 300)
STREAM = b"".join(map(encode, PACKETS))


def run(chunks: list[bytes]) -> tuple[list[bytes], LengthState]:
    state = LengthState()
    packets: list[bytes] = []
    for chunk in chunks:
        more, state = step(chunk, state)
        packets += more
    return packets, state


def test_a_literal_frame() -> None:
    assert encode(b"/a\x00\x00,\x00\x00\x00") == b"\x00\x00\x00\x08/a\x00\x00,\x00\x00\x00"
    assert step(b"\x00\x00\x01\x02" + b"b" * 258, LengthState()) == ((b"b" * 258,), LengthState())


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_split_at_every_byte(at: int) -> None:
    assert run([STREAM[:at], STREAM[at:]]) == (list(PACKETS), LengthState())


def test_byte_by_byte() -> None:
    assert run([bytes([byte]) for byte in STREAM]) == (list(PACKETS), LengthState())


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 400)))
def test_any_packets_in_any_division(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode, packets))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert run([stream[a:b] for a, b in pairwise(places)]) == (packets, LengthState())


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_taken_or_refused_alike_in_any_division(stream: bytes, cut: int) -> None:
    packets, state = run([stream[:cut], stream[cut:]])
    assert (packets, state) == run([stream])
    assert state.is_over or b"".join(map(encode, packets)) + state.raw == stream


@pytest.mark.parametrize("length", [MAX_DATAGRAM_BYTES + 1, 2**24, 2**31, 2**32 - 1])
def test_a_length_that_breaks_the_bound_ends_the_stream(length: int) -> None:
    refused = length.to_bytes(LENGTH_BYTES, "big")
    for at in range(LENGTH_BYTES + 1):
        packets, state = run([encode(b"good") + refused[:at], refused[at:] + b"whatever", encode(b"too late")])
        assert packets == [b"good"]
        assert state == LengthState(oversized=1)
        assert state.is_over
        assert not state.is_halfway


@pytest.mark.parametrize("chunk", [1_000, 65_536, 1_000_000])
def test_the_longest_packet_passes_and_no_more_is_kept(chunk: int) -> None:
    stream = encode(b"\xc0" * MAX_DATAGRAM_BYTES) * 3
    state = LengthState()
    count = 0
    for at in range(0, len(stream), chunk):
        packets, state = step(stream[at : at + chunk], state)
        count += len(packets)
        assert len(state.raw) < LENGTH_BYTES + MAX_DATAGRAM_BYTES
    assert (count, state) == (3, LengthState())


@pytest.mark.parametrize("size", range(1, 12))
def test_what_is_not_complete_is_halfway(size: int) -> None:
    _, state = step(encode(b"a" * 8)[:size], LengthState())
    assert state.is_halfway
    assert not state.is_over


@pytest.mark.parametrize("encode_stream", [slip.encode, encode], ids=["slip", "length"])
@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 10_000])
def test_the_first_byte_tells_the_framing(encode_stream: Callable[[bytes], bytes], chunk: int) -> None:
    packets = [PACKETS[0], b"\xc0\x00", b"\x00" * 8, b"a" * 300]
    stream = b"".join(map(encode_stream, packets))
    state: framing.StreamState | None = None
    found: list[bytes] = []
    for at in range(0, len(stream), chunk):
        more, state = framing.step(stream[at : at + chunk], state)
        found += more
    assert found == packets
    assert framing.encode(b"a\xc0b", state) == encode_stream(b"a\xc0b")


def test_slip_without_its_first_end_is_slip() -> None:
    packets, state = framing.step(slip.encode(PACKETS[0])[1:], None)
    assert packets == (PACKETS[0],)
    assert isinstance(state, slip.SlipState)


def test_before_the_first_byte_it_is_osc_1_1() -> None:
    assert framing.encode(b"a", None) == slip.encode(b"a")
