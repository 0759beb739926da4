"""How the host's song position moves: its blocks, jumps and loop wraps, laid over one clock that never jumps.

The host's sample clock runs on whatever the song does. So the delay-locked loop follows an *unrolled* position that
only rises, and the song's position is that plus an offset which changes at a locate or a loop wrap. Where snapshots are
numbered and blocks have one length, the loop keeps its lock through stops, locates and wraps.
"""

from __future__ import annotations

from typing import Literal

from bridge.transport.delay_locked_loop import DelayLockedLoop, Lock
from bridge.transport.view import LoopRange
from engine.geometry import SAMPLE_RATE_HZ

Verdict = Literal["continued", "wrapped", "jumped"]

JUMP_SECONDS = 0.05
STALL_SECONDS = 0.25  # how long snapshots in sequence may be late before they are a jump
SAME_BLOCK_SAMPLES = 2.0
MOST_STEPS = 64


class HostMotion:
    """The host's song position over time. Positions are samples at 44.1 kHz."""

    def __init__(self) -> None:
        self._loop = DelayLockedLoop(SAMPLE_RATE_HZ)
        self._unrolled = 0.0
        self._block_samples = 0.0
        self._last_advance = 0.0
        self._late_since: float | None = None
        self.position = 0.0  # of the newest message

    @property
    def song_lock(self) -> Lock:
        """The line from time to song position, loop wraps not applied."""
        lock = self._loop.lock
        return Lock(lock.position + self.position - self._unrolled, lock.seconds, lock.seconds_per_sample)

    @property
    def clock_ratio(self) -> float:
        """The host's sample clock over ours."""
        return self._loop.ratio

    def place(self, position: float, seconds: float, steps: int = 0) -> None:
        """The song is at `position`, wherever it was; `steps` snapshots after the one before (0: not known)."""
        elapsed = self._elapsed(steps)
        if elapsed and abs(seconds - self._loop.lock.seconds_at(self._unrolled + elapsed)) < JUMP_SECONDS:
            self._unrolled += elapsed
            self._loop.observe(self._unrolled, seconds)
        else:
            self._unrolled += 1.0
            self._loop.restart(self._unrolled, seconds)
        self.position, self._late_since, self._last_advance = position, None, 0.0

    def advance(
        self, position: float, seconds: float, steps: int, loop: LoopRange | None, relock: bool = False
    ) -> Verdict:
        """The song plays and says that it is at `position`; tell whether that was to be expected.

        Args:
            position: song position in samples at 44.1 kHz.
            seconds: when the message arrived.
            steps: how many snapshots after the one before; 0: not known.
            loop: what the host repeats, if it does.
            relock: whether the host was silent for so long that its word counts more than the prediction.
        """
        expected = self.song_lock.position_at(seconds)
        wraps = self._wraps(position, expected, loop)
        moved = position - self.position + (wraps * loop.length_samples if loop is not None else 0.0)
        late_seconds = (self.position + moved - expected) / SAMPLE_RATE_HZ
        elapsed = self._elapsed(steps)
        in_sequence = elapsed > 0.0 and abs(moved - elapsed) < SAME_BLOCK_SAMPLES
        if moved < 0 or not (abs(late_seconds) <= JUMP_SECONDS or self._only_late(in_sequence, seconds)):
            return "jumped"
        if abs(late_seconds) <= JUMP_SECONDS:
            self._late_since = None
        self._learn_block(moved, steps, wraps)
        self._unrolled += elapsed if in_sequence else moved
        if relock:
            self._loop.restart(self._unrolled, seconds)
        else:
            self._loop.observe(self._unrolled, seconds)
        self.position = position
        return "wrapped" if wraps else "continued"

    def _elapsed(self, steps: int) -> float:
        """Return how far the host's clock went in `steps` snapshots, or 0 where that is not known."""
        return steps * self._block_samples if 0 < steps <= MOST_STEPS else 0.0

    def _learn_block(self, moved: float, steps: int, wraps: int) -> None:
        """Two successive advances of the same length make that the block's."""
        if steps != 1 or wraps:
            return
        if moved > 0 and abs(moved - self._last_advance) < 1e-3:
            self._block_samples = moved
        self._last_advance = moved

    def _wraps(self, position: float, expected: float, loop: LoopRange | None) -> int:
        """Return how often the loop came round, from where the song should be."""
        if loop is None or self.position >= loop.end_sample or loop.length_samples < 1.0:
            return 0
        if not loop.start_sample - SAME_BLOCK_SAMPLES <= position < loop.end_sample + SAME_BLOCK_SAMPLES:
            return 0
        return max(0, round((expected - position) / loop.length_samples))

    def _only_late(self, in_sequence: bool, seconds: float) -> bool:
        """Return whether a message that is far off just came late: it is the next block, and that is not for long."""
        if not in_sequence:
            return False
        if self._late_since is None:
            self._late_since = seconds
        return seconds - self._late_since < STALL_SECONDS
