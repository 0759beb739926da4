"""Double-ended SLIP, the framing that OSC 1.1 gives to streams (RFC 1055, an END before and after each packet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bridge.osc.wire import MAX_DATAGRAM_BYTES

END = b"\xc0"
ESC = b"\xdb"
_ESCAPED_END = b"\xdb\xdc"
_ESCAPED_ESC = b"\xdb\xdd"
_MAX_RAW_BYTES = 2 * MAX_DATAGRAM_BYTES  # where every byte is escaped


@dataclass(frozen=True, slots=True)
class SlipState:
    """What is between two packets of a stream.

    Attributes:
        raw: bytes of the packet that has begun, still escaped; never more than twice a datagram.
        skipping: the packet was too long; the rest of it is thrown away.
        malformed: packets dropped so far for a wrong escape.
        oversized: packets dropped so far for their length.
        is_over: always False; whatever came, the next END begins a packet.
    """

    raw: bytes = b""
    skipping: bool = False
    malformed: int = 0
    oversized: int = 0
    is_over: ClassVar[bool] = False

    @property
    def is_halfway(self) -> bool:
        """Whether a packet has begun that is not complete."""
        return bool(self.raw) or self.skipping


def encode(packet: bytes) -> bytes:
    """Return `packet` framed."""
    return END + packet.replace(ESC, _ESCAPED_ESC).replace(END, _ESCAPED_END) + END


def step(data: bytes, state: SlipState) -> tuple[tuple[bytes, ...], SlipState]:
    """Return the packets that `data` completes, and the state after it; any division of a stream gives the same."""
    malformed, oversized, skipping = state.malformed, state.oversized, state.skipping
    *whole, rest = (state.raw + data).split(END)
    packets: list[bytes] = []
    for raw in whole:
        if skipping:
            skipping = False
            continue
        packet = _unescape(raw)
        if packet is None:
            malformed += 1
        elif len(packet) > MAX_DATAGRAM_BYTES:
            oversized += 1
        elif packet:
            packets.append(packet)
    if skipping:
        rest = b""
    elif len(rest) > _MAX_RAW_BYTES:
        rest, skipping, oversized = b"", True, oversized + 1
    return tuple(packets), SlipState(rest, skipping, malformed, oversized)


def _unescape(raw: bytes) -> bytes | None:
    """Return `raw` without its escapes, or None where one is wrong."""
    if ESC not in raw:
        return raw
    head, *parts = raw.split(ESC)
    for part in parts:
        if part[:1] not in (b"\xdc", b"\xdd"):
            return None
    return head + b"".join((END if part[:1] == b"\xdc" else ESC) + part[1:] for part in parts)
