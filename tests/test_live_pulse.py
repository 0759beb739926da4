"""A live session in real time through PortAudio and a private PulseAudio: its clicks are on the host's beats."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import live_grid
from tests.pulse_support import in_real_time, needs_pulse

CLICKS = 4  # a bar of them, one after the other: what a clock or a latency taken wrongly puts off, all of them


def faults(result: live_grid.LiveGridResult) -> list[str]:
    """Return what is wrong with a few seconds of clicks.

    A machine that stands still now and then may lose sound, and with it clicks and their place, but not a whole bar of
    them each time.
    """
    (section,) = result.sections
    errors = section.errors_seconds
    if section.beats < 16 or len(errors) < 8:
        return [f"only {len(errors)} clicks on {section.beats} beats"]
    if result.underruns or result.overruns:
        bars = np.lib.stride_tricks.sliding_window_view(np.abs(errors), CLICKS)
        nearest = bars.max(axis=1).min()
        late = nearest >= live_grid.LARGEST_ERROR_SECONDS
        return [f"each bar has a click that is {1e3 * nearest:.1f} ms off or more"] if late else []
    figures = {
        "the median": abs(np.median(errors)),
        "one click in ten": np.quantile(np.abs(errors), 0.9),
    }
    found = [
        f"{what} is {1e3 * seconds:.1f} ms off"
        for what, seconds in figures.items()
        if seconds >= live_grid.LARGEST_ERROR_SECONDS
    ]
    if section.missing or result.extra:
        found.append(f"{section.missing} beats are missing, {result.extra} clicks too many")
    return found


@needs_pulse
@in_real_time
@pytest.mark.slow
def test_clicks_are_within_five_milliseconds_of_the_hosts_beats() -> None:
    result, words = live_grid.measured("few_seconds", impulses=0)
    found = faults(result)
    assert not found, (*found, f"{result.underruns} underruns, {result.overruns} overruns", *words)
