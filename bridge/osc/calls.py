"""What a handler gets, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.osc.method import OscValue
from bridge.osc.peers import ClientAddress


class CommandError(Exception):
    """A command cannot be carried out; the client gets code and message.

    Args:
        code: one word of small letters and underscores that a program can act on.
        message: one line for a human: what, why and the remedy.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Call:
    """One command, checked.

    Attributes:
        address: address in the contract, also where an alias or a pattern was sent.
        arguments: value by the argument's name, converted, in range, defaults filled in.
        client: where it came from.
        request_id: what the client marked it with, if anything.
        arrived_seconds: clock time at which its datagram came; for a bundle with a timetag, when it was due.
    """

    address: str
    arguments: Mapping[str, OscValue]
    client: ClientAddress
    request_id: str | None
    arrived_seconds: float


Handler = Callable[[Call], Sequence[OscValue]]
"""Carries a command out, at once and without waiting, and returns the values that `/backline/done` carries."""
