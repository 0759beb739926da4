"""A sound card made of arithmetic: it plays by a manual clock, keeps what it played, and breaks when told to."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock, ManualClock
from bridge.sound.card import CardSettings, Stamp
from bridge.sound.output import SoundError

STREAM_TIME_OFFSET_SECONDS = 1_000_000.0


class FakeCard:
    """A `PlayingCard` and a `RecordingCard` on a manual clock.

    Args:
        clock: moves it on.
        settings: how it was opened.
        latency_seconds: from a block's callback until its first sample is heard.
        speed: its true rate over the one it claims.
    """

    def __init__(
        self, clock: ManualClock, settings: CardSettings, latency_seconds: float = 0.0125, speed: float = 1.0
    ) -> None:
        self.name = settings.device or "fake"
        self.rate_hz = settings.rate_hz or 44_100
        self.block_samples = settings.block_samples
        self.settings = settings
        self.played: list[NDArray[np.float32]] = []
        self.closed = self.broken = self.still = False
        self.block_begins_on_arm = False
        self.driver_gaps = 0
        self._clock = clock
        self._start_seconds = clock.now()
        self._latency_seconds = latency_seconds
        self._block_seconds = settings.block_samples / (self.rate_hz * speed)
        self._ring: NDArray[np.float32] = np.zeros((0, settings.channels), np.float32)
        self._armed = False
        self._armed_blocks = 0
        self._extra_blocks = 0
        self._probe: int | None = None
        self.captured = 0

    def heard_seconds(self, sample: int) -> float:
        """Return when a sample of `sound()` is heard (or was captured)."""
        block_seconds = self._block_seconds
        return self._start_seconds + sample / self.block_samples * block_seconds + self._latency_seconds

    def sound(self) -> NDArray[np.float32]:
        """Return all that was played, (samples, channels)."""
        self._run()
        return np.concatenate(self.played)

    def blocks(self) -> int:
        self._run()
        return len(self.played)

    def xruns(self) -> int:
        self._run()
        return self.driver_gaps

    def active(self) -> bool:
        return not self.broken

    def armed(self) -> bool:
        self._run()
        return self._armed

    def arm(self) -> None:
        self._run()
        if self.block_begins_on_arm:  # the callback begins just before it could see the ring
            self._extra_blocks += 1
            self._run()
            self.block_begins_on_arm = False
        self._armed, self._armed_blocks = True, 0

    def armed_blocks(self) -> int:
        self._run()
        return self._armed_blocks

    def fill(self) -> int:
        self._run()
        return len(self._ring)

    def clock_offset(self, clock: Clock) -> float:
        self._run()
        return STREAM_TIME_OFFSET_SECONDS

    def start_probe(self, offset_seconds: float, now_seconds: float) -> None:
        assert offset_seconds == STREAM_TIME_OFFSET_SECONDS
        if self._probe is None:
            self._probe = self.blocks()

    def finish_probe(self, now_seconds: float) -> Stamp | None:
        if self._probe is None or self.blocks() <= self._probe:
            return None
        block, self._probe = self._probe, None
        return Stamp(block * self.block_samples, self.heard_seconds(block * self.block_samples))

    def write(self, samples: NDArray[np.float32], back: int = 0) -> int:
        self._run()
        assert back <= len(self._ring)
        before, behind = self._ring[: len(self._ring) - back], self._ring[len(self._ring) - back + len(samples) :]
        self._ring = np.concatenate([before, samples, behind if back else behind[:0]])
        return len(samples)

    def read(self, samples: int) -> NDArray[np.float32]:
        self._run()
        out, self._ring = self._ring[:samples], self._ring[samples:]
        return out

    def close(self) -> None:
        self.closed = True

    def _run(self) -> None:
        if self.broken or self.closed:
            raise SoundError(f"{self.name}: unplugged")
        if self.still:
            return
        elapsed_seconds = self._clock.now() - self._start_seconds
        due = math.floor(elapsed_seconds / self._block_seconds + 1e-6) + 1 + self._extra_blocks
        while len(self.played) < due:
            self._block()

    def _block(self) -> None:
        block = np.zeros((self.block_samples, self.settings.channels), np.float32)
        self.played.append(block)
        if not self._armed:
            return
        self._armed_blocks += 1
        found = min(self.block_samples, len(self._ring))
        block[:found] = self._ring[:found]
        self._ring = self._ring[found:]
        self._armed = found == self.block_samples


class FakeRecorder(FakeCard):
    """Records its own sample numbers until its ring is full."""

    def _block(self) -> None:
        start = len(self.played) * self.block_samples
        numbers = np.arange(start, start + self.block_samples, dtype=np.float32)
        block = np.repeat(numbers[:, None], self.settings.channels, axis=1)
        self.played.append(block)
        if not self._armed:
            return
        self._armed_blocks += 1
        room = min(self.block_samples, self.settings.ring_samples - len(self._ring))
        self._ring = np.concatenate([self._ring, block[:room]])
        self._armed = room == self.block_samples
