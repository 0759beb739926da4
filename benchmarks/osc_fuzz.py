"""Fuzzes a running OSC service over UDP and TCP, and fails on a crash, on silence or on growth.

    python -m benchmarks.osc_fuzz --seconds 60

Sends valid datagrams, the same mutated, random ones, floods from many ports, and TCP streams that break off; pings in
between. Every datagram that the service counts must be handled, refused, malformed, oversized, throttled or foreign.
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields

import psutil

from bridge.clock import SystemClock
from bridge.osc import slip
from bridge.osc.calls import Call
from bridge.osc.contract import HANDLED, METHODS
from bridge.osc.method import OscMethod, OscValue
from bridge.osc.service import OscService
from bridge.osc.wire import decode, encode, encode_bundle

WARM_UP_SHARE = 0.25  # of the time, after which caches and buffers have their size
ALLOWED_GROWTH_BYTES = 8 << 20
PING_EVERY_SECONDS = 0.25
CLIENT_PORTS = 400  # more than the service remembers
FLOOD = (encode("/backline/panic"),) * 10_000
_TYPICAL = {"signature": "7 / 8", "position": "3.2.50", "format": "f32", "pattern": "/backline/meter/*", "chord": "Am"}


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed.

    Attributes:
        sent: datagrams and streams sent.
        pings: pings sent, each from a port of its own.
        pongs: how many were answered.
        worst_ping_seconds: the longest that an answer took.
        rss_before_bytes: resident memory after the warm-up.
        rss_after_bytes: resident memory at the end.
    """

    sent: int
    pings: int
    pongs: int
    worst_ping_seconds: float
    rss_before_bytes: int
    rss_after_bytes: int


def valid_datagrams() -> list[bytes]:
    """Return one datagram a command of the contract, and bundles of them."""
    messages = [encode(method.address, _arguments(method)) for method in METHODS if method.direction == "in"]
    nested = encode_bundle([encode_bundle(messages[:5]), messages[5]])
    return [*messages, encode_bundle(messages), nested, encode_bundle(messages[:3], time.time() + 1.0)]


def _arguments(method: OscMethod) -> list[OscValue]:
    values: list[OscValue] = []
    for argument in method.arguments:
        if argument.choices:
            values.append(argument.choices[-1])
        elif argument.type_tag == "s":
            values.append(_TYPICAL.get(argument.name, "name"))
        elif argument.type_tag == "b":
            values.append(b"\0" * 512)
        else:
            number = (argument.minimum or 0.0) / 2 + (argument.maximum or 0.0) / 2
            values.append(int(number) if argument.type_tag in "ih" else number)
    return values


def mutated(datagram: bytes, chance: random.Random) -> bytes:
    """Return `datagram` with bits flipped, bytes cut out, doubled or put in, or a length overwritten."""
    data = bytearray(datagram)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 16)]
        elif kind == 2:
            data[at:at] = data[at : at + chance.randrange(1, 64)]
        elif kind == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 16))
        elif kind == 4:
            data[at // 4 * 4 : at // 4 * 4 + 4] = chance.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4))
        else:
            del data[at:]
    return bytes(data[:65_000])


def datagrams(chance: random.Random) -> Iterator[bytes]:
    """Yield what is sent, without end."""
    valid = valid_datagrams()
    while True:
        kind = chance.random()
        if kind < 0.25:
            yield chance.choice(valid)
        elif kind < 0.75:
            yield mutated(chance.choice(valid), chance)
        elif kind < 0.98:
            start = chance.choice((b"", b"/", b"#bundle\0", b"/backline/vocal\0,iihiisb\0\0\0\0"))
            yield start + chance.randbytes(chance.randrange(600))
        else:
            yield chance.randbytes(chance.randrange(60_000, 65_000))


def fuzz(service: OscService, seconds: float, seed: int) -> Result:
    """Fuzz `service` for `seconds` and return what was seen of it from outside."""
    chance = random.Random(seed)
    process = psutil.Process()
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(CLIENT_PORTS)]
    stream = datagrams(chance)
    sent, pings, pongs, worst_seconds, rss_before = 0, 0, 0, 0.0, 0
    begins = next_ping = time.perf_counter()
    try:
        while (passed := time.perf_counter() - begins) < seconds:
            if not rss_before and passed > seconds * WARM_UP_SHARE:
                gc.collect()
                rss_before = process.memory_info().rss
            sender = chance.choice(sockets)
            flood = FLOOD if chance.random() < 0.0005 else ()
            for datagram in flood or (next(stream),):
                sender.sendto(datagram, ("127.0.0.1", service.port))
                sent += 1
            if chance.random() < 0.01:
                _broken_stream(service, next(stream), chance)
                sent += 1
            if time.perf_counter() > next_ping:
                next_ping += PING_EVERY_SECONDS
                answered_seconds = _ping(service.port)
                pings += 1
                pongs += math.isfinite(answered_seconds)
                worst_seconds = max(worst_seconds, answered_seconds if math.isfinite(answered_seconds) else 0.0)
    finally:
        for opened in sockets:
            opened.close()
    gc.collect()
    return Result(sent, pings, pongs, worst_seconds, rss_before, process.memory_info().rss)


