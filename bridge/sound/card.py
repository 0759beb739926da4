"""What a running card is to the rest of this room: a callback that counts its blocks, a ring, and time stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.clock import Clock


@dataclass(frozen=True, slots=True)
class CardSettings:
    """How a card is to be opened.

    Attributes:
        device: name, part of a name that only one device has, or None for the system's default.
        rate_hz: sample rate; None for 44.1 kHz where the card has it and the card's own where not.
        block_samples: samples a callback.
        ring_samples: least capacity of the ring.
        latency_seconds: what the driver is asked for; it may give more.
        channels: channel count.
    """

    device: str | None
    rate_hz: int | None
    block_samples: int
    ring_samples: int
    latency_seconds: float
    channels: int = 2


@dataclass(frozen=True, slots=True)
class Stamp:
    """When one sample of a stream is heard, or was captured.

    Attributes:
        sample: its number since the stream's start.
        seconds: the clock's time.
    """

    sample: int
    seconds: float


class Card(Protocol):
    """A running stream as the rest of this room sees it; any call may raise `SoundError` when the device is gone."""

    name: str
    rate_hz: int
    block_samples: int

    def blocks(self) -> int:
        """Return how many blocks the callback has begun."""

    def xruns(self) -> int:
        """Return how many gaps the driver itself reported."""

    def active(self) -> bool:
        """Return whether the callback still runs."""

    def armed(self) -> bool:
        """Return whether the callback uses the ring (it stops when the ring runs dry, or full)."""

    def arm(self) -> None:
        """Let the callback use the ring from its next block on."""

    def armed_blocks(self) -> int:
        """Return how many blocks the callback has begun since `arm`."""

    def fill(self) -> int:
        """Return how many samples are in the ring."""

    def clock_offset(self, clock: Clock) -> float:
        """Return the stream's time less the clock's; may take long when the driver hangs."""

    def start_probe(self, offset_seconds: float, now_seconds: float) -> None:
        """Send a probe, unless one is under way."""

    def finish_probe(self, now_seconds: float) -> Stamp | None:
        """Return what the probe found, once."""

    def close(self) -> None:
        """Let go of the device; any number of times."""


class PlayingCard(Card, Protocol):
    """A card that plays."""

    def write(self, samples: NDArray[np.float32], back: int = 0) -> int:
        """Put (samples, channels) into the ring, over its last `back` samples and on, and return how many found room.

        Those last samples must not be about to be played: the callback may read while they are written.
        """


class RecordingCard(Card, Protocol):
    """A card that records."""

    def read(self, samples: int) -> NDArray[np.float32]:
        """Take up to `samples` (samples, channels) out of the ring."""
