"""SLIP framing: any division of the stream gives the same packets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.osc import slip
from bridge.osc.slip import SlipState, encode, step
from bridge.osc.wire import MAX_DATAGRAM_BYTES
from bridge.osc.wire import encode as encode_message

PACKETS = (encode_message("/backline/ping", ("#1",)), b"\xc0\xdb\xdc\xdd", b"\xdb", b"a" * 40)
STREAM = b"".join(map(encode, PACKETS))


def run(chunks: list[bytes]) -> tuple[list[bytes], SlipState]:
    state = SlipState()
    packets: list[bytes] = []
    for chunk in chunks:
        more, state = step(chunk, state)
        packets += more
    return packets, state


def test_a_literal_frame() -> None:
    assert encode(b"a\xc0b\xdbc") == b"\xc0a\xdb\xdcb\xdb\xddc\xc0"


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_split_at_every_byte(at: int) -> None:
    assert run([STREAM[:at], STREAM[at:]]) == (list(PACKETS), SlipState())


def test_byte_by_byte() -> None:
    assert run([bytes([byte]) for byte in STREAM]) == (list(PACKETS), SlipState())


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 400)))
def test_any_packets_in_any_division(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode, packets))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert run([stream[a:b] for a, b in pairwise(places)]) == (packets, SlipState())


def test_a_wrong_escape_costs_one_packet() -> None:
    packets, state = run([b"\xc0ab\xdbxcd\xc0", b"\xc0ab\xdb\xc0", encode(b"good")])
    assert packets == [b"good"]
    assert state == SlipState(malformed=2)


@pytest.mark.parametrize("chunk", [1_000, 65_536, 1_000_000])
def test_a_packet_without_an_end_is_not_kept(chunk: int) -> None:
    endless = b"\xc0" + b"a" * (5 * MAX_DATAGRAM_BYTES)
    state = SlipState()
    for at in range(0, len(endless), chunk):
        _, state = step(endless[at : at + chunk], state)
        assert len(state.raw) <= 2 * MAX_DATAGRAM_BYTES
    assert state == SlipState(skipping=True, oversized=1)
    packets, state = step(b"the rest" + encode(b"good"), state)
    assert packets == (b"good",)
    assert state == SlipState(oversized=1)


def test_the_longest_packet_passes_and_one_more_byte_does_not() -> None:
    longest = b"\xc0" * MAX_DATAGRAM_BYTES
    packets, state = step(encode(longest) + encode(longest + b"a"), SlipState())
    assert packets == (longest,)
    assert state == SlipState(oversized=1)


def test_ends_alone_are_nothing() -> None:
    assert run([slip.END * 10]) == ([], SlipState())
