"""What every sound output can do and says of itself, whether it is a card, a clock without a card, or a file.

Two counts of samples run through this room, both at 44.1 kHz and both starting with the first write: what was
*written*, and the *position*, which also counts the silence that a device played where nothing had been written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.errors import UserError
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ

Audio: TypeAlias = NDArray[np.float32]
SoundState: TypeAlias = Literal["open", "lost", "null"]

BLOCK_SAMPLES: Final = 256
RING_SECONDS: Final = 0.05
DEVICE_LATENCY_SECONDS: Final = 0.04  # of the driver; a machine that stands still for longer needs more
MOST_DEVICE_LATENCY_SECONDS: Final = 1.0


class SoundError(UserError):
    """A sound device is missing, busy or broken; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class LatencyTerms:
    """Where the time goes between `write` and the ear, at this moment, term by term.

    Attributes:
        ring_seconds: what waits in the ring.
        resampler_seconds: what the resampler holds back; 0 where the card runs at 44.1 kHz.
        block_seconds: one block of the card: the callback takes that much at once.
        device_seconds: from there to the ear: the host's and the card's own buffers, by the card's time stamps.
        total_seconds: from now until the next sample written is heard.
    """

    ring_seconds: float
    resampler_seconds: float
    block_seconds: float
    device_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """What an output says of itself.

    Attributes:
        name: the device's name.
        rate_hz: its sample rate.
        block_samples: samples a callback, at that rate.
        state: `open` (a card that runs), `lost` (a card that went away, time goes on) or `null` (never a card).
        underruns: how often the ring ran dry, and how many blocks the driver marked as coming after a gap of its own
            (PortAudio marks two for one gap where its buffer takes two to fill again).
        silent_samples: how many samples of silence the device played for that, at 44.1 kHz.
        fill_seconds: what waits in the ring.
        latency: the time from `write` to the ear.
        clock_ratio: the device's rate against the clock's seconds, over the rate it claims.
    """

    name: str
    rate_hz: int
    block_samples: int
    state: SoundState
    underruns: int
    silent_samples: int
    fill_seconds: float
    latency: LatencyTerms
    clock_ratio: float


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A change that someone should hear of.

    Attributes:
        seconds: the clock's time.
        state: the state from then on.
        words: what happened, and the remedy where there is one.
    """

    seconds: float
    state: SoundState
    words: str


class SoundOut(Protocol):
    """Where the mix goes. One thread writes; the questions may come from any."""

    def open(self) -> None:
        """Start; afterwards time runs.

        Raises:
            SoundError: the device is not there, or cannot be opened.
        """

    def close(self) -> None:
        """Stop, and let go of the device; what waits in the ring is not heard."""

    def write(self, audio: Audio) -> None:
        """Append (2, samples) float32 at 44.1 kHz to the ring; never blocks.

        Raises:
            ValueError: the shape or type is wrong, or it is more than `writable_samples()`.
        """

    def stand_by(self, audio: Audio) -> None:
        """Let (2, samples) at 44.1 kHz follow what was written, should the next write be late; a write takes its place.

        An output that cannot do so goes without.
        """

    def stood_in_samples(self) -> int:
        """Return how many samples of what stood by were played so far: they count as written."""

    def writable_samples(self) -> int:
        """Return how many samples at 44.1 kHz the ring takes up to its wanted fill."""

    def next_sample_seconds(self) -> float:
        """Return the clock's time at which the first sample of the next write will be heard."""

    def write_position(self) -> int:
        """Return the position, silence included, of the first sample of the next write."""

    def heard_position(self) -> int:
        """Return the position up to which the device has taken its samples."""

    def facts(self) -> SoundFacts:
        """Return what the output says of itself, now."""

    def events(self) -> tuple[SoundEvent, ...]:
        """Return what changed since the last call, oldest first; at most 64 are kept."""


def ring_seconds_for(device_latency_seconds: float) -> float:
    """Return the fill of the ring that does not run dry where a driver holds so much: as much again.

    A driver takes a period at once, a third of its buffer or more; and after the whole computer stood still, as a busy
    host's guests do, it takes at once all that sounded meanwhile, faster than the player can write.
    """
    return max(RING_SECONDS, device_latency_seconds)


def check_block(audio: Audio, writable_samples: int) -> None:
    """Refuse what is not (2, up to `writable_samples`) float32.

    Raises:
        ValueError: it is not.
    """
    if audio.ndim != 2 or audio.shape[0] != AUDIO_CHANNELS or audio.dtype != np.float32:
        raise ValueError(
            f"audio: {audio.dtype} of shape {audio.shape}; expected float32 of shape (2, samples), channels first"
        )
    if audio.shape[1] > writable_samples:
        raise ValueError(
            f"audio: {audio.shape[1]} samples and room for {writable_samples}; write no more than writable_samples()"
        )


def check_ring(block_samples: int, ring_seconds: float, rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Refuse a ring that cannot hold two blocks, or sizes that no card has.

    Raises:
        ValueError: it cannot, or they are out of range.
    """
    if not 16 <= block_samples <= 8192:
        raise ValueError(f"block_samples: {block_samples}; expected 16 to 8192, 256 is a good start")
    least_seconds = 2 * block_samples / rate_hz
    if not least_seconds <= ring_seconds <= 10.0:
        raise ValueError(
            f"ring_seconds: {ring_seconds}; expected {least_seconds:.4f} (two blocks) to 10; "
            "choose a longer ring or smaller blocks"
        )
