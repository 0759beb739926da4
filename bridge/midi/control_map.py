"""Which fader, knob or button does what: TOML files checked against the OSC contract, learnable by name.

```toml
title = "My desk"
port = "nanoKONTROL"            # part of the port's name; leave it out for any port

[[control]]
name = "drums"                  # by which it is learnt and found in messages
cc = 0                          # or note = 36; neither: not learnt yet
channel = 1                     # leave it out for any channel
address = "/backline/stem/drums/gain"
kind = "fader"                  # knob, fader, relative, toggle, hold, trigger or select
```
"""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridge.errors import UserError
from bridge.midi.messages import CONTROL_CHANGE, NOTE_ON, MidiMessage
from bridge.osc.contract import BY_ADDRESS, HANDLED, STREAMED
from bridge.osc.method import OscArgument
from engine.harmony import Chord, Key
from presets.store import line_of, user_folder

MAX_MAP_BYTES = 1_000_000
MAX_CONTROLS = 512
FADER_DB = (-60.0, 6.0)
UNIT_RANGE = (0.0, 1.0)
UNIT_ADDRESSES = ("/backline/control/arousal", "/backline/control/focus")  # -1 there means to follow the vocal
NUMBER_TAGS = "ifdh"

DataByte = Annotated[int, Field(ge=0, le=127)]
Kind: TypeAlias = Literal["knob", "fader", "relative", "toggle", "hold", "trigger", "select"]
MOVING_KINDS = ("knob", "fader", "relative")
SWITCH_KINDS = ("toggle", "hold")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Control(_Frozen):
    """One fader, knob or button and the OSC address that it drives.

    Attributes:
        name: by which it is learnt and found in messages; letters, digits and dashes.
        cc: number of its control change, or None.
        note: number of its note, or None; only for toggle, hold and trigger.
        channel: 1 to 16, or None for any.
        fine: whether a second control change, 32 higher, carries seven more bits (cc 0 to 31).
        address: of the OSC contract.
        kind: `knob` and `fader` set the address's first argument between `minimum` and `maximum` (a fader in decibels,
            with an audio taper and silence at the bottom); `relative` moves it by `step` a click; `toggle` flips it and
            `hold` keeps it at 1 while pressed; `trigger` sends `arguments` when pressed; `select` divides the travel
            between `values`.
        minimum: value at the bottom, in the argument's unit; may be above `maximum` to turn the direction round.
        maximum: value at the top.
        step: what one click of an endless knob adds.
        encoding: how an endless knob says down: `twos` (127 is -1), `offset` (63 is -1) or `sign` (65 is -1).
        values: what `select` chooses from.
        arguments: further arguments of the address by name; those left out take the contract's defaults.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$")
    address: str
    kind: Kind = "knob"
    cc: DataByte | None = None
    note: DataByte | None = None
    channel: int | None = Field(default=None, ge=1, le=16)
    fine: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = Field(default=None, gt=0.0)
    encoding: Literal["twos", "offset", "sign"] = "twos"
    values: tuple[float | str, ...] = Field(default=(), max_length=128)
    arguments: dict[str, int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_source(self)
        _check_target(self)
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Bottom and top of the travel, in the unit of the address's first argument."""
        low, high = _usual_range(self.address, BY_ADDRESS[self.address].arguments[0])
        return (low if self.minimum is None else self.minimum, high if self.maximum is None else self.maximum)

    def listens_to(self, message: MidiMessage) -> bool:
        """Tell whether `message` comes from this control; for a fine one, either half."""
        values = message.values()
        if values is None or self.channel not in (None, message.channel):
            return False
        if message.kind == CONTROL_CHANGE:
            return self.cc is not None and values[0] in ((self.cc, self.cc + 32) if self.fine else (self.cc,))
        return self.note is not None and message.kind in (NOTE_ON, NOTE_ON - 0x10) and values[0] == self.note


class ControlMap(_Frozen):
    """The controls of one desk."""

    title: str = Field(min_length=1, max_length=80)
    description: str = Field(default="", max_length=500)
    port: str = Field(default="", max_length=80)
    control: tuple[Control, ...] = Field(default=(), max_length=MAX_CONTROLS)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [control.name for control in self.control]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"control names must differ, but {', '.join(twice)} is there twice; rename one")
        return self

    def listens_to(self, port: str) -> bool:
        """Tell whether the desk is the one behind `port`."""
        return self.port.lower() in port.lower()


def control_map_files() -> dict[str, Path | Traversable]:
    """Return every control map by name; a user's map hides a factory one of the same name."""
    factory = resources.files("presets") / "control-maps"
    files: dict[str, Path | Traversable] = {
        entry.name.removesuffix(".toml"): entry for entry in factory.iterdir() if entry.name.endswith(".toml")
    }
    folder = user_folder().parent / "control-maps"
    if folder.is_dir():
        files |= {entry.stem: entry for entry in folder.glob("*.toml")}
    return dict(sorted(files.items()))


