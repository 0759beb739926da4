"""Writes `docs/osc.md` from the table: `python -m bridge.osc.reference`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bridge.osc import contract, throttle, wire
from bridge.osc.contract import METHODS
from bridge.osc.method import OscArgument, OscMethod
from bridge.osc.patterns import MAX_ALTERNATIVES
from bridge.osc.schedule import CAPACITY, HORIZON_SECONDS
from bridge.osc.tcp import HALF_PACKET_SECONDS, MAX_CONNECTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "osc.md"

ERROR_CODES = (
    ("unknown_address", "the address, or no address under the pattern, is in the contract"),
    ("bad_pattern", "the address is a pattern that is not well formed"),
    ("missing_argument", "an argument that has no default was left out"),
    ("too_many_arguments", "more arguments than the address takes"),
    ("wrong_type", "an argument is of a type that cannot be converted without loss, or no finite number"),
    ("out_of_range", "a number is out of range, or a string or blob too long"),
    ("not_a_choice", "a value is not one of those allowed"),
    ("not_a_position", "`/beat/str` is not of a known form"),
    ("not_a_time_signature", "`/time/signature` is not of a known form"),
    ("no_tempo", "`/time` came before any tempo"),
    ("no_lease", "a lease cannot be given, or there is none to end"),
    ("not_over_tcp", "a reply port makes no sense on a connection"),
    ("too_far_ahead", f"a bundle is due more than {HORIZON_SECONDS:g} s ahead"),
    ("queue_full", f"{CAPACITY} messages wait for their time already"),
    ("throttled", "the client sends too much; some of it was dropped; told once a second"),
    ("malformed", "a datagram is no OSC; all of it was dropped; told once a second"),
    ("oversized", "a datagram breaks a bound; all of it was dropped; told once a second"),
    ("refused", "the engine cannot do it now; the message says why"),
    ("internal", "a fault of Backline"),
)

_INTRODUCTION = f"""# OSC reference

Written by `python -m bridge.osc.reference` from the table in `bridge/osc/contract.py`; change that, not this page.

Backline listens on UDP port {contract.DEFAULT_PORT} of 127.0.0.1 and, where told to, on TCP. There it takes OSC 1.1
framing (SLIP with an END before and after each packet) and OSC 1.0 framing (a 4-byte big-endian length before each
packet): the first byte of a connection tells which, 0x00 being a length, and replies come in the same. OSCQuery over
HTTP describes the same tree to programs.

- A *beat* is a quarter note from the song's start. Arguments in brackets may be left out.
- Numbers of another type are taken where nothing is lost (`f` for `i`, `i` for `d`, `T` and `F` for 1 and 0), a nil
  as the default.
- Any command may carry one more argument, a **request id**: a string that starts with `#`. It comes back in the reply,
  also where the address is unknown or an argument wrong or missing. (A string that the address must have is taken as
  that, whatever it starts with.)
- Every command ends in `/backline/done` (address, request id if given, values) or `/backline/error` (address, request
  id if given, code, message), sent to where the command came from or to the reply port. Addresses marked *streamed*
  are answered only on error or where they carry a request id.
- A command without arguments may carry one number, as buttons send it; 0, the button let go, changes nothing.
- Address patterns (`/backline/stem/*/mute`) reach every address they match. `?` is any character, `*` any number of
  them, `[abc]` and `[a-z]` one of a set, `[!a-z]` one that is not in it, `{{one,other}}` one of several texts, which
  may hold the forms before. `?`, `*` and sets stop at a `/`. Not supported: nested braces, more than
  {MAX_ALTERNATIVES} alternatives in all, ranges beyond ASCII, and the `//` of OSC 1.1.
- A bundle's timetag is kept to: up to {HORIZON_SECONDS:g} s ahead, {CAPACITY} messages in all; one that is past is
  carried out at once and counted.
