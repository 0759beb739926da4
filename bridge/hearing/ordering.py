"""From packets in any order to the pieces of runs, decided by sequence numbers, positions and arrival times alone.

Sequence numbers say in which order packets were sent, positions where on the timeline they belong: only both together
tell a lost packet from a locate, and one that is late from a loop that starts again. No threads, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge.hearing.packets import SEQUENCES, Audio, VocalPacket, as_stereo
from bridge.hearing.pieces import Piece, fade_samples, filled_gap, missing_between

PAUSE_SECONDS = 0.25  # five of the slowest blocks in use (2048 samples at 44.1 kHz): a host that still plays sends more
TAKEOVER_SECONDS = 1.0
WINDOW_PACKETS = 1_024
MOST_WAITING_SECONDS = 4.0
TOLERANCE_SAMPLES = 2  # of hosts that work their position out of beats, rounded
LONGEST_BLOCKS = 2  # a lost packet is taken to be no longer than this many of its neighbours
ROUNDING_SECONDS = 1e-9

_NOTHING = np.zeros((2, 0), np.float32)


@dataclass(frozen=True, slots=True)
class VocalStats:
    """What came of the packets so far.

    Attributes:
        packets: how many came, whatever became of them.
        late: came after their place had been filled with silence, and were dropped.
        duplicate: had come before, and were dropped.
        reordered: came after a packet that was sent later, and in time.
        lost_packets: sequence numbers that never came in time.
        lost_samples: silence, in samples at 44.1 kHz, that fills gaps.
        jumps: runs that began while another was under way: locates, loop wraps, restarts of the host.
        other_stream: belonged to a stream that is not the active one, and were dropped.
        overflow: samples at 44.1 kHz dropped because nobody took them for four seconds.
        bad: refused before they became a packet.
    """

    packets: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    lost_packets: int = 0
    lost_samples: int = 0
    jumps: int = 0
    other_stream: int = 0
    overflow: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A packet and when it came."""

    packet: VocalPacket
    arrived_seconds: float