def load_control_map(name: str) -> ControlMap:
    """Return the control map called `name`, or that of a file when `name` ends in `.toml`.

    Raises:
        UserError: there is no such map, or its file is wrong.
    """
    files = control_map_files()
    path = Path(name) if name.endswith(".toml") else files.get(name)
    if path is None:
        raise UserError(f"control map {name!r} is not known; expected one of: {', '.join(files)}, or a .toml file")
    try:
        content = path.read_bytes()
        if len(content) > MAX_MAP_BYTES:
            raise UserError(f"{path}: larger than {MAX_MAP_BYTES} bytes; check that it is a control map")
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save the control map as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the control map's path") from error
    return parse_control_map(text, str(path))


def parse_control_map(text: str, source: str) -> ControlMap:
    """Return the control map written in `text`; `source` is what messages call it.

    Raises:
        UserError: the text is not TOML or breaks a rule; names the line and the key.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not valid TOML: {error}") from error
    try:
        return ControlMap.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{source}: {_reason(error, text)}") from error


def _check_source(control: Control) -> None:
    """Refuse a control with two sources, or a source that its kind cannot use."""
    if control.cc is not None and control.note is not None:
        raise ValueError("cc and note are both given; keep the one that the control sends")
    if control.note is not None and control.kind in (*MOVING_KINDS, "select"):
        raise ValueError(f"a note cannot drive kind {control.kind!r}; use toggle, hold or trigger, or a cc")
    if control.fine and (control.kind not in ("knob", "fader") or (control.cc or 0) > 31):
        raise ValueError("fine is for knobs and faders with a cc from 0 to 31; leave it out")


def _check_target(control: Control) -> None:
    """Refuse an address, a range or arguments that the OSC contract does not know."""
    if control.address not in HANDLED - STREAMED:
        raise ValueError(f"address {control.address!r} is not one that a control can drive; see docs/osc.md")
    arguments = BY_ADDRESS[control.address].arguments
    driven = arguments[0] if arguments and control.kind != "trigger" else None
    if control.kind != "trigger":
        _check_driven(control, driven)
    if bool(control.values) != (control.kind == "select"):
        raise ValueError("values are what kind 'select' chooses from; give them there and only there")
    by_name = {argument.name: argument for argument in arguments if argument is not driven}
    for name, value in control.arguments.items():
        if name not in by_name:
            raise ValueError(f"arguments.{name} is not one of: {', '.join(by_name) or 'none'}")
        _check_value(by_name[name], value)
    missing = [name for name, it in by_name.items() if it.default is None and name not in control.arguments]
    if missing:
        raise ValueError(f"{control.address} needs {', '.join(missing)}; give them under arguments")


def _check_driven(control: Control, driven: OscArgument | None) -> None:
    """Refuse a kind that does not suit the argument it would drive, and values out of its range."""
    if driven is None:
        raise ValueError(f"{control.address} takes no value; use kind 'trigger'")
    switch = driven.choices == (0, 1)
    if control.kind == "select":
        for value in control.values:
            _check_value(driven, value)
        return
    if switch != (control.kind in SWITCH_KINDS) or driven.type_tag not in NUMBER_TAGS:
        usual = "toggle, hold" if switch else "knob, relative" if driven.type_tag in NUMBER_TAGS else "select, trigger"
        raise ValueError(f"kind {control.kind!r} does not suit {control.address}; use one of: {usual}")
    if control.kind == "fader" and driven.unit != "dB":
        raise ValueError(f"kind 'fader' has a taper in decibels; use kind 'knob' for {control.address}")
    if control.kind in MOVING_KINDS:
        for end in (control.minimum, control.maximum):
            if end is not None:
                _check_value(driven, end)


def _check_value(argument: OscArgument, value: float | str) -> None:
    """Refuse a value that the contract's argument does not take."""
    text = isinstance(value, str)
    if text != (argument.type_tag == "s"):
        raise ValueError(f"{argument.name} {value!r} is of the wrong type; give {'text' if not text else 'a number'}")
    if argument.choices and value not in argument.choices:
        raise ValueError(f"{argument.name} {value!r} is not one of: {', '.join(map(repr, argument.choices))}")
    if isinstance(value, str):
        if value and argument.name in ("chord", "key"):
            (Chord if argument.name == "chord" else Key).parse(value)
    elif not (argument.minimum or 0) <= value <= (argument.maximum or 0):
        raise ValueError(
            f"{argument.name} {value:g} is out of range; give {argument.minimum:g} to {argument.maximum:g}"
        )


def _usual_range(address: str, argument: OscArgument) -> tuple[float, float]:
    """Return what a control travels through where its map does not say."""
    if argument.unit == "dB":
        return FADER_DB
    return UNIT_RANGE if address in UNIT_ADDRESSES else (argument.minimum or 0.0, argument.maximum or 0.0)


def _reason(error: ValidationError, text: str) -> str:
    """Return the first mistake of `error` as `line 12: control.3.cc: reason, got value`."""
    first = error.errors(include_url=False)[0]
    line = line_of(text, first["loc"])
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    value = "" if isinstance(first["input"], (dict, list, tuple)) else f", got {first['input']!r}"
    return f"{f'line {line}: ' if line else ''}{key or 'control map'}: {plain(error)}{value}"


def plain(error: ValidationError) -> str:
    """Return the first mistake of `error` in words."""
    return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
