"""The sound card's input as vocal packets: a singer's microphone, placed where the host's song was when it was sung.

The card's clock and the host's differ by some tens of parts in a million, and capture times jitter. Positions are
therefore counted in samples, one block going on where the last one ended, and compared with the host's: where the
smoothed difference passes a quarter of a millisecond, single blocks are drawn out or together by a sample or a few, by
interpolation from end to end. That cannot click, as both ends of the block stay where they are, and needs no state
beyond a count; that it dulls a block's treble a little does not matter, as this sound is only ever listened to by the
engine and played to nobody. (A slip in silence would have to wait for a breath; a running resampler holds sound back.)
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.packets import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, SEQUENCES, VocalPacket
from bridge.transport.view import SHORTEST_LOOP_SAMPLES
from engine.geometry import SAMPLE_RATE_HZ

Audio: TypeAlias = NDArray[np.float32]

SMOOTHING_SECONDS = 0.2
SLIP_SECONDS = 0.00025
RESTART_SECONDS = 0.005
JUMP_SECONDS = 0.05
LEAST_STRETCHED_SHARE = 128  # a block changes by at most one in so many samples, an eighth of a semitone


class LoopSamples(Protocol):
    """The part of `bridge.transport`'s loop range that placing needs: song samples at 44.1 kHz."""

    @property
    def start_sample(self) -> float:
        """First sample of the loop."""

    @property
    def end_sample(self) -> float:
        """First sample after it."""


class SongView(Protocol):
    """The part of `bridge.transport`'s host view that placing needs."""

    @property
    def moving(self) -> bool:
        """Whether the song's position moves."""

    @property
    def epoch(self) -> int:
        """Goes up where the position is not the continuation of what was."""

    @property
    def loop(self) -> LoopSamples | None:
        """The loop that the host plays, if any."""

    def position_at(self, seconds: float) -> float:
        """Return the song sample (44.1 kHz) at a time of the clock."""


class SongHost(Protocol):
    """Where views come from: `bridge.transport.host.HostTransport`."""

    def now_view(self, now_seconds: float) -> SongView:
        """Return the host's state at a time of the clock."""


class DeviceVocal:
    """Places captured blocks on the song's timeline; one thread at a time.

    Attributes:
        slipped_samples: by how much blocks have been drawn out (or together, below 0) to follow the host, in total.
    """

    def __init__(self, host: SongHost, rate_hz: int, stream: int = 0, heard_later_seconds: float = 0.0) -> None:
        """Make an input.

        Args:
            host: gives the song's position at a time of the clock.
            rate_hz: the card's sample rate, 8000 to 384000.
            stream: stream number of the packets.
            heard_later_seconds: how much later than the host's position the singer hears the song: the host's latency.

        Raises:
            ValueError: the rate is out of range.
        """
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(f"rate_hz {rate_hz} is out of range; expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
        self.slipped_samples = 0
        self._host = host
        self._rate_hz = rate_hz
        self._stream = stream
        self._heard_later_seconds = heard_later_seconds
        self._sequence = 0
        self._epoch = 0
        self._position: int | None = None
        self._drift_samples = 0.0

    def packets(self, block: Audio, captured_seconds: float) -> tuple[VocalPacket, ...]:
        """Return a captured block as packets: one, or more where the host's loop wraps in it, or none while it stands.

        Args:
            block: (channels, samples) float32 at the card's rate.
            captured_seconds: time of the clock at which its first sample was at the microphone.

        Raises:
            ValueError: the block is none that a packet can hold.
        """
        view = self._host.now_view(captured_seconds)
        if not view.moving:
            self._position = None
            return ()
        target = view.position_at(captured_seconds - self._heard_later_seconds) * self._rate_hz / SAMPLE_RATE_HZ
        loop = self._loop_of(view)
        slip = self._followed(target, loop, view.epoch, block.shape[1])
        position = round(target) if self._position is None else self._position
        packets, self._position = self._split(_stretched(block, slip), position, loop)
        return packets

    def _loop_of(self, view: SongView) -> tuple[int, int] | None:
        """Return the host's loop at the card's rate."""
        if view.loop is None or view.loop.end_sample - view.loop.start_sample < SHORTEST_LOOP_SAMPLES:
            return None
        start, end = (
            round(sample * self._rate_hz / SAMPLE_RATE_HZ) for sample in (view.loop.start_sample, view.loop.end_sample)
        )
        return start, end

    def _followed(self, target: float, loop: tuple[int, int] | None, epoch: int, block_samples: int) -> int:
        """Compare the count with the host's position; return by how many samples to draw the block out."""
        drift = 0.0 if self._position is None else _difference(target, self._position, loop)
        share = min(1.0, block_samples / (SMOOTHING_SECONDS * self._rate_hz))
        self._drift_samples += (drift - self._drift_samples) * share
        lost_track = (
            abs(drift) > JUMP_SECONDS * self._rate_hz or abs(self._drift_samples) > RESTART_SECONDS * self._rate_hz
        )
        if self._position is None or epoch != self._epoch or lost_track:
            self._position, self._epoch, self._drift_samples = None, epoch, 0.0
            return 0
        if abs(self._drift_samples) < max(SLIP_SECONDS * self._rate_hz, 1.0):
            return 0
        most = max(1, block_samples // LEAST_STRETCHED_SHARE)
        slip = int(np.clip(round(self._drift_samples), -most, most))
        if block_samples + slip < 2:
            return 0
        self._drift_samples -= slip
        self.slipped_samples += slip
        return slip

    def _split(self, block: Audio, position: int, loop: tuple[int, int] | None) -> tuple[tuple[VocalPacket, ...], int]:
        """Return the packets of a block that starts at `position`, cut where the loop wraps, and where it ends."""
        packets: list[VocalPacket] = []
        while block.shape[1]:
            wraps = loop is not None and loop[0] <= position < loop[1] <= position + block.shape[1]
            length = loop[1] - position if loop is not None and wraps else block.shape[1]
            packets.append(VocalPacket(self._stream, self._sequence, position, self._rate_hz, block[:, :length]))
            self._sequence = (self._sequence + 1) % SEQUENCES
            position = loop[0] if loop is not None and wraps else position + length
            block = block[:, length:]
        return tuple(packets), position


def _difference(target: float, position: int, loop: tuple[int, int] | None) -> float:
    """Return how far `target` is ahead of `position`, the short way round in a loop."""
    ahead = target - position
    if loop is None or not (loop[0] <= position < loop[1] and loop[0] <= target <= loop[1]):
        return ahead
    length = loop[1] - loop[0]
    return (ahead + length / 2) % length - length / 2


def _stretched(block: Audio, slip: int) -> Audio:
    """Return (channels, n) as (channels, n + slip), interpolated, its first and last sample unchanged."""
    if slip == 0:
        return block
    length = block.shape[1]
    places = np.linspace(0.0, length - 1.0, length + slip)
    return np.stack([np.interp(places, np.arange(length), channel) for channel in block]).astype(np.float32)
