"""Datagrams in, replies out: peers, throttle, decoding, schedule, dispatch and leases, with no socket and no thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.contract import LEASE_SECONDS, PREFIX, STREAMED
from bridge.osc.counters import Counters
from bridge.osc.dispatch import Dispatcher, error_packet, request_id_of
from bridge.osc.method import OscValue
from bridge.osc.patterns import is_pattern
from bridge.osc.peers import ClientAddress
from bridge.osc.publisher import Publisher
from bridge.osc.schedule import HORIZON_SECONDS, Schedule
from bridge.osc.throttle import Kind, Throttle
from bridge.osc.wire import Message, WireError, decode

MAX_REPLY_PORTS = 256
CLOCK_STEP_SECONDS = 0.002  # how far wall clock and monotonic clock may part before timetags are read anew
PATTERN_TOKENS = 16.0  # what a message to an address pattern costs of its client's allowance

_OURS = f"{PREFIX}/".encode()
_STREAMED_STARTS = tuple(f"{address}\0".encode() for address in sorted(STREAMED) if address.startswith(PREFIX))
_THROTTLED_TEXT = "you send faster than is taken; some of it was dropped; send less, or in bundles, or over TCP"

Send = Callable[[ClientAddress, bytes], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: Message
    client: ClientAddress


class OscCore:
    """All that happens to a datagram. Only one thread at a time calls it.

    Args:
        handlers: one for each address of `contract.HANDLED`.
        publisher: current values and leases.
        counters: what is counted.
        send: sends an encoded message to an address; must not wait.
        unix_seconds: wall clock, for the timetags of bundles.

    Raises:
        ValueError: the handlers do not cover the table.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        publisher: Publisher,
        counters: Counters,
        send: Send,
        unix_seconds: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._counters = counters
        self._send = send
        self._unix_seconds = unix_seconds
        self._throttle = Throttle()
        self._schedule: Schedule[_Waiting] = Schedule()
        self._reply_ports: OrderedDict[ClientAddress, int] = OrderedDict()
        self._offset_seconds: float | None = None
        self._after_reply: list[bytes] = []
        self.dispatcher = Dispatcher(handlers, self._built_in())

    def destination(self, client: ClientAddress) -> ClientAddress:
        """Return where messages for `client` go."""
        port = self._reply_ports.get(client)
        return client if port is None else replace(client, port=port)

    def receive(self, datagram: bytes, client: ClientAddress, now_seconds: float) -> None:
        """Take a datagram (or a packet of a stream) that came at `now_seconds`; never raises."""
        self._counters.received += 1
        is_ours = datagram.startswith(_OURS) and not datagram.startswith(_STREAMED_STARTS)
        if not self._take(client, "command" if is_ours else "stream", now_seconds):
            return
        try:
            messages = decode(datagram)
        except WireError as error:
            setattr(self._counters, error.reason, getattr(self._counters, error.reason) + 1)
            self._tell(client, error.reason, str(error), now_seconds)
            return
        is_bundle = not datagram.startswith(b"/")
        for message in messages:
            kind, tokens = _price(message.address, is_bundle)
            if tokens and not self._take(client, kind, now_seconds, tokens):
                continue
            self._place(message, client, now_seconds)

    def run_due(self, now_seconds: float) -> None:
        """Carry out the messages whose timetag has come."""
        while (waiting := self._schedule.pop_due(now_seconds)) is not None:
            self._carry_out(waiting.message, waiting.client, now_seconds)

    def next_due_seconds(self) -> float | None:
        """Return when `run_due` has something to do, None for never."""
        return self._schedule.next_due_seconds()

    def forget(self, client: ClientAddress) -> None:
        """Drop all that is kept of a client that has gone."""
        self._publisher.forget(client)
        self._throttle.forget(client)
        self._reply_ports.pop(client, None)

    def _take(self, client: ClientAddress, kind: Kind, now_seconds: float, tokens: float = 1.0) -> bool:
        if self._throttle.take(client, kind, now_seconds, tokens):
            return True
        self._counters.throttled += 1
        self._tell(client, "throttled", _THROTTLED_TEXT, now_seconds)
        return False

    def _place(self, message: Message, client: ClientAddress, now_seconds: float) -> None:
        if message.due_unix_seconds is None:
            self._carry_out(message, client, now_seconds)
            return
        due_seconds = message.due_unix_seconds + self._clock_offset_seconds(now_seconds)
        placed = self._schedule.place(_Waiting(message, client), due_seconds, now_seconds)
        if placed in ("now", "late"):
            self._counters.late_bundles += placed == "late"
            self._carry_out(message, client, now_seconds)
        elif placed != "queued":
            self._counters.queue_dropped += 1
            text = (
                f"due in {due_seconds - now_seconds:.1f} s; at most {HORIZON_SECONDS:g} s ahead is taken"
                if placed == "too_far_ahead"
                else "too many messages wait for their time; send them later"
            )
            self._reply(client, error_packet(message.address, request_id_of(message), placed, text))

    def _clock_offset_seconds(self, now_seconds: float) -> float:
        """Return the clock's time less Unix time: the same for all until the two really part, so that order stays."""
        offset_seconds = now_seconds - self._unix_seconds()
        if self._offset_seconds is None or abs(offset_seconds - self._offset_seconds) > CLOCK_STEP_SECONDS:
            self._offset_seconds = offset_seconds
        return self._offset_seconds

    def _carry_out(self, message: Message, client: ClientAddress, now_seconds: float) -> None:
        outcome = self.dispatcher.handle(message, client, now_seconds)
        self._counters.handled += outcome.handled
        self._counters.errors += outcome.errors
        for packet in outcome.replies:
            self._reply(client, packet)
        if self._after_reply:
            for packet in self._after_reply:
                self._reply(client, packet)
            self._after_reply.clear()
        if outcome.is_foreign:
            self._counters.foreign += 1
            text = f"{message.address} is none of Backline's addresses, which start with {PREFIX}; it is ignored"
            if self._throttle.may_tell(client, "unknown_address", now_seconds):
                self._reply(client, error_packet(message.address, request_id_of(message), "unknown_address", text))

    def _tell(self, client: ClientAddress, code: str, text: str, now_seconds: float) -> None:
        """Tell the client what was dropped: once a second, so that a flood does not become two."""
        if self._throttle.may_tell(client, code, now_seconds):
            self._reply(client, error_packet("", None, code, text))

    def _reply(self, client: ClientAddress, packet: bytes) -> None:
        self._send(self.destination(client), packet)

    def _built_in(self) -> dict[str, Handler]:
        return {
            f"{PREFIX}/ping": lambda _: (),
            f"{PREFIX}/sync": lambda call: (call.arguments["id"],),
            f"{PREFIX}/refresh": self._refresh,
            f"{PREFIX}/subscribe": self._subscribe,
            f"{PREFIX}/unsubscribe": self._unsubscribe,
            f"{PREFIX}/client/reply_port": self._set_reply_port,
        }

    def _refresh(self, _: Call) -> Sequence[OscValue]:
        self._after_reply += self._publisher.refresh()
        return ()

    def _subscribe(self, call: Call) -> Sequence[OscValue]:
        pattern, max_hz = cast("str", call.arguments["pattern"]), cast("float", call.arguments["max_hz"])
        try:
            self._after_reply += self._publisher.subscribe(call.client, pattern, max_hz, call.arrived_seconds)
        except ValueError as error:
            raise CommandError("no_lease", str(error)) from error
        return (LEASE_SECONDS,)

    def _unsubscribe(self, call: Call) -> Sequence[OscValue]:
        pattern = cast("str", call.arguments["pattern"])
        if not self._publisher.unsubscribe(call.client, pattern):
            raise CommandError("no_lease", f"you hold no lease of {pattern!r}; it has ended or was never given")
        return ()

    def _set_reply_port(self, call: Call) -> Sequence[OscValue]:
        port = cast("int", call.arguments["port"])
        if call.client.transport == "tcp":
            raise CommandError("not_over_tcp", "replies to a TCP client go through its connection")
        self._reply_ports.pop(call.client, None)
        if port:
            if len(self._reply_ports) >= MAX_REPLY_PORTS:
                self._reply_ports.popitem(last=False)
            self._reply_ports[call.client] = port
        return ()


def _price(address: str, is_bundle: bool) -> tuple[Kind, float]:
    """Return what a message costs beyond its datagram: a pattern reaches many, and a bundle holds many."""
    if is_pattern(address):
        return "command", PATTERN_TOKENS
    is_command = address.startswith(f"{PREFIX}/") and address not in STREAMED
    return ("command" if is_command else "stream"), (1.0 if is_bundle else 0.0)
