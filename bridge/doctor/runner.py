"""Running checks, each in a process of its own: one that hangs is killed, one that crashes is told of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import bridge
from bridge.doctor.finding import Finding, Request, Verdict, findings_from_json

KILL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        name: what it looks at.
        function: `module:function`, which takes a `Request` and returns findings.
        limit_seconds: when it is given up, besides what the request asks it to measure.
        measures: whether it takes the request's `seconds` on top.
    """

    name: str
    function: str
    limit_seconds: float
    measures: bool = False


CHECKS: Final = (
    Check("machine", "bridge.doctor.machine:check", 20.0),
    Check("network", "bridge.doctor.network:check", 10.0),
    Check("model", "bridge.doctor.model:check", 90.0),
    Check("sound", "bridge.doctor.sound:check", 75.0, measures=True),
    Check("speed", "bridge.doctor.speed:check", 300.0),
)
"""In this order: speed needs to know the providers that run and the output's latency."""


def run_checks(
    request: Request, checks: tuple[Check, ...] = CHECKS, tell: Callable[[str], None] = lambda _: None
) -> tuple[Finding, ...]:
    """Run all checks, one after the other, and return what they found.

    Args:
        request: what is asked.
        checks: which.
        tell: told the name of each as it begins.
    """
    findings: list[Finding] = []
    for check in checks:
        tell(check.name)
        found = run_check(check, request)
        findings += found
        request = _learned(request, found)
    return tuple(findings)


def run_check(check: Check, request: Request) -> tuple[Finding, ...]:
    """Return what a check found; that it hung or crashed is a finding too."""
    limit_seconds = check.limit_seconds + (request.seconds if check.measures else 0.0)
    with tempfile.TemporaryDirectory(prefix="backline-doctor-", ignore_cleanup_errors=True) as folder:
        answer, complaints = Path(folder) / "answer.json", Path(folder) / "complaints"
        with complaints.open("wb") as stream:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "bridge.doctor.child", check.function, request.to_json(), str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env=_environment(),
            )
            code = _ended(child, limit_seconds)
        if code == 0:
            return findings_from_json(answer.read_text(encoding="utf-8"))
        last_words = complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return (_failed(check, code, limit_seconds, last_words[-1] if last_words else ""),)


def _environment() -> dict[str, str]:
    """Return an environment in which a child finds this very package."""
    root = str(Path(bridge.__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


def _ended(child: subprocess.Popen[bytes], limit_seconds: float) -> int | None:
    """Wait for the child and return its exit code; None if it had to be killed."""
    try:
        return child.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:  # it hangs, or somebody pressed Ctrl-C here
            child.kill()
            try:
                child.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired:  # stuck in the kernel; nobody waits for it
                child.returncode = -signal.SIGTERM


def _failed(check: Check, code: int | None, limit_seconds: float, last_words: str) -> Finding:
    said = f"; its last words: {last_words}" if last_words else ""
    if code is None:
        words = f"did not end within {limit_seconds:g} s{said}"
        remedy = "a driver or library hangs: restart the sound system, or the machine, and look again"
    elif code < 0:
        words = f"crashed with signal {-code}{said}"
        remedy = "a driver or library is broken: update or install it again"
    else:
        words = f"failed{said}"
        remedy = "this is a mistake in Backline: please report it with these words"
    return Finding(check.name, Verdict.BAD, words, remedy)


def _learned(request: Request, findings: tuple[Finding, ...]) -> Request:
    """Return the request with what later checks need to know."""
    for finding in findings:
        providers, seconds = finding.figures.get("running_providers"), finding.figures.get("sounding_seconds")
        if isinstance(providers, list):
            request = replace(request, providers=tuple(str(name) for name in providers))
        if isinstance(seconds, float):
            request = replace(request, sounding_seconds=seconds)
    return request
