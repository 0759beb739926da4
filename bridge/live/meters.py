"""Levels of what is played, stem by stem, from the player's thread to whoever asks."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from bridge.live.status import Meter
from engine.geometry import STEMS

Array = NDArray[np.float32]

SILENCE_DB = -120.0
TRACKS = (*STEMS, "mix")


class Meters:
    """Adds up what goes by; `read` gives the levels since it was last called by the same reader."""

    def __init__(self) -> None:
        """Start from silence."""
        self._lock = threading.Lock()
        self._readers: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], int]] = {}

    def take(self, stems: Array) -> None:
        """Take in (stems, 2, samples)."""
        tracks = np.concatenate([stems, stems.sum(axis=0, keepdims=True)]).reshape(len(TRACKS), -1)
        peaks = np.abs(tracks).max(axis=1, initial=0.0)
        squares = np.einsum("ts,ts->t", tracks, tracks, dtype=np.float64) / max(tracks.shape[1], 1)
        with self._lock:
            for reader, (peak, square, count) in self._readers.items():
                self._readers[reader] = (np.maximum(peak, peaks), square + squares, count + 1)

    def read(self, reader: str) -> dict[str, Meter]:
        """Return the level of each stem and the mix since `reader` last asked."""
        silent = (np.zeros(len(TRACKS)), np.zeros(len(TRACKS)), 0)
        with self._lock:
            peak, square, count = self._readers.get(reader, silent)
            self._readers[reader] = silent
        rms = np.sqrt(square / max(count, 1))
        return {name: Meter(_db(peak[row]), _db(rms[row])) for row, name in enumerate(TRACKS)}


def _db(amplitude: float) -> float:
    return max(SILENCE_DB, float(20.0 * np.log10(max(amplitude, 1e-6))))
