"""A live session in real time through PortAudio and a private PulseAudio: its clicks are on the host's beats."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import live_grid
from tests.pulse_support import needs_pulse

ATTEMPTS = 2  # a machine that stands still while the card's clock is learned shows for seconds; seldom twice in a row


def faults(result: live_grid.LiveGridResult) -> list[str]:
    """Return what is wrong with a few seconds of clicks.

    A busy machine may lose sound; where it did, beats are missing, and those that are there are still in time.
    """
    (section,) = result.sections
    lost = bool(result.underruns or result.overruns)
    errors = section.errors_seconds
    found = []
    if section.missing and not lost:
        found.append(f"{section.missing} beats are missing")
    if result.extra and not lost:
        found.append(f"{result.extra} clicks too many")
    if section.beats < 16 or len(errors) < 8:
        found.append(f"only {len(errors)} clicks on {section.beats} beats")
    elif abs(np.median(errors)) >= live_grid.LARGEST_ERROR_SECONDS:
        found.append(f"clicks are off by {1e3 * np.median(errors):.1f} ms")
    elif np.quantile(np.abs(errors), 0.9) >= live_grid.LARGEST_ERROR_SECONDS:
        found.append(f"one click in ten is off by {1e3 * np.quantile(np.abs(errors), 0.9):.1f} ms")
    return found


@needs_pulse
@pytest.mark.slow
def test_clicks_are_within_five_milliseconds_of_the_hosts_beats() -> None:
    told: list[object] = []
    for _ in range(ATTEMPTS):
        result, words = live_grid.measured("few_seconds", impulses=0)
        found = faults(result)
        if not found:
            return
        told += [*found, *words]
    pytest.fail(str(told))
