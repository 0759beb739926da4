"""How much one client may send: token buckets, and the pace at which it is told what is wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

MAX_CLIENTS = 256
TELL_EVERY_SECONDS = 1.0

Kind = Literal["command", "stream"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A token bucket's size.

    Attributes:
        rate_hz: messages a second in the long run.
        burst: messages at once.
    """

    rate_hz: float
    burst: float


COMMANDS = Allowance(rate_hz=500.0, burst=1_000.0)
STREAMS = Allowance(rate_hz=6_000.0, burst=6_000.0)
"""Vocal and transport: blocks of 32 samples at 96 kHz make 3,000 of each a second."""


@dataclass(slots=True)
class _Client:
    command_tokens: float
    stream_tokens: float
    filled_seconds: float
    told_seconds: dict[str, float]


class Throttle:
    """Buckets of each client. The one not heard for longest gives way when there are too many."""

    def __init__(
        self, commands: Allowance = COMMANDS, streams: Allowance = STREAMS, max_clients: int = MAX_CLIENTS
    ) -> None:
        self._commands = commands
        self._streams = streams
        self._max_clients = max_clients
        self._clients: OrderedDict[Hashable, _Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def take(self, client: Hashable, kind: Kind, now_seconds: float, tokens: float = 1.0) -> bool:
        """Take tokens for messages of `kind`; False where the client must be throttled."""
        bucket = self._filled(client, now_seconds)
        if kind == "command":
            allowed = bucket.command_tokens >= tokens
            bucket.command_tokens -= tokens if allowed else 0.0
        else:
            allowed = bucket.stream_tokens >= tokens
            bucket.stream_tokens -= tokens if allowed else 0.0
        return allowed

    def may_tell(self, client: Hashable, what: str, now_seconds: float) -> bool:
        """Return whether the client may be told of `what` now: once a second each."""
        told = self._filled(client, now_seconds).told_seconds
        if now_seconds - told.get(what, -TELL_EVERY_SECONDS) < TELL_EVERY_SECONDS:
            return False
        told[what] = now_seconds
        return True

    def forget(self, client: Hashable) -> None:
        """Drop what is kept of a client that has gone."""
        self._clients.pop(client, None)

    def _filled(self, client: Hashable, now_seconds: float) -> _Client:
        bucket = self._clients.get(client)
        if bucket is None:
            if len(self._clients) >= self._max_clients:
                self._clients.popitem(last=False)
            bucket = _Client(self._commands.burst, self._streams.burst, now_seconds, {})
            self._clients[client] = bucket
            return bucket
        passed_seconds = now_seconds - bucket.filled_seconds
        bucket.filled_seconds = now_seconds
        bucket.command_tokens = min(
            self._commands.burst, bucket.command_tokens + passed_seconds * self._commands.rate_hz
        )
        bucket.stream_tokens = min(self._streams.burst, bucket.stream_tokens + passed_seconds * self._streams.rate_hz)
        self._clients.move_to_end(client)
        return bucket
