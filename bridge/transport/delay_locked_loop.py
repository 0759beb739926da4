"""A delay-locked loop: where a stream of samples is in time, from the jittery instants at which its blocks show up.

After Fons Adriaensen, "Using a DLL to filter time" (2005): a second-order loop follows the time of a position and the
duration of a sample. Two things are added for messages that come over a network: the first observations are locked to
by their median, so one late message does not stand for a second, and errors far beyond the usual ones are clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median_low

BANDWIDTH_HZ = 0.05
START_OBSERVATIONS = 15
LARGEST_OMEGA = 0.3
LARGEST_DRIFT = 1e-3  # of the nominal rate; sound cards stay within 2e-4
LEAST_ERROR_LIMIT_SECONDS = 0.001
ERROR_LIMIT = 4.0  # times the usual error
ERROR_SMOOTHING = 0.02


@dataclass(frozen=True, slots=True)
class Lock:
    """A straight line between positions and time.

    Attributes:
        position: a position in samples.
        seconds: the clock's time at it.
        seconds_per_sample: how long a sample lasts by that clock.
    """

    position: float
    seconds: float
    seconds_per_sample: float

    def position_at(self, seconds: float) -> float:
        """Return the position, in samples, at a time of the clock."""
        return self.position + (seconds - self.seconds) / self.seconds_per_sample

    def seconds_at(self, position: float) -> float:
        """Return the time of the clock at a position in samples."""
        return self.seconds + (position - self.position) * self.seconds_per_sample


class DelayLockedLoop:
    """Follows the positions of a stream that runs at about `rate_hz`; positions must rise.

    Args:
        rate_hz: the stream's nominal rate.
        bandwidth_hz: how fast it follows: lower is smoother.
    """

    def __init__(self, rate_hz: float, bandwidth_hz: float = BANDWIDTH_HZ) -> None:
        self._nominal = 1.0 / rate_hz
        self._bandwidth_hz = bandwidth_hz
        self._lock = Lock(0.0, 0.0, self._nominal)
        self._count = 0
        self._start_offsets: list[float] = []
        self._usual_error_seconds = 0.0

    @property
    def lock(self) -> Lock:
        """The line as it stands."""
        return self._lock

    @property
    def locked(self) -> bool:
        """Whether anything has been observed."""
        return self._count > 0

    @property
    def ratio(self) -> float:
        """The stream's rate by this clock over its nominal rate: 1.0001 is 100 ppm fast."""
        return self._nominal / self._lock.seconds_per_sample

    def restart(self, position: float, seconds: float) -> None:
        """Lock at once to `position` at `seconds`; the rate learned so far is kept."""
        self._lock = Lock(position, seconds, self._lock.seconds_per_sample)
        self._count = 1
        self._start_offsets = [0.0]
        self._usual_error_seconds = 0.0

    def observe(self, position: float, seconds: float) -> float:
        """Take in that `position` showed up at `seconds`.

        Returns:
            the error in seconds: positive where it came later than predicted.
        """
        if not self.locked:
            self.restart(position, seconds)
            return 0.0
        before = self._lock
        elapsed_samples = position - before.position
        predicted_seconds = before.seconds_at(position)
        error_seconds = seconds - predicted_seconds
        if elapsed_samples <= 0:
            return error_seconds
        self._count += 1
        if self._count <= START_OBSERVATIONS:
            self._start(position, predicted_seconds, error_seconds)
        else:
            self._follow(position, elapsed_samples, predicted_seconds, error_seconds)
        return error_seconds

    def _start(self, position: float, predicted_seconds: float, error_seconds: float) -> None:
        """Lie on the median of the offsets so far, which are relative to the line as it stands."""
        self._start_offsets.append(error_seconds)
        middle = median_low(self._start_offsets)
        self._lock = Lock(position, predicted_seconds + middle, self._lock.seconds_per_sample)
        self._start_offsets = [offset - middle for offset in self._start_offsets]
        self._usual_error_seconds = sum(map(abs, self._start_offsets)) / len(self._start_offsets)

    def _follow(self, position: float, elapsed_samples: float, predicted_seconds: float, error_seconds: float) -> None:
        """Make one step of the loop; the phase's gain falls from that of an average to the loop's own."""
        limit = max(ERROR_LIMIT * self._usual_error_seconds, LEAST_ERROR_LIMIT_SECONDS)
        seen = min(abs(error_seconds), 2.0 * limit)
        self._usual_error_seconds += ERROR_SMOOTHING * (seen - self._usual_error_seconds)
        error_seconds = max(-limit, min(limit, error_seconds))
        omega = 2.0 * math.pi * self._bandwidth_hz * elapsed_samples * self._nominal
        omega = min(omega, LARGEST_OMEGA)
        phase_gain = max(math.sqrt(2.0) * omega, 1.0 / self._count)
        slower = self._lock.seconds_per_sample + omega * omega * error_seconds / elapsed_samples
        lowest, highest = self._nominal * (1.0 - LARGEST_DRIFT), self._nominal * (1.0 + LARGEST_DRIFT)
        self._lock = Lock(position, predicted_seconds + phase_gain * error_seconds, max(lowest, min(highest, slower)))
