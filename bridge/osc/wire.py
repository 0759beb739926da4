"""OSC datagrams to messages and back; the one door to python-osc.

Decoding is ours, so that every bound is checked before anything is allocated and a bundle's timetag stays data
(python-osc's own server would sleep on it). Encoding uses python-osc's writers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pythonosc.parsing import osc_types

from bridge.osc.contract import MAX_BLOB_BYTES
from bridge.osc.method import INT32, INT64, OscValue

MAX_DATAGRAM_BYTES = 65_507  # the most that UDP carries; a DAW's first dump of its state comes near it
MAX_MESSAGE_BYTES = 16_384
MAX_MESSAGES = 1_024  # in one datagram
MAX_ARGUMENTS = 64
MAX_TEXT_BYTES = 1_024  # of any string; the contract's own arguments are shorter
MAX_NESTING = 4

_BUNDLE = b"#bundle\x00"
_IMMEDIATELY = 1
_UNIX_EPOCH_IN_NTP_SECONDS = 2_208_988_800

Reason = Literal["malformed", "oversized"]


class WireError(Exception):
    """A datagram that is refused whole.

    Attributes:
        reason: `malformed`, or `oversized` where it breaks a bound.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """One decoded message.

    Attributes:
        address: address or address pattern.
        values: arguments in order, arrays flattened.
        due_unix_seconds: when its bundle wants it, in Unix time; None for at once.
    """

    address: str
    values: tuple[OscValue, ...] = ()
    due_unix_seconds: float | None = None


def decode(datagram: bytes) -> list[Message]:
    """Return the messages of `datagram` in order, those of nested bundles too.

    Raises:
        WireError: it is no OSC or breaks a bound; then none of it is used.
    """
    if not datagram.startswith(_BUNDLE):
        return [_decode_message(datagram, None)]
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise WireError("oversized", f"datagram of {len(datagram)} bytes; at most {MAX_DATAGRAM_BYTES}")
    messages: list[Message] = []
    _decode_bundle(datagram, None, 1, messages)
    return messages


def _decode_bundle(data: bytes, outer_due: float | None, depth: int, messages: list[Message]) -> None:
    """Append the messages of the bundle `data`; an inner bundle is never due before the one around it."""
    if depth > MAX_NESTING:
        raise WireError("oversized", f"bundles nested deeper than {MAX_NESTING}")
    if len(data) < 16:
        raise WireError("malformed", "bundle without a timetag")
    due = _unix_seconds(int.from_bytes(data[8:16], "big"))
    if outer_due is not None:
        due = outer_due if due is None else max(due, outer_due)
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if size == 0 or size % 4 or at + size > len(data):
            raise WireError("malformed", f"bundle element of {size} bytes where {max(len(data) - at, 0)} are left")
        element = data[at : at + size]
        at += size
        if element.startswith(_BUNDLE):
            _decode_bundle(element, due, depth + 1, messages)
        elif len(messages) >= MAX_MESSAGES:
            raise WireError("oversized", f"more than {MAX_MESSAGES} messages in a datagram")
        else:
            messages.append(_decode_message(element, due))


def _unix_seconds(timetag: int) -> float | None:
    """Return the Unix time of an NTP `timetag`, None for "immediately" (and for 0, which some clients send)."""
    if timetag <= _IMMEDIATELY:
        return None
    return (timetag >> 32) - _UNIX_EPOCH_IN_NTP_SECONDS + (timetag & 0xFFFFFFFF) / 2**32


def _decode_message(data: bytes, due: float | None) -> Message:
    if len(data) > MAX_MESSAGE_BYTES:
        raise WireError("oversized", f"message of {len(data)} bytes; at most {MAX_MESSAGE_BYTES}")
    if not data.startswith(b"/"):
        raise WireError("malformed", "neither a message (which starts with '/') nor a bundle")
    if len(data) % 4:
        raise WireError("malformed", f"message of {len(data)} bytes, which is no multiple of 4")
    address, at = _string(data, 0)
    if at == len(data):
        return Message(address, (), due)  # some old clients leave out an empty type tag string
    tags, at = _string(data, at)
    if not tags.startswith(","):
        raise WireError("malformed", "no type tag string after the address")
    if len(tags) - 1 > MAX_ARGUMENTS:
        raise WireError("oversized", f"{len(tags) - 1} arguments; at most {MAX_ARGUMENTS}")
    values: list[OscValue] = []
    depth = 0
    for tag in tags[1:]:
        if tag == "[":
            depth += 1
        elif tag == "]":
            depth -= 1
        else:
            value, at = _value(tag, data, at)
            values.append(value)
        if depth < 0:
            raise WireError("malformed", "array closed that was not opened")
    if depth:
        raise WireError("malformed", "array left open")
    if at != len(data):
        raise WireError("malformed", f"{len(data) - at} bytes after the last argument")
    return Message(address, tuple(values), due)


