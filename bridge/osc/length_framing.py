"""Length framing, what OSC 1.0 gives to streams: before each packet its length, 4 bytes, big-endian.

The stream has no marks, so a length that breaks the bound is the end of it: where the next packet starts is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bridge.osc.wire import MAX_DATAGRAM_BYTES

LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class LengthState:
    """What is between two packets of a stream.

    Attributes:
        raw: bytes of the packet that has begun, its length before it; never more than that and a datagram.
        oversized: lengths refused so far; 0 or 1.
        malformed: always 0; whatever follows a length is its packet.
    """

    raw: bytes = b""
    oversized: int = 0
    malformed: ClassVar[int] = 0

    @property
    def is_halfway(self) -> bool:
        """Whether a packet has begun that is not complete."""
        return bool(self.raw)

    @property
    def is_over(self) -> bool:
        """Whether a length was refused, after which nothing of the stream is read."""
        return self.oversized > 0


def encode(packet: bytes) -> bytes:
    """Return `packet` framed."""
    return len(packet).to_bytes(LENGTH_BYTES, "big") + packet


def step(data: bytes, state: LengthState) -> tuple[tuple[bytes, ...], LengthState]:
    """Return the packets that `data` completes, and the state after it; any division of a stream gives the same."""
    if state.is_over:
        return (), state
    stream = state.raw + data
    packets: list[bytes] = []
    at = 0
    while len(stream) - at >= LENGTH_BYTES:
        start = at + LENGTH_BYTES
        size = int.from_bytes(stream[at:start], "big")
        if size > MAX_DATAGRAM_BYTES:
            return tuple(packets), LengthState(oversized=1)
        if len(stream) - start < size:
            break
        packets.append(stream[start : start + size])
        at = start + size
    return tuple(packets), LengthState(stream[at:])
