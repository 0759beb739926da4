"""A live session in real time through PortAudio and a private PulseAudio: its clicks are on the host's beats."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import live_grid
from tests.pulse_support import in_real_time, needs_pulse

CLICKS = 4  # a bar of them, one after the other: what a clock or a latency taken wrongly puts off, all of them


def faults(result: live_grid.LiveGridResult) -> list[str]:
    """Return what is wrong with a few seconds of clicks.

    A machine that stands still now and then may lose sound or put a click off, but not a whole bar of them each time;
    how steady all of them are on a quiet machine is `benchmarks.live_grid`'s to say.
    """
    (section,) = result.sections
    errors = np.abs(section.errors_seconds)
    if section.beats < 16 or len(errors) < 8:
        return [f"only {len(errors)} clicks on {section.beats} beats"]
    bars = np.lib.stride_tricks.sliding_window_view(errors, CLICKS)
    if (nearest := bars.max(axis=1).min()) >= live_grid.LARGEST_ERROR_SECONDS:
        return [f"each bar has a click that is {1e3 * nearest:.1f} ms off or more"]
    return []


@needs_pulse
@in_real_time
@pytest.mark.slow
def test_clicks_are_within_five_milliseconds_of_the_hosts_beats() -> None:
    result, words = live_grid.measured("few_seconds", impulses=0)
    assert not faults(result), (f"{result.underruns} underruns, {result.overruns} overruns", *words)
