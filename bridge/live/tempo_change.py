"""Where a tempo map that has changed puts the song elsewhere than the one before did."""

from __future__ import annotations

import numpy as np

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline

AUDIBLE_SAMPLES = 0.01 * SAMPLE_RATE_HZ
_STEP_SAMPLES = 4_096


def first_difference(old: Timeline, new: Timeline, start_sample: int, end_sample: int) -> int | None:
    """Return the first place from `start_sample` to `end_sample` that lies audibly elsewhere on the new map.

    Args:
        old: the tempo map before.
        new: the tempo map now.
        start_sample: where to begin, a position on the old map.
        end_sample: where to end.

    Returns:
        A position on the old map, to within a tenth of a second; None if both agree within 10 ms.
    """
    if old is new or start_sample >= end_sample:
        return None
    places = np.arange(start_sample, end_sample + _STEP_SAMPLES, _STEP_SAMPLES, dtype=np.int64)
    drift_beats = new.beats_at_samples(places) - old.beats_at_samples(places)
    samples_a_beat = 60.0 * SAMPLE_RATE_HZ / old.bpms_at_beats(old.beats_at_samples(places))
    apart = np.flatnonzero(np.abs(drift_beats * samples_a_beat) > AUDIBLE_SAMPLES)
    return int(places[apart[0]]) if len(apart) else None