class PacketOrder:
    """Puts the packets of one stream in order and says what is missing.

    What it gives depends on the arrival times alone, not on when or how often it is asked.

    Attributes:
        stats: what came of the packets so far.
        pieces: what is ready, oldest first; whoever takes them empties the list.
    """

    def __init__(self, reorder_seconds: float) -> None:
        self.stats = VocalStats()
        self.pieces: list[Piece] = []
        self._reorder_seconds = reorder_seconds
        self._stream: int | None = None
        self._last_arrival_seconds = 0.0
        self._waiting: dict[int, _Waiting] = {}
        self._recent: dict[int, int] = {}  # place on the timeline by sequence, of what was let through
        self._expected = 0  # unwrapped sequence number of the packet that comes next
        self._newest = 0
        self._settled = False  # whether it is known which packet is the first
        self._run_rate_hz: int | None = None
        self._position = 0
        self._block_samples = 0
        self._edge = _NOTHING

    def push(self, packet: VocalPacket, arrived_seconds: float) -> None:
        """Take a packet that came at `arrived_seconds`."""
        self.advance(arrived_seconds)
        self.stats = replace(self.stats, packets=self.stats.packets + 1)
        if not self._is_active(packet.stream, arrived_seconds):
            self.stats = replace(self.stats, other_stream=self.stats.other_stream + 1)
            return
        self._last_arrival_seconds = arrived_seconds
        index = self._unwrapped(packet.sequence)
        seen = self._seen(index)
        if seen == packet.host_sample:
            self.stats = replace(self.stats, duplicate=self.stats.duplicate + 1)
            return
        if seen is not None or abs(index - self._expected) > WINDOW_PACKETS:
            index = self._restart(packet)
        elif self._settled and index < self._expected:
            self.stats = replace(self.stats, late=self.stats.late + 1)
            return
        elif index < self._newest:
            self.stats = replace(self.stats, reordered=self.stats.reordered + 1)
        self._newest = max(self._newest, index)
        self._waiting[index] = _Waiting(packet, arrived_seconds)
        self._let_through(arrived_seconds)
        while self._waiting and self._too_many():
            self._let_through(float("inf"))

    def advance(self, now_seconds: float) -> None:
        """Give up what did not come by `now_seconds`, and end the run where nothing comes any more."""
        self._let_through(now_seconds)
        if self._stream is not None and now_seconds - self._last_arrival_seconds >= PAUSE_SECONDS - ROUNDING_SECONDS:
            self._end()

    def count_bad(self) -> None:
        """Count a packet that was refused before it became one."""
        self.stats = replace(self.stats, packets=self.stats.packets + 1, bad=self.stats.bad + 1)

    def count_overflow(self, samples: int) -> None:
        """Count `samples` at 44.1 kHz that were dropped because nobody took them."""
        self.stats = replace(self.stats, overflow=self.stats.overflow + samples)

    def _is_active(self, stream: int, arrived_seconds: float) -> bool:
        """Return whether `stream` is the active one; the first is, and another once that has been silent."""
        if stream == self._stream:
            return True
        if self._stream is not None and arrived_seconds - self._last_arrival_seconds < TAKEOVER_SECONDS:
            return False
        self._stream = stream  # whose run has ended, as a pause is shorter than this silence
        return True

    def _unwrapped(self, sequence: int) -> int:
        """Return the sequence number nearest to the expected one that equals `sequence` modulo 2**32."""
        if not self._settled and not self._waiting:
            self._expected = self._newest = sequence
        half = SEQUENCES // 2
        return self._expected + (sequence - self._expected + half) % SEQUENCES - half

    def _seen(self, index: int) -> int | None:
        """Return the place of the packet of that number, if it came lately."""
        waiting = self._waiting.get(index)
        return waiting.packet.host_sample if waiting else self._recent.get(index)

    def _restart(self, packet: VocalPacket) -> int:
        """Begin counting anew at `packet`, whose sender has, and return its number."""
        self._let_through(float("inf"))
        self._recent.clear()
        self._expected = self._newest = packet.sequence
        self._settled = True
        return packet.sequence

    def _let_through(self, now_seconds: float) -> None:
        """Make pieces of the packets whose turn it is, and of gaps that have been waited for long enough."""
        lost = 0
        while self._waiting:
            if not self._settled or self._expected not in self._waiting:
                first_arrival = min(waiting.arrived_seconds for waiting in self._waiting.values())
                if now_seconds < first_arrival + self._reorder_seconds - ROUNDING_SECONDS:
                    return
                earliest = min(self._waiting)
                lost = earliest - self._expected if self._settled else 0
                self.stats = replace(self.stats, lost_packets=self.stats.lost_packets + lost)
                self._expected, self._settled = earliest, True
            self._place(self._waiting.pop(self._expected).packet, lost)
            self._expected += 1
            lost = 0

    def _place(self, packet: VocalPacket, lost_packets: int) -> None:
        """Add a packet to the run, after silence if packets before it are lost, or begin a new run with it."""
        audio = as_stereo(packet.samples)
        ahead = packet.host_sample - self._position
        starts = self._run_rate_hz != packet.rate_hz or not (
            abs(ahead) <= TOLERANCE_SAMPLES or 0 < ahead <= self._longest_gap(lost_packets, packet)
        )
        if starts:
            self._start(packet)
        elif ahead > TOLERANCE_SAMPLES:
            self._fill(ahead, audio)
        self.pieces.append(Piece(self._position, packet.rate_hz, audio, starts=starts))
        self._position += audio.shape[1]
        self._block_samples = audio.shape[1]
        edge = fade_samples(packet.rate_hz)
        self._edge = audio[:, -edge:] if audio.shape[1] >= edge else np.hstack((self._edge, audio))[:, -edge:]
        self._recent[self._expected] = packet.host_sample
        if len(self._recent) > WINDOW_PACKETS:
            del self._recent[next(iter(self._recent))]

    def _longest_gap(self, lost_packets: int, packet: VocalPacket) -> int:
        """Return the most samples that so many lost packets may have held; more is a jump."""
        block_samples = max(self._block_samples, packet.samples.shape[1])
        return min(lost_packets * LONGEST_BLOCKS * block_samples, round(PAUSE_SECONDS * packet.rate_hz))

    def _start(self, packet: VocalPacket) -> None:
        """Begin a run at `packet`."""
        if self._run_rate_hz is not None:
            self.stats = replace(self.stats, jumps=self.stats.jumps + 1)
        self._run_rate_hz = packet.rate_hz
        self._position = packet.host_sample
        self._edge = _NOTHING

    def _fill(self, samples: int, after: Audio) -> None:
        """Add the silence that stands in for `samples` at the host's rate."""
        rate_hz = self._run_rate_hz or 0
        missing = missing_between(self._position, self._position + samples, rate_hz)
        audio = filled_gap(self._edge, samples, after, rate_hz)
        self.pieces.append(Piece(self._position, rate_hz, audio, missing_samples=missing))
        self._position += samples
        self._edge = audio[:, -fade_samples(rate_hz) :]
        self.stats = replace(self.stats, lost_samples=self.stats.lost_samples + missing)

    def _end(self) -> None:
        """End the run and forget the sequence: what comes next is a beginning. Nothing waits as long as a pause."""
        if self._run_rate_hz is not None:
            self.pieces.append(Piece(self._position, self._run_rate_hz, _NOTHING, ends=True))
        self._run_rate_hz = None
        self._settled = False
        self._recent.clear()

    def _too_many(self) -> bool:
        """Return whether more waits than may; a sender must not fill the memory."""
        waiting = self._waiting.values()
        seconds = sum(item.packet.samples.shape[1] / item.packet.rate_hz for item in waiting)
        return seconds > MOST_WAITING_SECONDS or len(waiting) > WINDOW_PACKETS
