"""What goes into the parsers, MIDI messages with the time they came, and what comes out: calls as OSC knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

CallValue: TypeAlias = float | int | str

BeatAt: TypeAlias = Callable[[float], float | None]
"""Where Backline's own transport is, in beats, at a time in seconds of the clock; None while it does not move."""

NOTE_OFF, NOTE_ON, CONTROL_CHANGE = 0x80, 0x90, 0xB0
SONG_POSITION, TICK, START, CONTINUE, STOP = 0xF2, 0xF8, 0xFA, 0xFB, 0xFC
ALL_SOUND_OFF, ALL_NOTES_OFF = 120, 123
FIRST_SYSTEM_STATUS = 0xF0


@dataclass(frozen=True, slots=True)
class ControlCall:
    """One command, as if it had come over OSC.

    Attributes:
        address: such as `/backline/tempo`.
        arguments: by the names of the OSC contract, every one that the address needs.
        at_seconds: when it happened, in the clock's seconds: the arrival of the message behind it, or the moment that
            was worked out from several. It may lie a little before now.
    """

    address: str
    arguments: Mapping[str, CallValue]
    at_seconds: float


@dataclass(frozen=True, slots=True)
class MidiMessage:
    """One whole message off a port.

    Attributes:
        data: its bytes, the status byte first.
        arrived_seconds: when it came, in the clock's seconds.
        port: the name of the port that it came from.
    """

    data: bytes
    arrived_seconds: float
    port: str = ""

    @property
    def kind(self) -> int:
        """The status byte, without the channel where the message has one; 0 for no message at all."""
        status = self.data[0] if self.data else 0
        return status if status >= FIRST_SYSTEM_STATUS else status & 0xF0

    @property
    def channel(self) -> int | None:
        """The channel, 1 to 16, or None for a message to the whole system."""
        return None if self.kind >= FIRST_SYSTEM_STATUS or not self.data else (self.data[0] & 0x0F) + 1

    def values(self) -> tuple[int, int] | None:
        """Return the two data bytes, each 0 to 127, or None where the message has fewer or wrong ones."""
        if len(self.data) != 3 or max(self.data[1:]) > 0x7F:
            return None
        return self.data[1], self.data[2]
