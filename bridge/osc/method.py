"""What one row of the OSC contract says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OscValue = int | float | str | bytes | bool | None

Direction = Literal["in", "out"]

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class OscArgument:
    """One argument of a method.

    Attributes:
        name: what a handler finds it under.
        type_tag: OSC type tag: `i` `h` `f` `d` `s` or `b`.
        unit: unit in words, empty where there is none.
        minimum: smallest number allowed; None for strings and blobs.
        maximum: largest number allowed; for strings and blobs the most bytes.
        default: value where the client leaves it out; None where it must be given.
        choices: the only values allowed, empty where any in range is.
        help: one line for the documentation and OSCQuery.
    """

    name: str
    type_tag: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    default: OscValue = None
    choices: tuple[int | str, ...] = ()
    help: str = ""

    def __post_init__(self) -> None:
        """Refuse a row that could not be checked."""
        if self.type_tag not in "ihfdsb" or len(self.type_tag) != 1:
            raise ValueError(f"argument {self.name}: type tag {self.type_tag!r} is not one of i h f d s b")


@dataclass(frozen=True, slots=True)
class OscMethod:
    """One address of the contract.

    Attributes:
        address: full OSC address.
        arguments: in order; those with a default come last.
        direction: `in` from clients, `out` to them.
        help: what it does, in one or two lines.
        replies: what `/backline/done` carries after address and request id.
        readable: an `in` address that also has a current value, so that it can be subscribed to.
        streamed: comes many times a second; answered only on error or where a request id is given.
        alias_of: the addresses whose handlers a foreign address is mapped to.
    """

    address: str
    arguments: tuple[OscArgument, ...] = ()
    direction: Direction = "in"
    help: str = ""
    replies: tuple[OscArgument, ...] = ()
    readable: bool = False
    streamed: bool = False
    alias_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a row whose optional arguments are not at its end."""
        given = [argument.default is None for argument in self.arguments]
        if self.direction == "in" and given != sorted(given, reverse=True):
            raise ValueError(f"{self.address}: arguments with a default must come last")

    @property
    def type_tags(self) -> str:
        """Type tags of all arguments, without the comma."""
        return "".join(argument.type_tag for argument in self.arguments)

    @property
    def required_count(self) -> int:
        """How many arguments must be given."""
        return sum(argument.default is None for argument in self.arguments)

    @property
    def has_value(self) -> bool:
        """Whether a current value may be published under the address."""
        return self.readable or self.direction == "out"
