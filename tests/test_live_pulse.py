"""A live session in real time through PortAudio and a private PulseAudio: its clicks are on the host's beats."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import live_grid
from tests.pulse_support import needs_pulse


@needs_pulse
@pytest.mark.slow
def test_clicks_are_within_five_milliseconds_of_the_hosts_beats() -> None:
    result, words = live_grid.measured("few_seconds", impulses=0)
    (section,) = result.sections
    assert section.beats >= 16
    # A busy machine may lose sound; where it did, beats are missing, and those that are there are still in time.
    assert section.missing == 0 or result.underruns or result.overruns, words
    assert len(section.errors_seconds) >= 8, words
    assert abs(np.median(section.errors_seconds)) < live_grid.LARGEST_ERROR_SECONDS, words
    assert np.quantile(np.abs(section.errors_seconds), 0.9) < live_grid.LARGEST_ERROR_SECONDS, words
    assert result.extra == 0 or result.underruns or result.overruns, words