- Foreign addresses that are not in this table are counted and ignored; their sender is told once a second.
"""

_SECTIONS: tuple[tuple[str, str, tuple[OscMethod, ...]], ...] = (
    ("Transport and vocal", "What the DAW sends.", contract.TRANSPORT),
    ("Generate", "", contract.GENERATE),
    ("Stems", "", contract.STEM_METHODS),
    ("Controls", "Effective at the next chunk; the reply says at which beat.", contract.CONTROLS),
    ("Presets and takes", "", contract.PRESETS_AND_TAKES),
    ("Leases and service", "", contract.SERVICE),
    (
        "Understood as well",
        "Stock configurations of REAPER and DrivenByMoss drive Backline unchanged.",
        contract.ALIASES,
    ),
    ("Sent by Backline", "Heartbeat, plan and meters go to those who subscribed.", contract.OUT),
)


def page() -> str:
    """Return the whole page."""
    documented = [method for _, _, methods in _SECTIONS for method in methods]
    if documented != list(METHODS):
        raise AssertionError("the sections of the reference do not hold exactly the table; see _SECTIONS")
    parts = [_INTRODUCTION]
    parts += [_section(title, text, methods) for title, text, methods in _SECTIONS]
    parts.append(_table("Error codes", "", ("code", "when"), [(f"`{code}`", when) for code, when in ERROR_CODES]))
    parts.append(_table("Bounds", "", ("what", "at most"), _bounds()))
    return "\n".join(parts)


def _section(title: str, text: str, methods: Sequence[OscMethod]) -> str:
    rows = [
        (f"`{m.address}`", m.type_tags, "<br>".join(map(_argument, m.arguments)), _meaning(m), _replies(m))
        for m in methods
    ]
    return _table(title, text, ("address", "types", "arguments", "meaning", "done carries"), rows)


def _argument(argument: OscArgument) -> str:
    name = argument.name if argument.default is None else f"[{argument.name}]"
    notes = [argument.unit, _limits(argument), argument.help]
    if argument.default is not None:
        notes.append(f"default {_shown(argument.default)}")
    return f"`{name}` {argument.type_tag}: " + "; ".join(note for note in notes if note)


def _limits(argument: OscArgument) -> str:
    if argument.choices:
        return "one of " + ", ".join(map(_shown, argument.choices)) if len(argument.choices) > 2 else ""
    if argument.minimum is None:
        return f"at most {argument.maximum:g} bytes" if argument.type_tag == "b" and argument.maximum else ""
    if argument.maximum is None or abs(argument.maximum) > 1e9:
        return ""
    return f"{argument.minimum:g} to {argument.maximum:g}"


def _shown(value: object) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"{value:g}" if isinstance(value, int | float) else str(value)


def _meaning(method: OscMethod) -> str:
    marks = [name for name, marked in (("streamed", method.streamed), ("has a value", method.readable)) if marked]
    if method.alias_of:
        marks.append("as " + ", ".join(f"`{address}`" for address in method.alias_of))
    return method.help + (f" *({'; '.join(marks)})*" if marks else "")


def _replies(method: OscMethod) -> str:
    return ", ".join(f"`{reply.name}` {reply.type_tag}" for reply in method.replies)


def _bounds() -> list[tuple[str, str]]:
    return [
        ("datagram or stream packet", f"{wire.MAX_DATAGRAM_BYTES:,} bytes"),
        ("message", f"{wire.MAX_MESSAGE_BYTES:,} bytes, {wire.MAX_ARGUMENTS} arguments"),
        ("bundle", f"{wire.MAX_MESSAGES:,} messages, {wire.MAX_NESTING} bundles inside each other"),
        ("string", f"{contract.MAX_STRING_BYTES} bytes"),
        ("blob", f"{contract.MAX_BLOB_BYTES:,} bytes"),
        ("commands of one client", f"{throttle.COMMANDS.rate_hz:g} a second, {throttle.COMMANDS.burst:g} at once"),
        ("transport and vocal of one client", f"{throttle.STREAMS.rate_hz:,g} a second"),
        (
            "TCP clients",
            f"{MAX_CONNECTIONS}; one that stops halfway is closed after {HALF_PACKET_SECONDS:g} s, "
            "one that announces a longer packet than above at once",
        ),
        ("lease", f"{contract.LEASE_SECONDS:g} s, {contract.MAX_PUBLISH_HZ:g} messages a second an address"),
    ]


def _table(title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"## {title}\n", f"{text}\n"] if text else [f"## {title}\n"]
    lines += [_row(columns), _row(["---"] * len(columns)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
