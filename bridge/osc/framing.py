"""Which framing a stream has: its first byte tells, and it is answered in the same.

OSC 1.1's SLIP starts with an END, 0xC0. OSC 1.0's length starts with 0x00, as no packet is as long as 2**24 bytes. A
SLIP sender that leaves out the first END starts with the packet's own first byte, `/` or `#`.
"""

from __future__ import annotations

from bridge.osc import length_framing, slip
from bridge.osc.length_framing import LengthState
from bridge.osc.slip import SlipState

StreamState = SlipState | LengthState

_LENGTH_STARTS = b"\x00"


def encode(packet: bytes, state: StreamState | None) -> bytes:
    """Return `packet` framed as the stream in `state` is; before its first byte (None) as OSC 1.1 has it."""
    return length_framing.encode(packet) if isinstance(state, LengthState) else slip.encode(packet)


def step(data: bytes, state: StreamState | None) -> tuple[tuple[bytes, ...], StreamState]:
    """Return the packets that `data` completes, and the state after it.

    Args:
        data: the next bytes of the stream, one or more.
        state: None at its start.
    """
    if state is None:
        state = LengthState() if data.startswith(_LENGTH_STARTS) else SlipState()
    return length_framing.step(data, state) if isinstance(state, LengthState) else slip.step(data, state)