_FORMATS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d", "t": ">Q", "c": ">I", "r": ">I", "m": ">I"}
_NUMBERS = {tag: struct.Struct(layout) for tag, layout in _FORMATS.items()}
_CONSTANTS: dict[str, OscValue] = {"T": True, "F": False, "N": None, "I": True}


def _value(tag: str, data: bytes, at: int) -> tuple[OscValue, int]:
    """Return the argument of type `tag` at byte `at`, and where the next one starts."""
    code = _NUMBERS.get(tag)
    if code is not None:
        if at + code.size > len(data):
            raise WireError("malformed", f"argument {tag!r} is cut off")
        number: int | float = code.unpack_from(data, at)[0]
        return number, at + code.size
    if tag in "sS":
        return _string(data, at)
    if tag == "b":
        return _blob(data, at)
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    raise WireError("malformed", f"type tag {tag!r} is unknown")


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\x00", at, at + MAX_TEXT_BYTES + 1)
    if end < 0:
        reason: Reason = "oversized" if len(data) - at > MAX_TEXT_BYTES else "malformed"
        raise WireError(reason, f"string without an end within {MAX_TEXT_BYTES} bytes")
    after = end + 4 - (end - at) % 4
    if after > len(data) or any(data[end:after]):
        raise WireError("malformed", "string not padded with zeros")
    try:
        return data[at:end].decode("utf-8"), after
    except UnicodeDecodeError as error:
        raise WireError("malformed", f"string is not UTF-8: {error.reason}") from error


def _blob(data: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(data[at : at + 4], "big")
    if size > MAX_BLOB_BYTES:
        raise WireError("oversized", f"blob of {size} bytes; at most {MAX_BLOB_BYTES}")
    start = at + 4
    after = start + size + -size % 4
    if after > len(data):
        raise WireError("malformed", f"blob of {size} bytes is cut off")
    return data[start : start + size], after


_WRITERS: dict[str, Callable[..., bytes]] = {
    "i": osc_types.write_int,
    "h": osc_types.write_int64,
    "f": osc_types.write_float,
    "d": osc_types.write_double,
    "s": osc_types.write_string,
}


def encode(address: str, values: Sequence[OscValue] = (), tags: str = "") -> bytes:
    """Return the message as a datagram.

    Args:
        address: OSC address.
        values: arguments; those beyond `tags` get the tag of their Python type (whole numbers `i` or `h`, others `d`).
        tags: type tags of the first arguments.

    Raises:
        ValueError: a value does not fit its tag, or the message breaks a bound.
    """
    if len(values) > MAX_ARGUMENTS:
        raise ValueError(f"{address}: {len(values)} arguments; at most {MAX_ARGUMENTS}")
    all_tags = tags[: len(values)] + "".join(tag_of(value) for value in values[len(tags) :])
    parts = [osc_types.write_string(address), osc_types.write_string("," + all_tags)]
    for tag, value in zip(all_tags, values, strict=True):
        parts.append(_encoded(address, tag, value))
    datagram = b"".join(parts)
    if len(datagram) > MAX_MESSAGE_BYTES:
        raise ValueError(f"{address}: message of {len(datagram)} bytes; at most {MAX_MESSAGE_BYTES}")
    return datagram


def encode_bundle(elements: Sequence[bytes], due_unix_seconds: float | None = None) -> bytes:
    """Return a bundle of encoded `elements`, due at a Unix time or, for None, immediately."""
    timetag = _IMMEDIATELY
    if due_unix_seconds is not None:
        timetag = round((due_unix_seconds + _UNIX_EPOCH_IN_NTP_SECONDS) * 2**32)
    parts = [_BUNDLE, timetag.to_bytes(8, "big")]
    for element in elements:
        parts += (len(element).to_bytes(4, "big"), element)
    return b"".join(parts)


def _encoded(address: str, tag: str, value: OscValue) -> bytes:
    if tag in "TFN":
        return b""
    try:
        if tag == "b":
            blob = bytes(value)  # type: ignore[arg-type]  # what is no blob raises TypeError
            return osc_types.write_blob(blob) if blob else bytes(4)
        if tag in "fd":
            value = float(value)  # type: ignore[arg-type]
        elif tag in "ih" and not isinstance(value, int):
            raise TypeError("not a whole number")
        return _WRITERS[tag](value)
    except (TypeError, ValueError, OverflowError, osc_types.BuildError, UnicodeError) as error:
        raise ValueError(f"{address}: {value!r} is not of type {tag!r}: {error}") from error


def tag_of(value: OscValue) -> str:
    """Return the type tag that loses nothing of `value`.

    Raises:
        ValueError: a whole number does not fit 64 bits.
    """
    if value is None or isinstance(value, bool):
        return "N" if value is None else "T" if value else "F"
    if isinstance(value, int):
        if not INT64[0] <= value <= INT64[1]:
            raise ValueError(f"{value} does not fit 64 bits")
        return "i" if INT32[0] <= value <= INT32[1] else "h"
    if isinstance(value, float):
        return "d"
    return "s" if isinstance(value, str) else "b"