def _ping(port: int) -> float:
    """Return how long an answer takes; infinity for none. A flood may cost a datagram: it is sent three times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        for _ in range(3):
            begins = time.perf_counter()
            client.sendto(encode("/backline/ping"), ("127.0.0.1", port))
            try:
                (reply,) = decode(client.recv(65_536))
            except TimeoutError:
                continue
            if reply.values == ("/backline/ping",):
                return time.perf_counter() - begins
    return math.inf


def _broken_stream(service: OscService, packet: bytes, chance: random.Random) -> None:
    """Send a packet over TCP, mostly not all of it, and go away."""
    framed = slip.encode(packet)
    try:
        with socket.create_connection(("127.0.0.1", service.tcp_port or 0), timeout=1.0) as client:
            client.sendall(framed[: chance.randrange(len(framed) + 1)])
    except OSError:  # refused for want of room, which the service counts
        return


def faults(service: OscService, result: Result) -> list[str]:
    """Return what is wrong, empty where nothing is."""
    found = []
    grown = result.rss_after_bytes - result.rss_before_bytes
    if grown > ALLOWED_GROWTH_BYTES:
        found.append(
            f"memory grew by {grown / 2**20:.1f} MiB; at most {ALLOWED_GROWTH_BYTES / 2**20:.0f} MiB is allowed"
        )
    if result.pongs < result.pings:
        found.append(f"{result.pings - result.pongs} of {result.pings} pings were not answered")
    if service.last_failure:
        found.append(f"a handler failed:\n{service.last_failure}")
    stats = service.stats()
    accounted = stats.handled + stats.errors + stats.malformed + stats.oversized + stats.throttled + stats.foreign
    accounted += stats.queue_dropped
    if accounted < stats.received - result.sent // 100:  # what still waits for its timetag is not there yet
        found.append(f"{stats.received} received, but only {accounted} accounted for")
    if sys.platform == "linux" and stats.received + stats.lost_in_system < 0.97 * result.sent:
        found.append(f"{result.sent} sent, but only {stats.received} received and {stats.lost_in_system} counted lost")
    if not all((stats.handled, stats.errors, stats.malformed, stats.oversized, stats.throttled, stats.foreign)):
        found.append(f"some kind of datagram never came up: {stats}")
    return found


def _nothing(_: Call) -> tuple[OscValue, ...]:
    return ()


def main() -> int:
    """Fuzz, print, and return 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    service = OscService(SystemClock(), dict.fromkeys(HANDLED, _nothing), port=0, tcp_port=0, oscquery_port=0)
    service.start()
    try:
        result = fuzz(service, options.seconds, options.seed)
        found = faults(service, result)
        stats = service.stats()
    finally:
        service.stop()
    print(f"sent {result.sent:,} in {options.seconds:g} s")
    for field in fields(stats):
        print(f"{field.name:>14} {getattr(stats, field.name):>10,}")
    print(f"pings {result.pings}, answered {result.pongs}, slowest {result.worst_ping_seconds * 1e3:.1f} ms")
    print(f"resident memory {result.rss_before_bytes / 2**20:.1f} MiB, at the end {result.rss_after_bytes / 2**20:.1f}")
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
