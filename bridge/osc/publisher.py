"""Current values, and their way to the subscribers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.clock import Clock
from bridge.osc.contract import BY_ADDRESS, PREFIX
from bridge.osc.counters import Counters
from bridge.osc.leases import Leases
from bridge.osc.method import OscValue
from bridge.osc.peers import ClientAddress
from bridge.osc.wire import encode

MAX_EVENTS = 1_024
_IDLE_SECONDS = 1.0

_REPLIES = (BY_ADDRESS[f"{PREFIX}/done"], BY_ADDRESS[f"{PREFIX}/error"])

Send = Callable[[ClientAddress, bytes], None]


@dataclass(frozen=True, slots=True)
class _Published:
    values: tuple[OscValue, ...]
    packet: bytes


class Publisher:
    """Takes values from any thread, and sends them from one of its own (or from a test that calls `step`).

    Args:
        clock: where time comes from.
        send: sends an encoded message to a client; must not wait.
        counters: where a full queue is counted.
    """

    def __init__(self, clock: Clock, send: Send, counters: Counters) -> None:
        self._clock = clock
        self._send = send
        self._counters = counters
        self._lock = threading.Lock()  # guards all below; held for look-ups only, never while sending
        self._leases = Leases()
        self._current: dict[str, _Published] = {}
        self._changed: dict[str, None] = {}
        self._events: deque[tuple[str, bytes]] = deque()
        self._woken = threading.Event()

    def publish(self, address: str, values: Sequence[OscValue]) -> None:
        """Make `values` the current ones of `address`.

        Raises:
            ValueError: the address has no value in the contract, or the values are not of its types.
        """
        published = _published(address, values)
        with self._lock:
            self._current[address] = published
            self._changed[address] = None
        self._woken.set()

    def send_event(self, address: str, values: Sequence[OscValue]) -> None:
        """Send `values` to every subscriber of `address`, not thinned; dropped and counted where too many wait.

        Raises:
            ValueError: the address has no value in the contract, or the values are not of its types.
        """
        published = _published(address, values)
        with self._lock:
            if len(self._events) >= MAX_EVENTS:
                self._counters.queue_dropped += 1
                return
            self._events.append((address, published.packet))
        self._woken.set()

    def current(self) -> dict[str, tuple[OscValue, ...]]:
        """Return the current values by address."""
        with self._lock:
            return {address: published.values for address, published in self._current.items()}

    @property
    def subscribers(self) -> int:
        """How many clients hold a lease."""
        return self._leases.subscribers

    def subscribe(self, client: ClientAddress, pattern: str, max_hz: float, now_seconds: float) -> list[bytes]:
        """Begin or renew a lease; return the current values that it covers, encoded.

        Raises:
            ValueError: the pattern is not well formed, matches nothing that has a value, or there are too many leases.
        """
        with self._lock:
            checked = self._leases.subscribe(client, pattern, max_hz, now_seconds)
            if not any(method.has_value and checked.matches(a) for a, method in BY_ADDRESS.items()):
                self._leases.unsubscribe(client, pattern)
                raise ValueError(f"pattern {pattern!r} matches no address that has a value; such as /backline/meter/*")
            return [published.packet for address, published in self._current.items() if checked.matches(address)]

    def refresh(self) -> list[bytes]:
        """Return all current values, encoded."""
        with self._lock:
            return [published.packet for published in self._current.values()]

    def unsubscribe(self, client: ClientAddress, pattern: str) -> bool:
        """End a lease; False where there was none."""
        with self._lock:
            return self._leases.unsubscribe(client, pattern)

    def forget(self, client: ClientAddress) -> None:
        """End all leases of a client that has gone."""
        with self._lock:
            self._leases.forget(client)

    def step(self, now_seconds: float) -> float:
        """Send what is due at `now_seconds`; return how many seconds until something may be again."""
        outgoing: list[tuple[bytes, list[ClientAddress]]] = []
        with self._lock:
            self._leases.expire(now_seconds)
            while self._events:
                address, packet = self._events.popleft()
                outgoing.append((packet, self._leases.offer(address, now_seconds, thinned=False)))
            outgoing += [(self._current[a].packet, self._leases.offer(a, now_seconds)) for a in self._changed]
            self._changed.clear()
            for address, client in self._leases.take_due(now_seconds):
                outgoing.append((self._current[address].packet, [client]))
            due_seconds = self._leases.next_due_seconds()
        for packet, takers in outgoing:
            for client in takers:
                self._send(client, packet)
        return _IDLE_SECONDS if due_seconds is None else min(_IDLE_SECONDS, max(0.0, due_seconds - now_seconds))

    def run(self, stopping: threading.Event) -> None:
        """Send until `stopping` is set and `wake` was called; the body of the sending thread."""
        wait_seconds = 0.0
        while not stopping.is_set():
            self._clock.wait(self._woken, wait_seconds)
            self._woken.clear()
            wait_seconds = self.step(self._clock.now())

    def wake(self) -> None:
        """Let `run` look at what there is."""
        self._woken.set()


def _published(address: str, values: Sequence[OscValue]) -> _Published:
    method = BY_ADDRESS.get(address)
    if method is None or not method.has_value or method in _REPLIES:
        raise ValueError(f"{address} has no value in the contract; see bridge/osc/contract.py")
    most = len(method.arguments)
    least = most if method.direction == "out" else 1
    if not least <= len(values) <= most:
        raise ValueError(f"{address} has {len(values)} values; give {least} to {most}: {method.type_tags}")
    return _Published(tuple(values), encode(address, values, method.type_tags))
