"""The OSC port: is it free, and how many datagrams does the system keep while nobody reads?"""

from __future__ import annotations

import errno
import socket
from typing import Final

from bridge.doctor.finding import Figures, Finding, Request, Verdict

HOST: Final = "127.0.0.1"
WANTED_BUFFER_BYTES: Final = 1 << 20
LEAST_BUFFER_BYTES: Final = 1 << 18
"""A second of stereo float32 vocal at 44.1 kHz takes about 350 kB."""


def check(request: Request) -> tuple[Finding, ...]:
    """Look at the ports and at the receive buffer."""
    return (check_udp(request.port), check_tcp(request.port), judge_buffer(buffer_bytes()))


def check_udp(port: int) -> Finding:
    """Look whether the UDP port can be had."""
    reason = _refusal(socket.SOCK_DGRAM, port)
    figures: Figures = {"port": port}
    if not reason:
        return Finding("OSC over UDP", Verdict.OK, f"port {port} of {HOST} is free", figures=figures)
    remedy = "end the program that holds it (another Backline?), or let Backline and the DAW use another port"
    return Finding("OSC over UDP", Verdict.BAD, f"port {port} of {HOST} cannot be had: {reason}", remedy, figures)


def check_tcp(port: int) -> Finding:
    """Look whether the TCP port can be had; Backline runs without."""
    reason = _refusal(socket.SOCK_STREAM, port)
    figures: Figures = {"port": port}
    if not reason:
        return Finding("OSC over TCP", Verdict.OK, f"port {port} of {HOST} is free", figures=figures)
    remedy = "end the program that holds it, use another port, or stay with UDP"
    return Finding("OSC over TCP", Verdict.WARNING, f"port {port} of {HOST} cannot be had: {reason}", remedy, figures)


def _refusal(kind: socket.SocketKind, port: int) -> str:
    """Return why a socket cannot be bound to `port`; empty if it can."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            if kind is socket.SOCK_STREAM and hasattr(socket, "SO_REUSEPORT"):  # elsewhere it would share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            if kind is socket.SOCK_STREAM:
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "another program holds it"
            return error.strerror or str(error)
    return ""


def buffer_bytes(wanted_bytes: int = WANTED_BUFFER_BYTES) -> int:
    """Return how large a receive buffer the system grants."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def judge_buffer(granted_bytes: int) -> Finding:
    """Judge the receive buffer."""
    words = f"the system keeps {granted_bytes / 1024:.0f} KiB of datagrams that wait"
    figures: Figures = {"granted_bytes": granted_bytes}
    if granted_bytes >= LEAST_BUFFER_BYTES:
        return Finding("receive buffer", Verdict.OK, words, figures=figures)
    remedy = f"vocal packets may be lost under load: sysctl -w net.core.rmem_max={WANTED_BUFFER_BYTES}"
    return Finding("receive buffer", Verdict.WARNING, words, remedy, figures)
