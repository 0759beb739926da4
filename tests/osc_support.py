"""What the tests of the OSC bridge share: a core without sockets, and handlers that remember."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.clock import ManualClock
from bridge.osc.calls import Call, Handler
from bridge.osc.contract import HANDLED
from bridge.osc.core import OscCore
from bridge.osc.counters import Counters, OscStats
from bridge.osc.method import OscValue
from bridge.osc.peers import ClientAddress
from bridge.osc.publisher import Publisher
from bridge.osc.wire import Message, decode, encode

CLIENT = ClientAddress("127.0.0.1", 50_000)
OTHER = ClientAddress("127.0.0.1", 50_001)
UNIX_SECONDS = 1_700_000_000.0  # of the clock's second 0


class Recorder:
    """Handlers for the whole table that note their calls; what one returns or raises can be set by address."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.returns: dict[str, Sequence[OscValue]] = {}
        self.raises: dict[str, Exception] = {}

    def handlers(self) -> dict[str, Handler]:
        return dict.fromkeys(HANDLED, self._handle)

    def _handle(self, call: Call) -> Sequence[OscValue]:
        self.calls.append(call)
        if call.address in self.raises:
            raise self.raises[call.address]
        return self.returns.get(call.address, ())

    @property
    def addresses(self) -> list[str]:
        return [call.address for call in self.calls]


class Desk:
    """An `OscCore` on a manual clock, with what it sent."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.counters = Counters()
        self.sent: list[tuple[ClientAddress, Message]] = []
        self._looks = 0
        self.publisher = Publisher(self.clock, self._to_subscriber, self.counters)
        self.core = OscCore(self.recorder.handlers(), self.publisher, self.counters, self._note, self.unix_seconds)

    def unix_seconds(self) -> float:
        self._looks += 1  # real clocks move on between two looks
        return UNIX_SECONDS + self.clock.now() + self._looks * 1e-6

    def receive(self, datagram: bytes, client: ClientAddress = CLIENT) -> list[Message]:
        """Give the core a datagram and return what it sent."""
        before = len(self.sent)
        self.core.receive(datagram, client, self.clock.now())
        return [message for _, message in self.sent[before:]]

    def command(self, address: str, *values: OscValue, client: ClientAddress = CLIENT) -> list[Message]:
        return self.receive(encode(address, values), client)

    def step(self) -> list[tuple[ClientAddress, Message]]:
        """Let the publisher send and return what it sent."""
        before = len(self.sent)
        self.publisher.step(self.clock.now())
        return self.sent[before:]

    def stats(self) -> OscStats:
        return self.counters.stats(self.publisher.subscribers)

    def _note(self, client: ClientAddress, packet: bytes) -> None:
        self.sent += [(client, message) for message in decode(packet)]

    def _to_subscriber(self, client: ClientAddress, packet: bytes) -> None:
        self._note(self.core.destination(client), packet)
