"""What happened to the transport, in words, and what was counted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

TransportEventKind = Literal[
    "started",
    "stopped",
    "located",
    "looped",
    "tempo_changed",
    "tempo_ramp",
    "signature_changed",
    "loop_changed",
    "lost",
    "found",
]
MOST_EVENTS = 256


@dataclass(frozen=True, slots=True)
class TransportEvent:
    """Something that happened to the transport.

    Attributes:
        kind: what.
        beat: where in the song, in quarter notes.
        words: the same for people.
        at_seconds: the clock's time when it was noticed.
    """

    kind: TransportEventKind
    beat: float
    words: str
    at_seconds: float


@dataclass(frozen=True, slots=True)
class TransportStats:
    """What was counted since the start.

    Attributes:
        snapshots: taken in.
        old: ignored because of their sequence number: late or twice.
        restarts: senders that began to count anew.
        discontinuities: changes of the epoch.
        wraps: expected loop wraps.
        ignored_parts: partial commands that came while snapshots tell everything.
        dropped_events: events that nobody fetched in time.
        timelines: how often the timeline was built.
    """

    snapshots: int
    old: int
    restarts: int
    discontinuities: int
    wraps: int
    ignored_parts: int
    dropped_events: int
    timelines: int


class EventQueue:
    """The newest `MOST_EVENTS` events until they are fetched."""

    def __init__(self) -> None:
        self._events: deque[TransportEvent] = deque(maxlen=MOST_EVENTS)
        self.dropped = 0

    def put(self, kind: TransportEventKind, beat: float, words: str, at_seconds: float) -> None:
        """Add an event; the oldest goes and is counted where there are too many."""
        self.dropped += len(self._events) == MOST_EVENTS
        self._events.append(TransportEvent(kind, beat, words, at_seconds))

    def drain(self) -> tuple[TransportEvent, ...]:
        """Return what happened since the last call, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events
