"""The grid that chords are read on: stretches of a song in which a chord may not change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES
from engine.harmony_tables import Floats
from engine.timeline import Timeline

LONG_BAR_BEATS = 4.0


@dataclass(frozen=True, slots=True)
class Units:
    """The stretches of a song in which a chord may not change.

    Attributes:
        borders: (units + 1,) beats at which units start, and the last one's end.
        begins_bar: (units,) whether a unit starts on a bar line.
    """

    borders: Floats
    begins_bar: NDArray[np.bool_]

    def of_beats(self, beats: Floats) -> NDArray[np.intp]:
        """Return the unit that each of `beats` lies in, or the nearest one."""
        return np.clip(np.searchsorted(self.borders, beats, side="right") - 1, 0, len(self.begins_bar) - 1)


def frame_beats(timeline: Timeline, start_frame: int, frames: int) -> Floats:
    """Return the beat at the middle sample of each latent frame."""
    starts = np.arange(start_frame, start_frame + frames, dtype=np.int64) * LATENT_HOP_SAMPLES
    return timeline.beats_at_samples(starts + LATENT_HOP_SAMPLES // 2)


def harmonic_units(timeline: Timeline, first_beat: float, last_beat: float) -> Units:
    """Return the units from the one of `first_beat` to the one of `last_beat`.

    A bar of four quarter notes or more falls into parts of two (4/4: half bars) or, where it is a multiple of three,
    of three (12/8); every other bar is one unit.
    """
    borders: list[float] = []
    begins_bar: list[bool] = []
    start = timeline.beat_at_bar(timeline.bar_at_beat(first_beat))
    while start <= last_beat:
        length = timeline.beats_per_bar_at(start)
        count = _units_in_bar(length)
        borders += [start + length * part / count for part in range(count)]
        begins_bar += [part == 0 for part in range(count)]
        start += length
    edges = np.array([*borders, start])
    first, last = np.searchsorted(edges, (first_beat, last_beat), side="right") - 1
    return Units(edges[first : last + 2], np.array(begins_bar)[first : last + 1])


def _units_in_bar(beats: float) -> int:
    """Return into how many units a bar of `beats` quarter notes falls."""
    if beats < LONG_BAR_BEATS:
        return 1
    part = next((part for part in (3, 2) if beats % part == 0), beats)
    return int(beats // part)
