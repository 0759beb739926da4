"""A sound card's bookkeeping without the card: samples are taken at their rate by the clock, and by nothing else.

Every time is computed from one origin and a whole number of samples, so nothing adds up however long it runs.
"""

from __future__ import annotations

import math

_ROUNDING_SAMPLES = 1e-4  # what the clock's floats may be off, far less than a sample


class Pacer:
    """Takes samples from an imagined ring, exactly at `rate_hz`; not thread-safe.

    Position `p` is heard at `origin_seconds + p / rate_hz`, and is taken from the ring `latency_seconds` before that.

    Args:
        origin_seconds: the clock's time at which position 0 is heard.
        rate_hz: samples a second.
        wanted_samples: how full the ring should be.
        latency_seconds: between the ring and the ear.
        write_position: where the next sample goes, for a pacer that takes over from a card; None before any write.
    """

    def __init__(
        self,
        origin_seconds: float,
        rate_hz: int,
        wanted_samples: int,
        latency_seconds: float = 0.0,
        write_position: int | None = None,
    ) -> None:
        self._origin_seconds = origin_seconds
        self._rate_hz = rate_hz
        self._wanted_samples = wanted_samples
        self._latency_seconds = latency_seconds
        self._write_position = write_position
        self.underruns = 0
        self.silent_samples = 0
        self._dry = False

    def write(self, samples: int, now_seconds: float) -> None:
        """Take `samples` more into the ring."""
        if self._write_position is None:
            self._origin_seconds += self._next_index(now_seconds) / self._rate_hz
            self._write_position = 0
        self._notice_dry(now_seconds)
        if self._dry:
            start = self._next_index(now_seconds)
            self.silent_samples += start - self._write_position
            self._write_position = start
            self._dry = False
        self._write_position += samples

    def fill_samples(self, now_seconds: float) -> int:
        """Return what waits in the ring."""
        if self._write_position is None:
            return 0
        self._notice_dry(now_seconds)
        return max(0, self._write_position - self._taken(now_seconds))

    def writable_samples(self, now_seconds: float) -> int:
        """Return what is missing to the wanted fill."""
        return max(0, self._wanted_samples - self.fill_samples(now_seconds))

    def next_position(self, now_seconds: float) -> int:
        """Return the position of the first sample of the next write."""
        if self._write_position is None:
            return 0
        return max(self._write_position, self._next_index(now_seconds))

    def next_sample_seconds(self, now_seconds: float) -> float:
        """Return when the first sample of the next write is heard."""
        if self._write_position is None:
            return self._origin_seconds + self._next_index(now_seconds) / self._rate_hz
        return self._origin_seconds + self.next_position(now_seconds) / self._rate_hz

    def heard_position(self, now_seconds: float) -> int:
        """Return up to which position the ring was taken; never more than was written."""
        if self._write_position is None:
            return 0
        return max(0, min(self._write_position, self._taken(now_seconds)))

    def _elapsed(self, now_seconds: float) -> float:
        return (now_seconds + self._latency_seconds - self._origin_seconds) * self._rate_hz

    def _taken(self, now_seconds: float) -> int:
        return math.floor(self._elapsed(now_seconds) + _ROUNDING_SAMPLES)

    def _next_index(self, now_seconds: float) -> int:
        return math.ceil(self._elapsed(now_seconds) - _ROUNDING_SAMPLES)

    def _notice_dry(self, now_seconds: float) -> None:
        """Count an underrun once, as soon as a sample was needed that was not there."""
        if not self._dry and self._write_position is not None and self._taken(now_seconds) > self._write_position:
            self._dry = True
            self.underruns += 1
