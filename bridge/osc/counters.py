"""What the service counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OscStats:
    """Counts since the service was made.

    Attributes:
        received: datagrams and stream packets that came in from peers that may talk.
        handled: commands carried out.
        errors: commands refused with `/backline/error`.
        malformed: datagrams that are no OSC, or stream packets with a wrong escape.
        oversized: datagrams that break a bound, or stream packets whose length does.
        throttled: datagrams or messages dropped because their client sent too many.
        refused_peers: datagrams and connections from peers that may not talk, or for which there was no room.
        queue_dropped: bundles too far ahead or too many, and events that found the queue full.
        late_bundles: messages whose timetag was past; they were carried out at once.
        subscribers: clients that hold a lease now.
        foreign: messages to addresses outside the contract's, such as a stock configuration sends; ignored.
        lost_in_system: datagrams that the operating system dropped because they came faster than they were read
            (Linux tells, others do not).
        send_failed: messages that the system did not take or whose client did not read.
        abandoned: connections closed because their peer stopped halfway through a packet or did not read.
    """

    received: int
    handled: int
    errors: int
    malformed: int
    oversized: int
    throttled: int
    refused_peers: int
    queue_dropped: int
    late_bundles: int
    subscribers: int
    foreign: int = 0
    lost_in_system: int = 0
    send_failed: int = 0
    abandoned: int = 0


@dataclass(slots=True)
class Counters:
    """The same while they are counted; each is written by one thread, or may miss one in a race of two."""

    received: int = 0
    handled: int = 0
    errors: int = 0
    malformed: int = 0
    oversized: int = 0
    throttled: int = 0
    refused_peers: int = 0
    queue_dropped: int = 0
    late_bundles: int = 0
    foreign: int = 0
    lost_in_system: int = 0
    send_failed: int = 0
    abandoned: int = 0

    def stats(self, subscribers: int) -> OscStats:
        """Return them as they stand."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return OscStats(subscribers=subscribers, **counts)
