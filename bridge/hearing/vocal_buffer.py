"""The vocal buffer: packets as a network delivers them in, sung audio on the song's timeline out.

Between them lie the ordering of packets (`bridge.hearing.ordering`) and, here, the way to 44.1 kHz: each run through a
resampler that starts on a sample that both rates share, so that what comes out depends on where on the timeline the
singing is and not on where a run, a block or a packet begins.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from bridge.clock import Clock
from bridge.hearing.ordering import PacketOrder, VocalStats
from bridge.hearing.packets import Audio, VocalPacket
from bridge.hearing.pieces import Piece, missing_between, song_sample_at
from bridge.resampling import StreamResampler
from engine.geometry import AUDIO_CHANNELS, SAMPLE_RATE_HZ

REORDER_SECONDS = 0.02
MOST_SECONDS = 4.0
LONGEST_LEAD_IN_SAMPLES = 4_096


@dataclass(frozen=True, slots=True)
class VocalRun:
    """Sung audio that lies together on the song's timeline.

    Attributes:
        song_sample: place of the first sample at 44.1 kHz; may be negative.
        audio: (2, n) float32 at 44.1 kHz.
        missing_samples: how many of them are silence in place of what never came.
        continues: it goes on where the run before it ended; else it starts anew (start, locate, loop, host restart).
    """

    song_sample: int
    audio: Audio
    missing_samples: int
    continues: bool


class VocalBuffer:
    """Orders vocal packets, fills gaps and resamples.

    `push` and `count_bad` belong to the thread that receives, `take` to the one that generates; each may be any thread.
    A packet waits at most `reorder_seconds` for those before it; the first one after a pause waits as long for any sent
    before it. At other rates than 44.1 kHz about 20 ms more are held until the resampler has what it needs of the
    future. Four seconds that nobody takes are kept; what is older is dropped and counted.
    """

    def __init__(self, clock: Clock, reorder_seconds: float = REORDER_SECONDS) -> None:
        """Make an empty buffer.

        Args:
            clock: gives the time where `push` and `take` are not told it.
            reorder_seconds: how long to wait for a missing packet, 0 to 0.2.

        Raises:
            ValueError: `reorder_seconds` is out of range.
        """
        if not 0.0 <= reorder_seconds <= 0.2:
            raise ValueError(f"reorder_seconds {reorder_seconds:g} is out of range; expected 0 to 0.2")
        self._clock = clock
        self._order = PacketOrder(reorder_seconds)
        self._order_lock = threading.Lock()
        self._ready: deque[Piece] = deque()
        self._ready_seconds = 0.0
        self._renderer = _Renderer()
        self._renderer_lock = threading.Lock()

    @property
    def stats(self) -> VocalStats:
        """What came of the packets so far."""
        with self._order_lock:
            return self._order.stats

    def push(self, packet: VocalPacket, arrived_seconds: float | None = None) -> None:
        """Take a packet that came at `arrived_seconds` of the clock; now if left out."""
        arrived = self._clock.now() if arrived_seconds is None else arrived_seconds
        with self._order_lock:
            self._order.push(packet, arrived)
            self._collect()

    def count_bad(self) -> None:
        """Count a packet that was refused before it became a `VocalPacket`."""
        with self._order_lock:
            self._order.count_bad()

    def take(self, now_seconds: float | None = None) -> tuple[VocalRun, ...]:
        """Return what is ready at `now_seconds` of the clock (now if left out), in the order in which it was sung."""
        now = self._clock.now() if now_seconds is None else now_seconds
        with self._renderer_lock:
            with self._order_lock:
                self._order.advance(now)
                self._collect()
                pieces = tuple(self._ready)
                self._ready.clear()
                self._ready_seconds = 0.0
            return self._renderer.rendered(pieces)

    def _collect(self) -> None:
        """Move what the ordering has ready over, and drop the oldest of what nobody takes."""
        for piece in self._order.pieces:
            self._ready.append(piece)
            self._ready_seconds += _seconds(piece)
        self._order.pieces.clear()
        while self._ready_seconds > MOST_SECONDS:
            oldest = self._ready.popleft()
            self._ready_seconds -= _seconds(oldest)
            end = oldest.host_sample + oldest.audio.shape[1]
            self._order.count_overflow(missing_between(oldest.host_sample, end, oldest.rate_hz))
            if self._ready and not self._ready[0].ends:
                self._ready[0] = replace(self._ready[0], starts=True)


@dataclass(slots=True)
class _Growing:
    """A run in the making."""

    song_sample: int
    continues: bool
    audio: list[Audio] = field(default_factory=list)
    missing_samples: int = 0


class _Renderer:
    """Turns pieces at the host's rate into runs at 44.1 kHz; used by one thread at a time."""

    def __init__(self) -> None:
        self._resampler: StreamResampler | None = None
        self._lead_in_samples = 0  # outputs that belong to what lies before the run
        self._song_sample = 0
        self._continues = False
        self._missing_samples = 0  # counted, but their audio is still in the resampler

    def rendered(self, pieces: tuple[Piece, ...]) -> tuple[VocalRun, ...]:
        """Return the runs that `pieces` make, those without a sample left out."""
        growing: list[_Growing] = []
        for piece in pieces:
            if piece.starts or piece.ends:
                self._finish(growing)
            if piece.starts:
                self._start(piece, growing)
            if self._resampler is not None and not piece.ends:
                self._missing_samples += piece.missing_samples
                self._append(self._resampler.step(piece.audio), growing)
        return tuple(
            VocalRun(run.song_sample, np.concatenate(run.audio, axis=1), run.missing_samples, run.continues)
            for run in growing
        )

    def _start(self, piece: Piece, growing: list[_Growing]) -> None:
        """Begin a run, its resampler led in with silence from the last sample that both rates share."""
        self._resampler = StreamResampler(piece.rate_hz, SAMPLE_RATE_HZ, AUDIO_CHANNELS)
        self._song_sample = song_sample_at(piece.host_sample, piece.rate_hz)
        self._continues = False
        lead_in = _lead_in_samples(piece.host_sample, piece.rate_hz)
        self._lead_in_samples = self._song_sample - song_sample_at(piece.host_sample - lead_in, piece.rate_hz)
        self._append(self._resampler.step(np.zeros((AUDIO_CHANNELS, lead_in), np.float32)), growing)

    def _finish(self, growing: list[_Growing]) -> None:
        """End the run under way, if any."""
        if self._resampler is not None:
            self._append(self._resampler.flush(), growing)
        self._resampler = None
        self._missing_samples = 0

    def _append(self, audio: Audio, growing: list[_Growing]) -> None:
        """Add (2, n) at 44.1 kHz to the run under way."""
        skipped = min(self._lead_in_samples, audio.shape[1])
        self._lead_in_samples -= skipped
        length = audio.shape[1] - skipped
        if length == 0:
            return
        if not self._continues or not growing:
            growing.append(_Growing(self._song_sample, self._continues))
        growing[-1].audio.append(audio[:, skipped:])
        growing[-1].missing_samples += self._missing_samples
        self._missing_samples = 0
        self._continues = True
        self._song_sample += length


def _lead_in_samples(host_sample: int, rate_hz: int) -> int:
    """Return how far before `host_sample` the two rates last share a sample; 0 where they hardly ever do."""
    period = rate_hz // math.gcd(rate_hz, SAMPLE_RATE_HZ)
    return host_sample % period if period <= LONGEST_LEAD_IN_SAMPLES else 0


def _seconds(piece: Piece) -> float:
    """Return how long a piece is; its end counts a little, so that ends alone cannot fill the memory either."""
    return piece.audio.shape[1] / piece.rate_hz + 1e-4
