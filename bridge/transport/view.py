"""The transport as one reader sees it for one block: a picture that does not change, from time to place in the song."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bridge.transport.delay_locked_loop import Lock
from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline

TransportState = Literal["playing", "stopped", "unknown"]

SHORTEST_LOOP_SAMPLES = 441.0  # 10 ms; a shorter loop is played as none
MOST_RANGES = 4096
WRAP_SAMPLES = 1e-3  # a sample this near to the loop's end is the loop's first


@dataclass(frozen=True, slots=True)
class LoopRange:
    """What the host repeats.

    Attributes:
        start_sample: first sample, at 44.1 kHz; whole at the host's rate.
        end_sample: the sample at which it starts again, at 44.1 kHz.
        start_beat: start in quarter notes.
        end_beat: end in quarter notes.
    """

    start_sample: float
    end_sample: float
    start_beat: float
    end_beat: float

    @property
    def length_samples(self) -> float:
        """Length in samples at 44.1 kHz."""
        return self.end_sample - self.start_sample


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a block that plays one stretch of the song.

    Attributes:
        song_start: song position of its first sample, in samples at 44.1 kHz.
        song_step: song samples (44.1 kHz) from one sample of the block to the next; 0 while the song stands.
        samples: length, in samples of the block.
    """

    song_start: float
    song_step: float
    samples: int


@dataclass(frozen=True, slots=True)
class HostView:
    """The host's transport at one instant, and what follows from it for the time around.

    Attributes:
        state: `unknown` when no snapshot has come for two seconds after one had.
        moving: whether the song moves: it plays, or it played when the host was lost.
        epoch: one up at each discontinuity that is not an expected loop wrap: start, stop, locate.
        loop: what is repeated, or None.
        timeline: the song's tempo map as far as it was learned.
        timeline_version: one up at each change of `timeline`.
        bpm: tempo now, in quarter notes a minute.
        numerator: of the time signature now.
        denominator: of the time signature now.
        age_seconds: since the newest message of the host; infinite before the first.
        lock: the line from time to song position, loop wraps not applied.
        wrapped: whether the song came to where it is by a loop wrap.
    """

    state: TransportState
    moving: bool
    epoch: int
    loop: LoopRange | None
    timeline: Timeline
    timeline_version: int
    bpm: float
    numerator: int
    denominator: int
    age_seconds: float
    lock: Lock
    wrapped: bool = False

    def position_at(self, seconds: float) -> float:
        """Return the song position at a time of the clock, in samples at 44.1 kHz; constant while not moving."""
        if not self.moving:
            return self.lock.position
        return self._in_loop(self.lock.position_at(seconds))

    def beat_at(self, seconds: float) -> float:
        """Return the song position at a time of the clock in quarter notes."""
        position = self.position_at(seconds)
        whole = math.floor(position)
        return self.timeline.beat_at_sample(whole) + (position - whole) * self.bpm / (60.0 * SAMPLE_RATE_HZ)

    def segments(self, start_seconds: float, samples: int, rate_hz: int = SAMPLE_RATE_HZ) -> tuple[Segment, ...]:
        """Return what a block plays, split at the samples on which the loop starts again.

        Args:
            start_seconds: the clock's time of the block's first sample.
            samples: the block's length.
            rate_hz: the block's sample rate.
        """
        position = self.position_at(start_seconds)
        if not self.moving:
            return (Segment(position, 0.0, samples),) if samples > 0 else ()
        step = 1.0 / (rate_hz * self.lock.seconds_per_sample)
        loop = self._active_loop(position)
        parts: list[Segment] = []
        while samples > 0:
            count = samples
            if loop is not None and len(parts) < MOST_RANGES:
                count = min(samples, max(1, math.ceil((loop.end_sample - position - WRAP_SAMPLES) / step)))
            parts.append(Segment(position, step, count))
            samples -= count
            position += count * step
            if loop is not None and position >= loop.end_sample - WRAP_SAMPLES:
                position = max(position - loop.length_samples, loop.start_sample)
        return tuple(parts)

    def upcoming(self, song_sample: float, samples: int) -> tuple[tuple[float, float], ...]:
        """Return the ranges `(start, end)` of the song that play next from `song_sample`, in the order of playing.

        Args:
            song_sample: where to start, in samples at 44.1 kHz.
            samples: how much to return, in samples; while looping, the loop is unrolled.
        """
        loop = self._active_loop(song_sample)
        ranges: list[tuple[float, float]] = []
        position, left = song_sample, float(samples)
        while left > 0 and len(ranges) < MOST_RANGES:
            end = position + left if loop is None else min(position + left, loop.end_sample)
            ranges.append((position, end))
            left -= end - position
            position = end if loop is None else loop.start_sample
        return tuple(ranges)

    def _active_loop(self, position: float) -> LoopRange | None:
        """Return the loop that will catch a song at `position`, or None."""
        loop = self.loop
        if loop is None or loop.length_samples < SHORTEST_LOOP_SAMPLES or position >= loop.end_sample:
            return None
        return loop

    def _in_loop(self, position: float) -> float:
        """Return the song position that an unrolled `position` is at."""
        loop = self._active_loop(self.lock.position)
        if loop is None:
            return position
        if position >= loop.end_sample - WRAP_SAMPLES:
            over = (position - loop.start_sample) % loop.length_samples
            return loop.start_sample + (0.0 if loop.length_samples - over < WRAP_SAMPLES else over)
        if self.wrapped and position < loop.start_sample - WRAP_SAMPLES:
            return loop.end_sample - (loop.start_sample - position) % loop.length_samples
        return position
