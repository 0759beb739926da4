"""What a check is asked, and what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from bridge.errors import UserError

Figure: TypeAlias = "str | int | float | bool | Sequence[Figure] | Mapping[str, Figure] | None"
Figures: TypeAlias = "Mapping[str, Figure]"

MOST_SECONDS = 600.0


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Attributes:
        name: what was looked at.
        verdict: how it is.
        words: what was found.
        remedy: what to do about it; empty where nothing needs to be done.
        figures: what was measured, units in the names; values that JSON has.
    """

    name: str
    verdict: Verdict
    words: str
    remedy: str = ""
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the checks.

    Attributes:
        bundle: folder of the model bundle.
        device: output device's name or a part of it; None for the system's default.
        loopback: input on which the output comes back; None to look for one.
        seconds: how long the device plays silence.
        port: the OSC port.
        providers: what onnxruntime is known to run on here.
        sounding_seconds: latency of the output, if it was measured.

    Raises:
        UserError: `seconds` or `port` is out of range.
    """

    bundle: Path
    device: str | None = None
    loopback: str | None = None
    seconds: float = 5.0
    port: int = 9140
    providers: tuple[str, ...] = ("cpu",)
    sounding_seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 1.0 <= self.seconds <= MOST_SECONDS:
            raise UserError(f"--seconds {self.seconds:g} is out of range; give 1 to {MOST_SECONDS:g}")
        if not 1 <= self.port <= 65_535:
            raise UserError(f"port {self.port} is out of range; give 1 to 65535")

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "bundle": str(self.bundle)})

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Return the request that `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "bundle": Path(values["bundle"]), "providers": tuple(values["providers"])})


def findings_to_json(findings: Sequence[Finding]) -> str:
    """Return findings as JSON."""
    return json.dumps([asdict(finding) for finding in findings])


def findings_from_json(text: str) -> tuple[Finding, ...]:
    """Return the findings that `findings_to_json` wrote."""
    return tuple(Finding(**{**values, "verdict": Verdict(values["verdict"])}) for values in json.loads(text))


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the worst verdict there is."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)
