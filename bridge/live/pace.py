"""How long generation takes, as measured, and so when it has to begin."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

GUARD_SECONDS = 0.05
MAX_GUARD_SECONDS = 0.25
GUARD_DECAY = 0.99977  # a chunk: half of it is left after three thousand, as of what keeps a chunk up two more are late
REMEMBERED = 400
RECENT = 9
KNOWN = 60
FIRST_FACTOR = 2.0
SLOWER_YET = 1.1


@dataclass(slots=True)
class Pace:
    """The last generations' times.

    Attributes:
        first_guess_seconds: 95th percentile as measured before playing.
        on_time: chunks that were there when they were needed.
        late: chunks that were not.
        abandoned: chunks given up for a newer wish.
        stride_seconds: how far at once the player goes on; what it takes sooner has to be there sooner.
    """

    first_guess_seconds: float
    on_time: int = 0
    late: int = 0
    abandoned: int = 0
    stride_seconds: float = 0.0
    _guard_seconds: float = GUARD_SECONDS
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _lead_seconds: float | None = None
    _recent_seconds: float | None = None

    def took(self, seconds: float) -> None:
        """Take note of how long before its entry a chunk had to be begun for each piece to be there in time."""
        self._seconds.append(seconds)
        self._lead_seconds = self._recent_seconds = None

    def delivered(self, in_time: bool, begun_in_time: bool = True) -> None:
        """Take note of a delivery; one late though begun in time makes later ones begin earlier.

        One that was begun late, as after one that took long, would not have been saved by a larger guard.
        """
        self._lead_seconds = None
        if in_time:
            self.on_time += 1
            self._guard_seconds = max(GUARD_SECONDS, self._guard_seconds * GUARD_DECAY)
        else:
            self.late += 1
            if begun_in_time:
                self._guard_seconds = min(MAX_GUARD_SECONDS, self._guard_seconds * 2.0)

    def percentile(self, share: float) -> float:
        """Return the time within which `share` (0 to 1) of the last generations were done."""
        if len(self._seconds) < 2:
            return self.first_guess_seconds
        return float(np.quantile(self._seconds, share, method="lower"))

    @property
    def recent_seconds(self) -> float:
        """The usual time of the last few generations, the third quartile."""
        if self._recent_seconds is None:
            last = [*self._seconds][-RECENT:]
            self._recent_seconds = float(np.quantile(last, 0.75)) if last else self.first_guess_seconds
        return self._recent_seconds

    @property
    def lead_seconds(self) -> float:
        """How long before it is needed a chunk is begun: a bit above the slowest of late, at most twice the usual."""
        if self._lead_seconds is None:
            self._lead_seconds = self._lead()
        return self._lead_seconds + self._stride_beyond_guard_seconds

    @property
    def soonest_seconds(self) -> float:
        """How long from now a chunk can be heard that nothing was made for."""
        return self.percentile(0.95) + self._stride_beyond_guard_seconds

    @property
    def _stride_beyond_guard_seconds(self) -> float:
        return max(self.stride_seconds - GUARD_SECONDS, 0.0)

    def _lead(self) -> float:
        usual = self.percentile(0.95)
        slowest = self.percentile(1.0)
        if len(self._seconds) < KNOWN:  # measured without a DAW beside it: it takes longer in earnest
            slowest = max(slowest, FIRST_FACTOR * self.first_guess_seconds)
        return min(SLOWER_YET * max(slowest, usual), 2.0 * usual) + self._guard_seconds
