"""Learning a control by moving it, and writing the control map that comes of it."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from bridge.errors import UserError
from bridge.midi.control_map import Control, ControlMap, plain
from bridge.midi.messages import CONTROL_CHANGE, NOTE_ON, MidiMessage


def learnt(control_map: ControlMap, name: str, message: MidiMessage) -> ControlMap:
    """Return `control_map` with the control called `name` bound to what sent `message`.

    Raises:
        UserError: there is no such control, or the message comes from none (or from a note, for a fader).
    """
    found = [control for control in control_map.control if control.name == name]
    if not found:
        names = ", ".join(control.name for control in control_map.control)
        raise UserError(f"control {name!r} is not in {control_map.title!r}; expected one of: {names}")
    values = message.values()
    source = {CONTROL_CHANGE: "cc", NOTE_ON: "note"}.get(message.kind)
    if source is None or values is None:
        raise UserError(f"control {name!r} cannot be learnt from that message; move a fader or knob, or press a button")
    fields = found[0].model_dump(exclude_defaults=True) | {"cc": None, "note": None, "fine": False}
    try:
        bound = Control.model_validate(fields | {source: values[0], "channel": message.channel})
    except ValidationError as error:
        raise UserError(f"control {name!r} cannot be learnt: {plain(error)}") from error
    controls = tuple(bound if control.name == name else control for control in control_map.control)
    return control_map.model_copy(update={"control": controls})


def control_map_text(control_map: ControlMap) -> str:
    """Return `control_map` as TOML; `parse_control_map` reads it back."""
    lines = [
        f"{key} = {_toml(value)}"
        for key, value in control_map.model_dump(exclude_defaults=True).items()
        if key != "control"
    ]
    for control in control_map.control:
        fields = control.model_dump(exclude_defaults=True)
        lines += ["", "[[control]]", *(f"{key} = {_toml(value)}" for key, value in fields.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value of a control map as TOML; text is quoted as JSON quotes it, which TOML reads too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\\"]', lambda match: "\\" + match.group(), text)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", escaped) + '"'
