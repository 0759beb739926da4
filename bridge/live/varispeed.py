"""Reading sound at positions between samples, for the moments when host and sound do not run alike.

Whole positions one apart are copied to the bit. Others go through a windowed sinc of 32 taps (Kaiser, beta 9), which
suits ratios near 1: that is what a drifting clock and a tempo that is being ramped ask for.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]

TAPS = 32
MARGIN_SAMPLES = TAPS // 2
_PHASES = 512


def is_whole(start: float, step: float) -> bool:
    """Return whether reading from `start` on in steps of `step` is plain copying."""
    return step == 1.0 and float(start).is_integer()


def samples_needed(start: float, step: float, samples: int) -> tuple[int, int]:
    """Return the first and end sample that reading `samples` positions touches."""
    if is_whole(start, step):
        return int(start), int(start) + samples
    first = int(np.floor(start)) - MARGIN_SAMPLES + 1
    last = int(np.floor(start + step * (samples - 1))) + MARGIN_SAMPLES + 1
    return first, last


def read(audio: Array, first_sample: int, start: float, step: float, samples: int) -> Array:
    """Return `samples` values at `start`, `start + step`, ...

    Args:
        audio: (..., samples) that begins at `first_sample` and holds all that `samples_needed` says.
        first_sample: position of the first sample of `audio`.
        start: first position.
        step: how far apart positions are.
        samples: how many.

    Returns:
        (..., samples) float32.
    """
    if is_whole(start, step):
        offset = int(start) - first_sample
        return audio[..., offset : offset + samples]
    positions = start - first_sample + step * np.arange(samples)
    base = np.floor(positions).astype(np.int64)
    windows = sliding_window_view(audio, TAPS, axis=-1)[..., base - MARGIN_SAMPLES + 1, :]
    return np.einsum("...nt,nt->...n", windows, _weights((positions - base) * _PHASES))


def _weights(phase: NDArray[np.float64]) -> Array:
    """Return (samples, taps) weights at places between two samples, `phase` in steps of the table."""
    low = phase.astype(np.int64)
    part = (phase - low).astype(np.float32)[:, None]
    table = _sinc_table()
    return table[low] * (1.0 - part) + table[low + 1] * part


@cache
def _sinc_table() -> Array:
    """Return (phases + 1, taps) weights, each row summing to 1."""
    offsets = np.arange(1 - MARGIN_SAMPLES, MARGIN_SAMPLES + 1)
    distance = offsets - np.arange(_PHASES + 1)[:, None] / _PHASES
    window = np.i0(9.0 * np.sqrt(np.maximum(0.0, 1.0 - (distance / MARGIN_SAMPLES) ** 2))) / np.i0(9.0)
    table = np.sinc(distance) * window
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
