"""Checks for the doctor's runner that behave as broken drivers do."""

from __future__ import annotations

import os
import sys
import time

from bridge.doctor.finding import Finding, Request, Verdict


def answer(request: Request) -> tuple[Finding, ...]:
    """Answer, after having filled standard output as some libraries do."""
    print("noise" * 10_000)
    return (Finding("echo", Verdict.OK, f"{request.port} {request.providers} {request.sounding_seconds}"),)


def teach(request: Request) -> tuple[Finding, ...]:
    """Say what later checks want to know."""
    return (Finding("teach", Verdict.OK, "", figures={"running_providers": ["cpu", "cuda"], "sounding_seconds": 0.07}),)


def hang(request: Request) -> tuple[Finding, ...]:
    """Do not come back."""
    print("waiting for the card", file=sys.stderr, flush=True)
    time.sleep(600.0)
    return ()


def crash(request: Request) -> tuple[Finding, ...]:
    """Die as a driver does."""
    os.abort()


def fail(request: Request) -> tuple[Finding, ...]:
    """Raise."""
    raise RuntimeError("no such thing")
