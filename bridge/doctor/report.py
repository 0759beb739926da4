"""What the doctor says: a table for people, JSON for programs, and one line that sums up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bridge.doctor.finding import Figure, Finding, Verdict, worst

STYLES: Final = {Verdict.OK: "#56b4e9", Verdict.WARNING: "bold black on #f0e442", Verdict.BAD: "bold white on #d55e00"}
SIGNS: Final = {Verdict.OK: "ok", Verdict.WARNING: "! warning", Verdict.BAD: "X BAD"}


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print findings, the ways that were measured, and what follows."""
    table = Table("looked at", "verdict", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        sign = f"[{STYLES[finding.verdict]}]{SIGNS[finding.verdict]}[/]"
        table.add_row(escape(finding.name), sign, escape(finding.words), escape(finding.remedy))
    console.print(table)
    devices = devices_table(findings)
    if devices is not None:
        console.print()
        console.print(devices)
    for finding in findings:
        ways = _rows(finding.figures.get("ways"))
        if ways:
            console.print()
            console.print(ways_table(finding.name, ways))
    console.print()
    console.print(escape(conclusion(findings)), highlight=False)


def ways_table(name: str, ways: Sequence[Mapping[str, Figure]]) -> Table:
    """Return a table of the ways that were measured."""
    headings = ("steps", "guidance", "window", "threads", "p50 ms", "p95 ms", "chunk", "load", "reaction ms", "safe")
    table = Table(*headings, box=None, pad_edge=False, title=f"{name}: in the order of quality", title_justify="left")
    for way in ways:
        table.add_row(
            f"{way['steps']}",
            f"{way['guidance']}",
            f"{way['window_frames']}",
            f"{way['threads']}",
            *(f"{1e3 * _number(way[key]):.0f}" for key in ("p50_seconds", "p95_seconds")),
            f"{way['chunk_frames']}",
            f"{_number(way['real_time_factor']):.0%}",
            f"{1e3 * _number(way['reaction_seconds']):.0f}",
            "yes" if way["safe"] else "all cores" if way["feasible"] else "too slow",
        )
    return table


def devices_table(findings: Sequence[Finding]) -> Table | None:
    """Return a table of the sound devices; None where there are none."""
    devices = [row for finding in findings for row in _rows(finding.figures.get("devices"))]
    if not devices:
        return None
    table = Table("sound device", "system", "out", "in", "Hz", "default for", box=None, pad_edge=False)
    for device in devices:
        defaults = [way for way in ("output", "input") if device[f"default_{way}"]]
        numbers = (f"{device[key]}" for key in ("outputs", "inputs", "rate_hz"))
        table.add_row(escape(f"{device['name']}"), escape(f"{device['host_api']}"), *numbers, ", ".join(defaults))
    return table


def conclusion(findings: Sequence[Finding]) -> str:
    """Return what is safe here and what to change, in a line or two."""
    safe = safe_settings(findings)
    if safe is None:
        first = "No setting is known to be safe here."
    else:
        first = (
            f"Safe here, on {safe['provider']}: {safe['steps']} steps, guidance {safe['guidance']}, "
            f"window {safe['window_frames']} frames, chunk {safe['chunk_frames']} frames. backline serve finds that by "
            f"itself; to insist: {_as_options(safe)}."
        )
    to_change = [f"{finding.name}: {finding.remedy}" for finding in findings if finding.verdict is Verdict.BAD]
    second = {
        Verdict.OK: "All is well.",
        Verdict.WARNING: "It works; the warnings say what would make it better.",
        Verdict.BAD: f"To be changed first: {'; '.join(to_change)}.",
    }[worst(findings)]
    return f"{first} {second}"


def _as_options(safe: Mapping[str, Figure]) -> str:
    """Return settings as options of `backline serve`."""
    provider = "" if safe["provider"] == "cpu" else f" --provider {safe['provider']}"
    return (
        f"--steps {safe['steps']} --guidance {_number(safe['guidance']):g} --chunk {safe['chunk_frames']}"
        f" --threads {safe['threads']}{provider}"
    )


def safe_settings(findings: Sequence[Finding]) -> Mapping[str, Figure] | None:
    """Return the safe settings of the provider that answers soonest, with its name; None if there are none."""
    found: list[Mapping[str, Figure]] = []
    for finding in findings:
        safe = finding.figures.get("safe")
        if isinstance(safe, Mapping):
            found.append({"provider": finding.figures.get("provider"), **safe})
    return min(found, key=lambda settings: _number(settings["reaction_seconds"]), default=None)


def as_json(findings: Sequence[Finding]) -> str:
    """Return all of it as JSON."""
    answer = {
        "verdict": worst(findings),
        "safe": safe_settings(findings),
        "conclusion": conclusion(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False)


def _rows(value: Figure) -> list[Mapping[str, Figure]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _number(value: Figure) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number; a finding's figures are wrong")
    return float(value)
