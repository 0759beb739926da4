"""Which sample of a card is heard (or was captured) when: a straight line through its time stamps.

The stamps come from the driver, regular and good to a fraction of a millisecond, but some are far off, sound servers
interpolate them in slanted pieces of a few seconds, and the line jumps where a driver changes the size of its buffer.
So the slope is a least-squares fit over up to a minute, drawn to the claimed rate while there is little to go by, and
the offset is the median of the newest two seconds. (A delay-locked loop, right for the jittery arrivals of messages,
followed the slanted pieces and was off by up to 3 ms here.)
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from bridge.sound.card import Stamp

STAMPS_EVERY_SECONDS: Final = 0.1
STRAY_SECONDS: Final = 0.002
STRAYS_TO_RESTART: Final = 6  # as many in a row are no accident: the driver's buffer has changed
LARGEST_RATIO_OFFSET: Final = 1e-3  # sound cards stay within 2e-4
_KEPT_STAMPS: Final = 600
_NEWEST_STAMPS: Final = 20
_TRUST_SECONDS: Final = 5.0  # where stamps spread this far about their mean, half of the slope they show is believed


class CardClock:
    """Relates a card's samples to the clock's seconds; not thread-safe.

    Args:
        rate_hz: the rate that the card claims.
    """

    def __init__(self, rate_hz: int) -> None:
        self._nominal_seconds = 1.0 / rate_hz
        self._kept: deque[Stamp] = deque(maxlen=_KEPT_STAMPS)
        self._strays: list[Stamp] = []
        self._sample, self._seconds, self._period_seconds = 0.0, 0.0, self._nominal_seconds
        self._jumped = False
        self.stamps = 0
        self.restarts = 0

    @property
    def next_probe_seconds(self) -> float:
        """How long to wait for the next stamp: not at all while the line is new or in doubt."""
        return 0.0 if self._strays or len(self._kept) < _NEWEST_STAMPS // 2 else STAMPS_EVERY_SECONDS

    @property
    def ratio(self) -> float:
        """The card's rate by this clock over the one it claims; near 1 until half a minute of stamps has come."""
        return self._nominal_seconds / self._period_seconds

    def observe(self, stamp: Stamp) -> None:
        """Take a stamp in; one that is far off the line is left out, several in a row begin a new line."""
        self.stamps += 1
        if self._jumped:
            self._jumped = False
            self._kept.clear()
            self.restarts += 1
        if self._kept and abs(self.seconds_at(stamp.sample) - stamp.seconds) > STRAY_SECONDS:
            self._strays.append(stamp)
            if len(self._strays) < STRAYS_TO_RESTART:
                return
            self._kept.clear()
            self._kept.extend(self._strays)
            self.restarts += 1
        else:
            self._kept.append(stamp)
        self._strays.clear()
        self._fit()

    def jumped(self) -> None:
        """Begin a new line with the next stamp: the driver has said that it lost time."""
        self._jumped = True

    def seconds_at(self, sample: float) -> float:
        """Return the clock's time of the card's `sample`."""
        return self._seconds + (sample - self._sample) * self._period_seconds

    def _fit(self) -> None:
        newest = self._kept[-1].sample
        across = np.array([stamp.sample - newest for stamp in self._kept], np.float64) * self._nominal_seconds
        # How late each stamp is by the claimed rate: the slope of this is the card's own.
        late = np.array([stamp.seconds for stamp in self._kept], np.float64) - across
        centred = across - across.mean()
        trust = _TRUST_SECONDS**2 * across.size
        slope = float(centred @ (late - late.mean()) / (centred @ centred + trust))
        slope = min(max(slope, -LARGEST_RATIO_OFFSET), LARGEST_RATIO_OFFSET)
        self._sample = newest
        self._seconds = float(np.median((late - slope * across)[-_NEWEST_STAMPS:]))
        self._period_seconds = self._nominal_seconds * (1.0 + slope)
