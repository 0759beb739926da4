"""Who gets what is published, how often, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.osc.contract import LEASE_SECONDS
from bridge.osc.patterns import AddressPattern
from bridge.osc.peers import ClientAddress

MAX_CLIENTS = 64
MAX_LEASES_A_CLIENT = 32


@dataclass(slots=True)
class _Lease:
    pattern: AddressPattern
    max_hz: float
    ends_seconds: float


@dataclass(slots=True)
class _Subscriber:
    leases: dict[str, _Lease] = field(default_factory=dict)
    sent_seconds: dict[str, float] = field(default_factory=dict)  # by address: when the last value went out
    due_seconds: dict[str, float] = field(default_factory=dict)  # by address: when a value held back may follow
    rates_hz: dict[str, float] = field(default_factory=dict)  # by address: what the leases allow, 0 for nothing

    def rate_hz(self, address: str) -> float:
        rate_hz = self.rates_hz.get(address)
        if rate_hz is None:
            rate_hz = max(
                (lease.max_hz for lease in self.leases.values() if lease.pattern.matches(address)), default=0.0
            )
            self.rates_hz[address] = rate_hz
        return rate_hz


class Leases:
    """The subscriptions. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._subscribers: dict[ClientAddress, _Subscriber] = {}

    @property
    def subscribers(self) -> int:
        """How many clients hold a lease."""
        return len(self._subscribers)

    def subscribe(self, client: ClientAddress, pattern: str, max_hz: float, now_seconds: float) -> AddressPattern:
        """Begin or renew a lease and return its pattern.

        Raises:
            ValueError: the pattern is not well formed, or there are too many leases.
        """
        subscriber = self._subscribers.get(client)
        lease = subscriber.leases.get(pattern) if subscriber else None
        checked = lease.pattern if lease else AddressPattern(pattern)
        if subscriber is None:
            if len(self._subscribers) >= MAX_CLIENTS:
                raise ValueError(f"{MAX_CLIENTS} clients hold leases already; wait for one to end (30 s)")
            subscriber = self._subscribers[client] = _Subscriber()
        if lease is None and len(subscriber.leases) >= MAX_LEASES_A_CLIENT:
            raise ValueError(f"you hold {MAX_LEASES_A_CLIENT} leases already; unsubscribe from one or use wildcards")
        subscriber.leases[pattern] = _Lease(checked, max_hz, now_seconds + LEASE_SECONDS)
        subscriber.rates_hz.clear()
        return checked

    def unsubscribe(self, client: ClientAddress, pattern: str) -> bool:
        """End a lease; False where there was none."""
        subscriber = self._subscribers.get(client)
        if subscriber is None or subscriber.leases.pop(pattern, None) is None:
            return False
        self._tidy(client, subscriber)
        return True

    def forget(self, client: ClientAddress) -> None:
        """End all leases of a client that has gone."""
        self._subscribers.pop(client, None)

    def expire(self, now_seconds: float) -> None:
        """End the leases whose time is over."""
        for client, subscriber in list(self._subscribers.items()):
            over = [text for text, lease in subscriber.leases.items() if lease.ends_seconds <= now_seconds]
            for text in over:
                del subscriber.leases[text]
            if over:
                self._tidy(client, subscriber)

    def offer(self, address: str, now_seconds: float, thinned: bool = True) -> list[ClientAddress]:
        """Return who gets a new value of `address` now; for the others it stays due.

        Args:
            address: where it was published.
            now_seconds: clock time.
            thinned: False for what every subscriber must get, at once.
        """
        takers: list[ClientAddress] = []
        for client, subscriber in self._subscribers.items():
            rate_hz = subscriber.rate_hz(address)
            if not rate_hz:
                continue
            if not thinned:
                takers.append(client)
                continue
            next_seconds = subscriber.sent_seconds.get(address, -1e9) + 1.0 / rate_hz
            if next_seconds <= now_seconds:
                subscriber.sent_seconds[address] = now_seconds
                subscriber.due_seconds.pop(address, None)
                takers.append(client)
            else:
                subscriber.due_seconds[address] = next_seconds
        return takers

    def take_due(self, now_seconds: float) -> list[tuple[str, ClientAddress]]:
        """Return the addresses, with their takers, whose newest value was held back and may go now."""
        due: list[tuple[str, ClientAddress]] = []
        for client, subscriber in self._subscribers.items():
            for address in [a for a, seconds in subscriber.due_seconds.items() if seconds <= now_seconds]:
                del subscriber.due_seconds[address]
                subscriber.sent_seconds[address] = now_seconds
                due.append((address, client))
        return due

    def next_due_seconds(self) -> float | None:
        """Return when the next value that was held back may go, None where there is none."""
        return min(
            (s for subscriber in self._subscribers.values() for s in subscriber.due_seconds.values()), default=None
        )

    def _tidy(self, client: ClientAddress, subscriber: _Subscriber) -> None:
        subscriber.rates_hz.clear()
        if not subscriber.leases:
            del self._subscribers[client]
            return
        for address in [a for a in subscriber.sent_seconds if not subscriber.rate_hz(a)]:
            del subscriber.sent_seconds[address]
            subscriber.due_seconds.pop(address, None)
