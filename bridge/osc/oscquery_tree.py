"""The OSC contract as OSCQuery describes it (Vidvox's OSCQuery proposal): nodes, attributes, host information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.osc.contract import METHODS
from bridge.osc.method import OscArgument, OscMethod, OscValue

Json = dict[str, Any]
Values = Mapping[str, Sequence[OscValue]]

ATTRIBUTES = ("FULL_PATH", "CONTENTS", "DESCRIPTION", "ACCESS", "TYPE", "VALUE", "RANGE", "UNIT")
"""Attributes that may be asked for one by one, besides HOST_INFO."""

_NONE, _READ, _WRITE = 0, 1, 2


def host_info(osc_ip: str, osc_port: int) -> Json:
    """Return the answer to `?HOST_INFO`."""
    extensions = dict.fromkeys(("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "UNIT", "TYPE"), True)
    extensions |= dict.fromkeys(("CLIPMODE", "TAGS", "CRITICAL", "OVERLOADS", "LISTEN", "PATH_CHANGED"), False)
    return {
        "NAME": "Backline",
        "OSC_IP": osc_ip,
        "OSC_PORT": osc_port,
        "OSC_TRANSPORT": "UDP",
        "EXTENSIONS": extensions,
    }


def node_at(path: str, values: Values) -> Json | None:
    """Return the node at `path` with all below it, None where there is none.

    Args:
        path: `/` or an address or the beginning of some, without a slash at its end.
        values: current values by address.
    """
    prefix = "" if path == "/" else path
    here = [method for method in METHODS if method.address == prefix or method.address.startswith(f"{prefix}/")]
    if not here:
        return None
    root: Json = {"FULL_PATH": path, "ACCESS": _NONE}
    for method in here:
        node = root
        for name in method.address.removeprefix(prefix).split("/")[1:]:
            parent_path = node["FULL_PATH"].rstrip("/")
            contents = node.setdefault("CONTENTS", {})
            node = contents.setdefault(name, {"FULL_PATH": f"{parent_path}/{name}", "ACCESS": _NONE})
        node.update(_describe(method, values.get(method.address)))
    return root


def _describe(method: OscMethod, values: Sequence[OscValue] | None) -> Json:
    access = (_WRITE if method.direction == "in" else _NONE) | (_READ if method.has_value else _NONE)
    described: Json = {"DESCRIPTION": method.help, "ACCESS": access, "TYPE": method.type_tags or "N"}
    if method.arguments:
        described["RANGE"] = [_range(argument) for argument in method.arguments]
        described["UNIT"] = [argument.unit or None for argument in method.arguments]
    if values is not None:
        described["VALUE"] = [None if isinstance(value, bytes) else _finite(value) for value in values]
    return described


def _range(argument: OscArgument) -> Json | None:
    if argument.choices:
        return {"VALS": list(argument.choices)}
    if argument.type_tag in "sb":
        return None
    limits = {"MIN": argument.minimum, "MAX": argument.maximum}
    return {name: limit for name, limit in limits.items() if limit is not None} or None


def _finite(value: OscValue) -> OscValue:
    """JSON knows no infinity; a meter's silence may be one."""
    return None if isinstance(value, float) and not -1e308 <= value <= 1e308 else value
