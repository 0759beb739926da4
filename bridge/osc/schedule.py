"""The queue of messages whose bundles want them later; bounded in time and number."""

from __future__ import annotations

import heapq
from typing import Generic, Literal, TypeVar

HORIZON_SECONDS = 10.0
CAPACITY = 1_024
LATE_SECONDS = 0.001  # what a hop over loopback takes is not late

Item = TypeVar("Item")
Placed = Literal["now", "late", "queued", "too_far_ahead", "queue_full"]


class Schedule(Generic[Item]):
    """Items in the order of their due times; of those due together, the first put in comes first."""

    def __init__(self, horizon_seconds: float = HORIZON_SECONDS, capacity: int = CAPACITY) -> None:
        self._horizon_seconds = horizon_seconds
        self._capacity = capacity
        self._queue: list[tuple[float, int, Item]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._queue)

    def place(self, item: Item, due_seconds: float, now_seconds: float) -> Placed:
        """Queue `item`, or say what the caller must do with it: run it (`now`, `late`) or refuse it."""
        if due_seconds <= now_seconds:
            return "late" if now_seconds - due_seconds > LATE_SECONDS else "now"
        if due_seconds - now_seconds > self._horizon_seconds:
            return "too_far_ahead"
        if len(self._queue) >= self._capacity:
            return "queue_full"
        self._count += 1
        heapq.heappush(self._queue, (due_seconds, self._count, item))
        return "queued"

    def next_due_seconds(self) -> float | None:
        """Return when the next item is due, None where there is none."""
        return self._queue[0][0] if self._queue else None

    def pop_due(self, now_seconds: float) -> Item | None:
        """Take out the next item that is due, None where there is none."""
        if self._queue and self._queue[0][0] <= now_seconds:
            return heapq.heappop(self._queue)[2]
        return None
