"""The OSC service: sockets and threads around `OscCore` and `Publisher`."""

from __future__ import annotations

import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from bridge import precedence
from bridge.clock import Clock
from bridge.osc.calls import Call, CommandError, Handler
from bridge.osc.contract import DEFAULT_PORT
from bridge.osc.core import OscCore
from bridge.osc.counters import Counters, OscStats
from bridge.osc.method import OscValue
from bridge.osc.oscquery import OscQueryServer
from bridge.osc.peers import ClientAddress, PeerPolicy
from bridge.osc.publisher import Publisher
from bridge.osc.tcp import Connection, TcpServer
from bridge.osc.udp import UdpSocket

__all__ = ["Call", "ClientAddress", "CommandError", "Handler", "OscService", "OscStats"]

SWITCH_INTERVAL_SECONDS = 0.0001
"""How long another Python thread keeps the interpreter when this one wants it. At Python's own 5 ms one busy thread
makes the 99th percentile of a reply 11 ms: it is waited for at waking and again at receiving."""

_MAX_DATAGRAMS_A_TURN = 64  # so that a flood over UDP leaves room for TCP and for timetags
_TURN_SECONDS = 0.25


class OscService:
    """Listens, answers and publishes; from `start` to `stop`.

    Args:
        clock: where monotonic time comes from.
        handlers: one for each address of `contract.HANDLED`; called from the receiving thread, one at a time, in the
            order of arrival. They must return at once.
        listen: IP address to listen on.
        port: UDP port; 0 takes a free one.
        tcp_port: TCP port for streams in either of OSC's framings; None for no TCP.
        oscquery_port: HTTP port of the description; None for none. Always on loopback.
        allow: IP addresses and networks beyond this machine that may talk.
        unix_seconds: wall clock, for timetags.

    Raises:
        ValueError: the handlers do not cover the table, or `listen` or `allow` is no address.
    """

    def __init__(
        self,
        clock: Clock,
        handlers: Mapping[str, Handler],
        listen: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        tcp_port: int | None = None,
        oscquery_port: int | None = None,
        allow: Sequence[str] = (),
        unix_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._policy = PeerPolicy(listen, allow)
        self._wanted_ports = (port, tcp_port, oscquery_port)
        self._counters = Counters()
        self._publisher = Publisher(clock, self._send_to_subscriber, self._counters)
        self._core = OscCore(handlers, self._publisher, self._counters, self._send, unix_seconds)
        self._udp: UdpSocket | None = None
        self._tcp: TcpServer | None = None
        self._oscquery: OscQueryServer | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._selector: selectors.BaseSelector | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._switch_interval_seconds = 0.0

    @property
    def port(self) -> int:
        """The UDP port listened on; 0 before `start`."""
        return self._udp.port if self._udp else 0

    @property
    def tcp_port(self) -> int | None:
        """The TCP port listened on, None where there is none."""
        return self._tcp.port if self._tcp else None

    @property
    def oscquery_port(self) -> int | None:
        """The HTTP port of the description, None where there is none."""
        return self._oscquery.port if self._oscquery else None

    @property
    def last_failure(self) -> str:
        """Traceback of the last handler that failed in a way it should not, empty where none has."""
        return self._core.dispatcher.last_failure

    def start(self) -> None:
        """Open the ports and start to listen.

        Also shortens the interpreter's switch interval to `SWITCH_INTERVAL_SECONDS` until `stop`.

        Raises:
            UserError: a port cannot be had; then none is held.
            RuntimeError: it was started before.
        """
        if self._udp is not None or self._stopping.is_set():
            raise RuntimeError("an OscService starts once; make another one")
        port, tcp_port, oscquery_port = self._wanted_ports
        try:
            self._udp = UdpSocket(self._policy, port, self._counters)
            if tcp_port is not None:
                self._tcp = TcpServer(self._policy, tcp_port, self._counters)
            if oscquery_port is not None:
                self._oscquery = OscQueryServer(self._publisher.current, self._policy, oscquery_port, self._udp.port)
        except BaseException:
            self._close()
            raise
        self._switch_interval_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_INTERVAL_SECONDS, self._switch_interval_seconds))
        self._threads = [
            threading.Thread(target=self._receive_loop, name="osc-receive", daemon=True),
            threading.Thread(target=self._publisher.run, args=(self._stopping,), name="osc-publish", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        if self._oscquery is not None:
            self._oscquery.start()

    def stop(self) -> None:
        """Close everything; safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake()
        self._publisher.wake()
        for thread in self._threads:
            thread.join()
        if self._threads:
            sys.setswitchinterval(self._switch_interval_seconds)
        self._close()

    def publish(self, address: str, values: Sequence[OscValue]) -> None:
        """Make `values` the current ones of `address`; subscribers get them at the pace they asked for. Any thread.

        Raises:
            ValueError: the address has no value in the contract, or the values are not of its types.
        """
        self._publisher.publish(address, values)

    def send_event(self, address: str, values: Sequence[OscValue]) -> None:
        """Send `values` to all subscribers of `address`, every one of them. Any thread.

        Raises:
            ValueError: the address has no value in the contract, or the values are not of its types.
        """
        self._publisher.send_event(address, values)

    def stats(self) -> OscStats:
        """Return what was counted so far."""
        return self._counters.stats(self._publisher.subscribers)

    def _receive_loop(self) -> None:
        assert self._udp is not None
        precedence.take_precedence(precedence.OSC)
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._udp.socket, selectors.EVENT_READ, self._receive_datagrams)
            self._selector.register(self._wake_out, selectors.EVENT_READ, self._drain_wakes)
            if self._tcp is not None:
                self._selector.register(self._tcp.socket, selectors.EVENT_READ, self._accept)
            while not self._stopping.is_set():
                due_seconds = self._core.next_due_seconds()
                timeout = _TURN_SECONDS
                if due_seconds is not None:
                    timeout = min(timeout, max(0.0, due_seconds - self._clock.now()))
                for key, _ in self._selector.select(timeout):
                    if isinstance(key.data, Connection):
                        self._serve(key.data)
                    else:
                        key.data()
                self._core.run_due(self._clock.now())
                if self._tcp is not None and self._tcp.connections:
                    self._tend_connections(self._tcp, self._selector)

    def _receive_datagrams(self) -> None:
        assert self._udp is not None
        for _ in range(_MAX_DATAGRAMS_A_TURN):
            received = self._udp.receive()
            if received is None:
                return
            self._core.receive(*received, self._clock.now())

    def _accept(self) -> None:
        assert self._tcp is not None
        assert self._selector is not None
        connection = self._tcp.accept()
        if connection is not None:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _serve(self, connection: Connection) -> None:
        assert self._tcp is not None
        now_seconds = self._clock.now()
        for packet in self._tcp.read(connection, now_seconds):
            self._core.receive(packet, connection.client, now_seconds)
        if connection.unsent:
            self._tcp.flush(connection)

    def _tend_connections(self, tcp: TcpServer, selector: selectors.BaseSelector) -> None:
        """Close the connections that are over, and listen for room in those that have something to send."""
        for connection in tcp.close_broken(self._clock.now()):
            selector.unregister(connection.socket)
            connection.socket.close()
            self._core.forget(connection.client)
        for connection in tcp.connections.values():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            if selector.get_key(connection.socket).events != wanted:
                selector.modify(connection.socket, wanted, connection)

    def _send(self, client: ClientAddress, packet: bytes) -> None:
        if client.transport == "udp":
            if self._udp is not None:
                self._udp.send(client, packet)
        elif self._tcp is not None:
            self._tcp.send(client, packet)

    def _send_to_subscriber(self, client: ClientAddress, packet: bytes) -> None:
        """Send from the publishing thread; the receiving one looks after what a connection did not take."""
        self._send(self._core.destination(client), packet)
        if client.transport == "tcp":
            self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:  # full: it is awake, or closed: it has ended
            return

    def _drain_wakes(self) -> None:
        try:
            self._wake_out.recv(4_096)
        except OSError:
            return

    def _close(self) -> None:
        for opened in (self._oscquery, self._tcp, self._udp, self._wake_in, self._wake_out):
            if opened is not None:
                opened.close()
