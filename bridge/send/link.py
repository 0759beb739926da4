"""The sender's UDP socket: sends without waiting and hands over what came back."""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol

from bridge.errors import UserError
from bridge.osc.contract import DEFAULT_PORT

MOST_REPLIES_A_VISIT = 256
_LARGEST_DATAGRAM_BYTES = 65_535


class Link(Protocol):
    """Where datagrams go; a test puts its own here."""

    def send(self, datagram: bytes) -> None:
        """Send `datagram`, or count it as refused."""

    def received(self) -> list[bytes]:
        """Return the datagrams that came back since the last call."""

    @property
    def refused(self) -> int:
        """How many could not be sent, or met a port where nobody listens."""


class UdpLink:
    """A UDP socket to one address.

    Attributes:
        refused: datagrams that could not be sent, or met a port where nobody listens.
    """

    def __init__(self, host: str, port: int) -> None:
        """Open a socket to `host` and `port`.

        Raises:
            UserError: the host is not known.
        """
        self.refused = 0
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise UserError(f"--to {host}:{port}: cannot be reached ({error.strerror}); check the name") from error
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise UserError(f"--to {host}:{port}: cannot be reached ({error.strerror}); check the name") from error

    def send(self, datagram: bytes) -> None:
        """Send `datagram`; a full buffer or a closed port counts as refused, as UDP promises nothing more."""
        try:
            self._socket.send(datagram)
        except OSError:
            self.refused += 1

    def received(self) -> list[bytes]:
        """Return the datagrams that came back since the last call, at most 256."""
        datagrams: list[bytes] = []
        for _ in range(MOST_REPLIES_A_VISIT):
            try:
                datagrams.append(self._socket.recv(_LARGEST_DATAGRAM_BYTES))
            except BlockingIOError:
                break
            except OSError:
                self.refused += 1
        return datagrams

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._socket.close()


def parse_destination(text: str) -> tuple[str, int]:
    """Return `HOST:PORT`, `HOST` or `[IPV6]:PORT` as host and port; the port is 9140 if left out.

    Raises:
        UserError: the text is none of these.
    """
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        host, port = "", ""
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise UserError(f"--to {text!r} is no address; write it as 127.0.0.1:{DEFAULT_PORT}")
    return host, int(port)
