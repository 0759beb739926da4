"""What lies between the ordering of packets and their rendering: pieces of a run, and the filling of gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ

Audio: TypeAlias = NDArray[np.float32]

FADE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Piece:
    """The next samples of a run, at the host's rate, or its end.

    Attributes:
        host_sample: place of the first sample on the host's timeline.
        rate_hz: the host's rate.
        audio: (2, n) float32; empty where `ends`.
        missing_samples: how many of them, at 44.1 kHz, stand in for what never came.
        starts: a new run starts here.
        ends: nothing follows in this run.
    """

    host_sample: int
    rate_hz: int
    audio: Audio
    missing_samples: int = 0
    starts: bool = False
    ends: bool = False


def song_sample_at(host_sample: int, rate_hz: int) -> int:
    """Return the 44.1 kHz song sample nearest to a host's sample; exactly half-way rounds up."""
    return (2 * host_sample * SAMPLE_RATE_HZ + rate_hz) // (2 * rate_hz)


def missing_between(start_host_sample: int, end_host_sample: int, rate_hz: int) -> int:
    """Return how many song samples a gap of the host's takes."""
    return song_sample_at(end_host_sample, rate_hz) - song_sample_at(start_host_sample, rate_hz)


def filled_gap(before: Audio, samples: int, after: Audio, rate_hz: int) -> Audio:
    """Return silence for a gap whose edges do not click.

    The 2 ms next to each edge mirror the sound beyond it and fade to nothing, so no sample that arrived is changed and
    none is held back in case a gap follows.

    Args:
        before: (2, n) float32, the end of what came before the gap.
        samples: length of the gap at the host's rate.
        after: (2, n) float32, the start of what comes after it.
        rate_hz: the host's rate.

    Returns:
        (2, samples) float32.
    """
    gap = np.zeros((2, samples), np.float32)
    most = min(fade_samples(rate_hz), samples // 2)
    out = min(most, before.shape[1])
    gap[:, :out] += before[:, before.shape[1] - out :][:, ::-1] * _fade_out(out)
    into = min(most, after.shape[1])
    gap[:, samples - into :] += (after[:, :into] * _fade_out(into))[:, ::-1]
    return gap


def fade_samples(rate_hz: int) -> int:
    """Return the length of a fade at the edge of a gap."""
    return round(FADE_SECONDS * rate_hz)


def _fade_out(samples: int) -> Audio:
    """Return half a cosine from nearly 1 down to nearly 0."""
    phase = (np.arange(samples) + 0.5) / max(samples, 1)
    return (0.5 + 0.5 * np.cos(np.pi * phase)).astype(np.float32)
