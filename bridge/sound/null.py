"""An output without a device: keeps time by the clock, so that a session runs where there is no sound card."""

from __future__ import annotations

import threading

from bridge.clock import Clock
from bridge.sound.event_queue import EventQueue
from bridge.sound.output import (
    BLOCK_SAMPLES,
    RING_SECONDS,
    Audio,
    LatencyTerms,
    SoundEvent,
    SoundFacts,
    check_block,
    check_ring,
)
from bridge.sound.pacer import Pacer
from engine.geometry import SAMPLE_RATE_HZ


class NullOutput:
    """Takes samples at 44.1 kHz by the clock, to the sample; see `SoundOut`.

    Args:
        clock: where time comes from.
        block_samples: what a card would take at once; only told, samples are taken one by one.
        ring_seconds: the wanted fill.
    """

    def __init__(self, clock: Clock, block_samples: int = BLOCK_SAMPLES, ring_seconds: float = RING_SECONDS) -> None:
        check_ring(block_samples, ring_seconds)
        self._clock = clock
        self._block_samples = block_samples
        self._wanted_samples = round(ring_seconds * SAMPLE_RATE_HZ)
        self._events = EventQueue()
        self._lock = threading.Lock()
        self._pacer: Pacer | None = None

    def open(self) -> None:
        """Start to keep time."""
        with self._lock:
            if self._pacer is not None:
                raise ValueError("this output is open already; close it first")
            now_seconds = self._clock.now()
            self._pacer = Pacer(now_seconds, SAMPLE_RATE_HZ, self._wanted_samples)
        self._events.put(SoundEvent(now_seconds, "null", "no sound device: time is kept by the clock"))

    def close(self) -> None:
        """Stop."""
        with self._lock:
            self._pacer = None

    def write(self, audio: Audio) -> None:
        """Take (2, samples) float32 at 44.1 kHz."""
        with self._lock:
            now_seconds = self._clock.now()
            pacer = self._running()
            check_block(audio, pacer.writable_samples(now_seconds))
            pacer.write(audio.shape[1], now_seconds)

    def stand_by(self, audio: Audio) -> None:
        """Do nothing: nobody hears a gap."""

    def stood_in_samples(self) -> int:
        """Return 0."""
        return 0

    def writable_samples(self) -> int:
        """Return how many samples the ring takes up to its wanted fill."""
        with self._lock:
            return self._running().writable_samples(self._clock.now())

    def next_sample_seconds(self) -> float:
        """Return when the first sample of the next write would be heard."""
        with self._lock:
            return self._running().next_sample_seconds(self._clock.now())

    def write_position(self) -> int:
        """Return the position of the first sample of the next write."""
        with self._lock:
            return self._running().next_position(self._clock.now())

    def heard_position(self) -> int:
        """Return up to which position samples were taken."""
        with self._lock:
            return self._running().heard_position(self._clock.now())

    def facts(self) -> SoundFacts:
        """Return what the output says of itself."""
        with self._lock:
            pacer, now_seconds = self._running(), self._clock.now()
            fill_seconds = pacer.fill_samples(now_seconds) / SAMPLE_RATE_HZ
            return SoundFacts(
                name="null",
                rate_hz=SAMPLE_RATE_HZ,
                block_samples=self._block_samples,
                state="null",
                underruns=pacer.underruns,
                silent_samples=pacer.silent_samples,
                fill_seconds=fill_seconds,
                latency=LatencyTerms(fill_seconds, 0.0, 0.0, 0.0, fill_seconds),
                clock_ratio=1.0,
            )

    def events(self) -> tuple[SoundEvent, ...]:
        """Return what changed since the last call."""
        return self._events.drain()

    def _running(self) -> Pacer:
        if self._pacer is None:
            raise ValueError("this output is not open; call open() first")
        return self._pacer
