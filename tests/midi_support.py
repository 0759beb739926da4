"""A transport that does what calls say, and clocks that tick as real ones do, for the tests of MIDI and Link."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bridge.midi.messages import ControlCall, MidiMessage

TICKS_PER_BEAT = 24


class FollowedTransport:
    """Backline's own transport, as simply as can be: it plays at the tempo it was told from the beat it was told."""

    def __init__(self, bpm: float = 120.0) -> None:
        self.bpm = bpm
        self.playing = False
        self._beat = 0.0
        self._seconds = 0.0

    def beat(self, seconds: float) -> float:
        moved_seconds = seconds - self._seconds if self.playing else 0.0
        return self._beat + moved_seconds * self.bpm / 60.0

    def beat_at(self, seconds: float) -> float | None:
        return self.beat(seconds) if self.playing else None

    def obey(self, calls: Iterable[ControlCall]) -> None:
        for call in calls:
            self._beat, self._seconds = self.beat(call.at_seconds), call.at_seconds
            match call.address:
                case "/backline/tempo":
                    self.bpm = float(call.arguments["bpm"])
                case "/backline/locate":
                    self._beat = float(call.arguments["beat"])
                case "/backline/play":
                    self.playing = True
                case "/backline/stop":
                    self.playing = False
                case _:
                    raise AssertionError(f"{call.address} is no transport call")


def message(seconds: float, *data: int, port: str = "desk") -> MidiMessage:
    return MidiMessage(bytes(data), seconds, port)


def tick_times(bpm: float, ticks: int, start_seconds: float = 0.0) -> NDArray[np.float64]:
    return np.asarray(start_seconds + np.arange(ticks) * 60.0 / (bpm * TICKS_PER_BEAT), np.float64)


def jittered(times: NDArray[np.float64], jitter_seconds: float, seed: int) -> NDArray[np.float64]:
    """Return `times`, each moved by up to the jitter either way, still in order."""
    return np.sort(times + np.random.default_rng(seed).uniform(-jitter_seconds, jitter_seconds, len(times)))
