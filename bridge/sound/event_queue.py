"""What changed, kept for whoever asks: bounded, oldest first, what had to go is told."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from bridge.sound.output import SoundEvent

MOST_EVENTS: Final = 64


class EventQueue:
    """At most `MOST_EVENTS` events; thread-safe."""

    def __init__(self) -> None:
        self._events: deque[SoundEvent] = deque()
        self._lock = threading.Lock()
        self._dropped = 0

    def put(self, event: SoundEvent) -> None:
        """Keep `event`; where there is no room, the oldest goes and is counted."""
        with self._lock:
            if len(self._events) == MOST_EVENTS:
                self._events.popleft()
                self._dropped += 1
            self._events.append(event)

    def drain(self) -> tuple[SoundEvent, ...]:
        """Return what came since the last call; if some was dropped, that is its first entry."""
        with self._lock:
            events, dropped = list(self._events), self._dropped
            self._events.clear()
            self._dropped = 0
        if dropped:
            first = events[0]
            events.insert(0, SoundEvent(first.seconds, first.state, f"{dropped} earlier changes were not kept"))
        return tuple(events)
