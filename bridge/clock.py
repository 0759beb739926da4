"""Time as an argument: what waits or measures takes a `Clock`, so that tests of hours take no time and are exact."""

from __future__ import annotations

import threading
import time
from typing import Protocol

_POLL_SECONDS = 0.001  # real time between two looks at an event, for threads that wait on a manual clock


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Return monotonic seconds since some fixed instant."""

    def sleep(self, seconds: float) -> None:
        """Return `seconds` from now; at once where that is not positive."""

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Return True as soon as `event` is set, or whether it is set after `timeout_seconds`."""


class SystemClock:
    """The machine's monotonic clock, of the finest resolution there is."""

    def now(self) -> float:
        """Return `time.perf_counter()`, which is monotonic."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Sleep in this thread; at once back where `seconds` is not positive."""
        if seconds > 0:
            time.sleep(seconds)

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait for `event`; a timeout that is not positive only looks."""
        return event.wait(max(timeout_seconds, 0.0))


class ManualClock:
    """A clock that moves only when it is told to.

    The thread that made it drives it: there, `sleep` and `wait` move the time forward and return at once, so a
    single-threaded test needs nothing else. In any other thread they block until the driving thread has moved the time
    far enough (or, for `wait`, the event is set).
    """

    def __init__(self, start_seconds: float = 0.0) -> None:
        self._now_seconds = float(start_seconds)
        self._driver = threading.get_ident()
        self._moved = threading.Condition()

    def now(self) -> float:
        """Return the time that was set last, in seconds."""
        with self._moved:
            return self._now_seconds

    def advance(self, seconds: float) -> None:
        """Move the time forward by `seconds`.

        Raises:
            ValueError: `seconds` is negative or not a number.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock does not go back: advance({seconds}); give seconds >= 0")
        with self._moved:
            self._now_seconds += seconds
            self._moved.notify_all()

    def advance_to(self, seconds: float) -> None:
        """Move the time forward to `seconds` exactly.

        Raises:
            ValueError: `seconds` is before now or not a number.
        """
        with self._moved:
            if not seconds >= self._now_seconds:
                raise ValueError(
                    f"a clock does not go back: advance_to({seconds}) at {self._now_seconds}; give a later time"
                )
            self._now_seconds = float(seconds)
            self._moved.notify_all()

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds`, or in another thread block until they have passed."""
        if threading.get_ident() == self._driver:
            self.advance(max(seconds, 0.0))
            return
        with self._moved:
            due_seconds = self._now_seconds + seconds
            self._moved.wait_for(lambda: self._now_seconds >= due_seconds)

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Advance by the timeout unless `event` is set, or in another thread block until either has come."""
        if event.is_set():
            return True
        if threading.get_ident() == self._driver:
            self.advance(max(timeout_seconds, 0.0))
            return event.is_set()
        due_seconds = self.now() + timeout_seconds
        while not event.is_set() and self.now() < due_seconds:
            event.wait(_POLL_SECONDS)
        return event.is_set()
