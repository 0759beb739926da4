"""Arguments as clients send them to arguments as the table wants them, or an error that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bridge.osc.calls import CommandError
from bridge.osc.method import INT32, INT64, OscArgument, OscMethod, OscValue

REQUEST_ID_MARK = "#"
_WHOLE_LIMITS = {"i": INT32, "h": INT64}
_KINDS = {
    "i": "a whole number",
    "h": "a whole number",
    "f": "a number",
    "d": "a number",
    "s": "a string",
    "b": "a blob",
}


def split_request_id(method: OscMethod, values: Sequence[OscValue]) -> tuple[Sequence[OscValue], str | None]:
    """Return the arguments and, apart, the request id.

    That is a last string that starts with `#`, unless it stands where the method must have a string: what is sent
    without a number that it needs is still answered by its id.
    """
    request_id = trailing_request_id(values)
    place = len(values) - 1
    if request_id is None or (place < method.required_count and method.arguments[place].type_tag == "s"):
        return values, None
    return values[:-1], request_id


def trailing_request_id(values: Sequence[OscValue]) -> str | None:
    """Return the last of `values` where it is a request id, for what is in no table."""
    last = values[-1] if values else None
    return last if isinstance(last, str) and last.startswith(REQUEST_ID_MARK) else None


def is_released_button(method: OscMethod, values: Sequence[OscValue]) -> bool:
    """Return whether `values` are the 0 that a control surface sends when the button of a bare command is let go."""
    return not method.arguments and len(values) == 1 and _is_number(values[0]) and not values[0]


def convert(method: OscMethod, values: Sequence[OscValue]) -> dict[str, OscValue]:
    """Return the arguments by name.

    Args:
        method: the row of the table.
        values: as decoded, without the request id. Numbers of another type are taken where nothing is lost, `T` and
            `F` as 1 and 0, a nil as the default; a bare command may carry one number, as buttons send it.

    Raises:
        CommandError: too few, too many, of the wrong type or out of range.
    """
    if not method.arguments and len(values) == 1 and _is_number(values[0]):
        return {}
    if len(values) > len(method.arguments):
        raise CommandError(
            "too_many_arguments",
            f"{method.address} takes {_signature(method)}; got {len(values)} arguments "
            f"(a request id is a string that starts with {REQUEST_ID_MARK!r})",
        )
    converted: dict[str, OscValue] = {}
    for index, argument in enumerate(method.arguments):
        value = values[index] if index < len(values) else None
        if value is None:
            if argument.default is None:
                raise CommandError(
                    "missing_argument",
                    f"{method.address} takes {_signature(method)}; argument {index + 1}, {argument.name}, is missing",
                )
            converted[argument.name] = argument.default
        else:
            converted[argument.name] = _checked(argument, _typed(argument, value))
    return converted


def _typed(argument: OscArgument, value: OscValue) -> OscValue:
    tag = argument.type_tag
    if tag in "ih" and _is_number(value):
        whole = _whole(value)
        if whole is not None and _WHOLE_LIMITS[tag][0] <= whole <= _WHOLE_LIMITS[tag][1]:
            return whole
    elif tag in "fd" and _is_number(value):
        number = float(value)  # type: ignore[arg-type]  # a number, as just seen
        if math.isfinite(number):
            return number
    elif (tag == "s" and isinstance(value, str)) or (tag == "b" and isinstance(value, bytes)):
        return value
    shown = f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
    raise CommandError("wrong_type", f"{argument.name} {shown} is not {_KINDS[tag]} (type {tag})")


def _is_number(value: OscValue) -> bool:
    return isinstance(value, int | float)


def _whole(value: OscValue) -> int | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value)  # type: ignore[arg-type]  # an int or a bool


def _checked(argument: OscArgument, value: OscValue) -> OscValue:
    if argument.choices and value not in argument.choices:
        wanted = ", ".join(repr(choice) for choice in argument.choices)
        raise CommandError("not_a_choice", f"{argument.name} {value!r} is not known; give one of: {wanted}")
    if isinstance(value, str | bytes):
        size = len(value.encode()) if isinstance(value, str) else len(value)
        if argument.maximum is not None and size > argument.maximum:
            raise CommandError("out_of_range", f"{argument.name} has {size} bytes; give at most {argument.maximum:g}")
        return value
    low, high = argument.minimum, argument.maximum
    if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
        unit = f" {argument.unit}" if argument.unit else ""
        raise CommandError("out_of_range", f"{argument.name} {value:g} is out of range; give {low:g} to {high:g}{unit}")
    return value


def _signature(method: OscMethod) -> str:
    names = [f"{a.name} {a.type_tag}" if a.default is None else f"[{a.name} {a.type_tag}]" for a in method.arguments]
    return ", ".join(names) or "no arguments"
