"""OSCQuery over HTTP, on loopback: what addresses there are, and what their values are now."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote

from bridge.errors import UserError
from bridge.osc.oscquery_tree import ATTRIBUTES, Json, Values, host_info, node_at
from bridge.osc.peers import PeerPolicy

MAX_REQUESTS = 8  # at a time
MAX_TARGET_CHARACTERS = 1_024
REQUEST_SECONDS = 2.0  # a peer that stops halfway is given up


def answer(target: str, values: Values, osc_ip: str, osc_port: int) -> tuple[HTTPStatus, Json | None]:
    """Return status and JSON for the target of a GET, such as `/backline/stem/bass/gain?VALUE`."""
    if len(target) > MAX_TARGET_CHARACTERS:
        return HTTPStatus.REQUEST_URI_TOO_LONG, None
    path, _, query = target.partition("?")
    path = unquote(path)
    attribute = query.partition("=")[0].partition("&")[0]
    if attribute == "HOST_INFO":
        return HTTPStatus.OK, host_info(osc_ip, osc_port)
    if attribute and attribute not in ATTRIBUTES:
        return HTTPStatus.BAD_REQUEST, None
    node = node_at("/" + path.strip("/"), values) if path.startswith("/") else None
    if node is None:
        return HTTPStatus.NOT_FOUND, None
    if not attribute:
        return HTTPStatus.OK, node
    if attribute not in node:
        return HTTPStatus.NO_CONTENT, None
    return HTTPStatus.OK, {attribute: node[attribute]}


class OscQueryServer:
    """The HTTP server, with one thread that accepts and a few that answer.

    Args:
        current: returns the current values.
        policy: where OSC listens, for the host information.
        port: TCP port on loopback; 0 takes a free one.
        osc_port: UDP port of the OSC service.

    Raises:
        UserError: the port cannot be had.
    """

    def __init__(self, current: Callable[[], Values], policy: PeerPolicy, port: int, osc_port: int) -> None:
        def answer_now(target: str) -> tuple[HTTPStatus, Json | None]:
            return answer(target, current(), policy.listen, osc_port)

        try:
            self._server = _Server(("127.0.0.1", port), answer_now)
        except OSError as error:
            raise UserError(
                f"TCP port {port} of 127.0.0.1 for OSCQuery cannot be had: {error.strerror or error}; "
                "end the program that holds it, or choose another port"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="osc-query", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_REQUESTS

    def __init__(self, address: tuple[str, int], answer_now: Callable[[str], tuple[HTTPStatus, Json | None]]) -> None:
        self.answer_now = answer_now
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, _Request)

    def server_bind(self) -> None:
        """Bind, without the look-up of the machine's name that the library makes and that may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Say nothing: a peer that goes away in the middle of an answer is no event."""


class _Request(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server_version = "Backline"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        if not _is_loopback_name(self.headers.get("Host", "")):  # a web page whose name was made to point here
            self._respond(HTTPStatus.FORBIDDEN, None)
            return
        self._respond(*self.server.answer_now(self.path))

    do_HEAD = do_GET  # noqa: N815 - the name is the library's

    def _respond(self, status: HTTPStatus, content: Json | None) -> None:
        body = b"" if content is None else json.dumps(content, allow_nan=False).encode()
        self.send_response(status)
        if content is not None:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def _is_loopback_name(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
