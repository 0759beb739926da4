"""What the arguments of commands mean."""

from __future__ import annotations

from bridge.live.controls import stems_from
from bridge.osc.calls import Call, CommandError
from bridge.osc.method import OscValue
from engine.harmony import Chord, Key


def number(value: OscValue) -> float:
    """Return a value that the contract says is a number; whole ones stay whole."""
    assert isinstance(value, (int, float))
    return value


def stems(call: Call) -> tuple[str, ...]:
    """Return the stems that a command is for.

    Raises:
        CommandError: a name is no stem.
    """
    try:
        return stems_from(str(call.arguments["stems"]))
    except ValueError as error:
        raise CommandError("unknown_stem", str(error)) from error


def chord(name: str) -> Chord | None:
    """Return the chord called `name`, None for an empty one.

    Raises:
        CommandError: it names no chord.
    """
    try:
        return Chord.parse(name) if name else None
    except ValueError as error:
        raise CommandError("bad_chord", str(error)) from error


def wished(name: str, value: OscValue) -> object:
    """Return the value of `Wish` that the argument of the control `name` means.

    Raises:
        CommandError: it means nothing.
    """
    if name == "style":
        return str(value) or None
    if name in ("arousal", "focus"):
        return None if number(value) < 0 else number(value)
    if name == "key":
        try:
            return Key.parse(str(value)) if value else None
        except ValueError as error:
            raise CommandError("bad_key", str(error)) from error
    return number(value) if name == "guidance" else int(number(value))
