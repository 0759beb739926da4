"""The UDP socket."""

from __future__ import annotations

import socket
import sys

from bridge.errors import UserError
from bridge.osc.counters import Counters
from bridge.osc.peers import ClientAddress, PeerPolicy

_BUFFER_BYTES = 65_536  # one more than any datagram has
_SYSTEM_BUFFER_BYTES = 1 << 20  # some hundred vocal blocks, should this thread be kept waiting
_MAX_KNOWN = 1_024
_SO_RXQ_OVFL = 40  # Linux: each datagram comes with the number of those dropped before it for want of room
_ANCILLARY_BYTES = 64


class UdpSocket:
    """A bound socket that never waits.

    Args:
        policy: who may talk, and the address to listen on.
        port: UDP port; 0 takes a free one.
        counters: refused peers and failed sends.

    Raises:
        UserError: the port cannot be had.
    """

    def __init__(self, policy: PeerPolicy, port: int, counters: Counters) -> None:
        self._policy = policy
        self._counters = counters
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._known: dict[tuple[str, int], ClientAddress] = {}
        self.socket = socket.socket(socket.AF_INET6 if policy.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SYSTEM_BUFFER_BYTES)
            if sys.platform == "linux":
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self.socket.bind((policy.listen, port))
            self.socket.setblocking(False)
        except OSError as error:
            self.socket.close()
            raise UserError(
                f"UDP port {port} of {policy.listen} cannot be had: {error.strerror or error}; "
                "end the program that holds it, or choose another port"
            ) from error
        self.port: int = self.socket.getsockname()[1]

    def receive(self) -> tuple[bytes, ClientAddress] | None:
        """Return the next datagram and its sender; None where there is none for now. Refused peers are counted."""
        while True:
            try:
                size, peer = self._receive_into()
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionError:  # Windows reports here that an earlier reply found nobody
                self._counters.send_failed += 1
                continue
            host, port = peer
            if not self._policy.allows(host) or port == 0:
                self._counters.refused_peers += 1
                continue
            return bytes(self._view[:size]), self._client(host, port)

    def send(self, client: ClientAddress, packet: bytes) -> None:
        """Send `packet`; from any thread. Counted where the system does not take it."""
        try:
            self.socket.sendto(packet, (client.host, client.port))
        except OSError:
            self._counters.send_failed += 1

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _receive_into(self) -> tuple[int, tuple[str, int]]:
        """Fill the buffer and return the datagram's size and its sender."""
        if sys.platform != "linux":
            size, peer = self.socket.recvfrom_into(self._buffer)
            return size, peer[:2]
        size, ancillary, _, peer = self.socket.recvmsg_into([self._buffer], _ANCILLARY_BYTES)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                self._counters.lost_in_system = int.from_bytes(data, sys.byteorder)
        return size, peer[:2]

    def _client(self, host: str, port: int) -> ClientAddress:
        client = self._known.get((host, port))
        if client is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            client = self._known[host, port] = ClientAddress(host, port)
        return client
