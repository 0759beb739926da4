"""TCP, for what must not be lost: a bounded number of clients, each with bounded buffers and in its own framing."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.errors import UserError
from bridge.osc import framing
from bridge.osc.counters import Counters
from bridge.osc.peers import ClientAddress, PeerPolicy

MAX_CONNECTIONS = 16
MAX_UNSENT_BYTES = 1 << 18
HALF_PACKET_SECONDS = 5.0
_READ_BYTES = 65_536


@dataclass(slots=True, eq=False)
class Connection:
    """One client's connection.

    Attributes:
        socket: the socket; never waits.
        client: its address.
        state: what has come of a packet that is not complete, and with it the framing; None before the first byte.
        unsent: framed replies that the system has not taken yet.
        halfway_since_seconds: when the packet that is not complete began; None where there is none.
        is_deaf: the peer takes no replies any more, as one that sent and went; what it sent is still read to its end.
        is_broken: to be closed by the receiving thread.
    """

    socket: socket.socket
    client: ClientAddress
    state: framing.StreamState | None = None
    unsent: bytearray = field(default_factory=bytearray)
    halfway_since_seconds: float | None = None
    is_deaf: bool = False
    is_broken: bool = False


class TcpServer:
    """The listening socket and its connections. `send` may be called from any thread, the rest from one.

    Args:
        policy: who may talk, and the address to listen on.
        port: TCP port; 0 takes a free one.
        counters: refused peers, malformed packets, failed sends.

    Raises:
        UserError: the port cannot be had.
    """

    def __init__(self, policy: PeerPolicy, port: int, counters: Counters) -> None:
        self._policy = policy
        self._counters = counters
        self._lock = threading.Lock()  # guards the dict and what is unsent
        self.connections: dict[ClientAddress, Connection] = {}
        family = socket.AF_INET6 if policy.is_ipv6 else socket.AF_INET
        try:
            self.socket = socket.create_server((policy.listen, port), family=family, backlog=MAX_CONNECTIONS)
        except OSError as error:
            raise UserError(
                f"TCP port {port} of {policy.listen} cannot be had: {error.strerror or error}; "
                "end the program that holds it, or choose another port"
            ) from error
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def accept(self) -> Connection | None:
        """Return the next connection; None where there is none, or where it was refused and counted."""
        try:
            connected, peer = self.socket.accept()
        except OSError:  # nobody there any more
            return None
        client = ClientAddress(peer[0], peer[1], "tcp")
        if not self._policy.allows(client.host) or len(self.connections) >= MAX_CONNECTIONS:
            self._counters.refused_peers += 1
            connected.close()
            return None
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = Connection(connected, client)
        with self._lock:
            self.connections[client] = connection
        return connection

    def read(self, connection: Connection, now_seconds: float) -> tuple[bytes, ...]:
        """Return the packets that have become complete; marks the connection broken where the peer has gone."""
        try:
            data = connection.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return ()
        except OSError:
            data = b""
        if not data:
            connection.is_broken = True
            return ()
        _acknowledge(connection.socket)
        before = connection.state
        packets, connection.state = framing.step(data, before)
        self._counters.malformed += connection.state.malformed - (before.malformed if before else 0)
        self._counters.oversized += connection.state.oversized - (before.oversized if before else 0)
        if not connection.state.is_halfway:
            connection.halfway_since_seconds = None
        elif connection.halfway_since_seconds is None or packets:
            connection.halfway_since_seconds = now_seconds
        return packets

    def send(self, client: ClientAddress, packet: bytes) -> None:
        """Send `packet` framed; what the system does not take waits, up to a bound at which the client is given up."""
        with self._lock:
            connection = self.connections.get(client)
            if connection is None or connection.is_broken or connection.is_deaf:
                self._counters.send_failed += 1
                return
            connection.unsent += framing.encode(packet, connection.state)
            self._push(connection)

    def flush(self, connection: Connection) -> None:
        """Send what waits, as far as the system takes it."""
        with self._lock:
            self._push(connection)

    def close_broken(self, now_seconds: float) -> list[Connection]:
        """Close and return the connections that are broken or at their end, or whose peer stopped halfway."""
        closed = []
        for connection in list(self.connections.values()):
            since_seconds = connection.halfway_since_seconds
            has_stalled = since_seconds is not None and now_seconds - since_seconds > HALF_PACKET_SECONDS
            if has_stalled or (connection.state is not None and connection.state.is_over):
                connection.is_broken = True
            if connection.is_broken:
                is_abandoned = since_seconds is not None or bool(connection.unsent)
                self._counters.abandoned += is_abandoned
                with self._lock:
                    del self.connections[connection.client]
                closed.append(connection)
        return closed

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            for connection in self.connections.values():
                connection.socket.close()
            self.connections.clear()
        self.socket.close()

    def _push(self, connection: Connection) -> None:
        while connection.unsent:
            try:
                sent = connection.socket.send(connection.unsent)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                connection.is_deaf = True
                connection.unsent.clear()
                self._counters.send_failed += 1
                return
            del connection.unsent[:sent]
            _acknowledge(connection.socket)
        if len(connection.unsent) > MAX_UNSENT_BYTES:
            connection.is_broken = True
            self._counters.send_failed += 1


def _acknowledge(connected: socket.socket) -> None:
    """Have the system acknowledge what has come at once, where it can be asked; it forgets this at each reply.

    A client that writes a packet's length and the packet apart (liblo) has its system hold the packet back until the
    length is acknowledged: each message would come 40 ms late, and the last is lost if the client goes meanwhile.
    """
    if hasattr(socket, "TCP_QUICKACK"):  # Linux
        with suppress(OSError):  # the peer has gone: the next read says so
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
