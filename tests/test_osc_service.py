"""The service over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from bridge.clock import SystemClock
from bridge.errors import UserError
from bridge.osc import framing, length_framing, slip
from bridge.osc.calls import Call
from bridge.osc.method import OscValue
from bridge.osc.service import SWITCH_INTERVAL_SECONDS, OscService
from bridge.osc.tcp import MAX_CONNECTIONS
from bridge.osc.wire import Message, decode, encode, encode_bundle
from tests.osc_support import Recorder

PING = encode("/backline/ping", ("#1",))
PONG = Message("/backline/done", ("/backline/ping", "#1"))

Framed = Callable[[bytes], bytes]
in_both_framings = pytest.mark.parametrize("framed", [slip.encode, length_framing.encode], ids=["slip", "length"])


class Running:
    """A service on free ports."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.service = OscService(SystemClock(), self.recorder.handlers(), port=0, tcp_port=0, oscquery_port=0)

    def udp(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(3.0)
        client.connect(("127.0.0.1", self.service.port))
        return client

    def tcp(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.service.tcp_port or 0), timeout=3.0)
        client.settimeout(3.0)
        return client

    def get(self, target: str) -> tuple[int, str, bytes]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.service.oscquery_port}{target}", timeout=3.0) as response:
            return response.status, response.headers.get("Content-Type", ""), response.read()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    made.service.start()
    yield made
    made.service.stop()


def received(client: socket.socket) -> Message:
    (message,) = decode(client.recv(65_536))
    return message


def from_stream(client: socket.socket, count: int) -> list[Message]:
    state: framing.StreamState | None = None
    messages: list[Message] = []
    while len(messages) < count:
        data = client.recv(65_536)
        assert data, "closed by the service"
        packets, state = framing.step(data, state)
        messages += [message for packet in packets for message in decode(packet)]
    return messages


def eventually(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 3.0
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.002)
    return False


def test_udp_round_trip(running: Running) -> None:
    with running.udp() as client, running.udp() as other:
        client.send(PING)
        assert received(client) == PONG
        other.send(encode("/backline/locate", (8.0, "#2")))
        assert received(other) == Message("/backline/done", ("/backline/locate", "#2"))
        assert [dict(call.arguments) for call in running.recorder.calls] == [{"beat": 8.0}]
        assert running.recorder.calls[0].client.port == other.getsockname()[1]
        assert running.service.stats().handled == 2


def test_a_thousand_commands_keep_their_order(running: Running) -> None:
    with running.udp() as client:
        for beat in range(500):
            client.send(encode("/backline/locate", (beat,)))
            client.send(encode_bundle([encode("/backline/locate", (beat + 0.5,))]))
        assert eventually(lambda: len(running.recorder.calls) == 1_000)
    assert [call.arguments["beat"] for call in running.recorder.calls] == [beat / 2 for beat in range(1_000)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it dropped")
def test_what_the_system_drops_is_counted() -> None:
    held, may_go_on = threading.Event(), threading.Event()

    def hold(_: Call) -> tuple[OscValue, ...]:
        held.set()
        may_go_on.wait(5.0)
        return ()

    service = OscService(SystemClock(), {**Recorder().handlers(), "/backline/panic": hold}, port=0)
    service.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(3.0)
            client.connect(("127.0.0.1", service.port))
            client.send(encode("/backline/panic"))
            assert held.wait(3.0)
            for _ in range(3_000):
                client.send(encode("/track/1/volume", (0.5,)) + bytes(1_000))
            may_go_on.set()
            assert eventually(lambda: client.send(PING) > 0 and service.stats().lost_in_system > 0)
            assert service.stats().lost_in_system < 3_000
    finally:
        may_go_on.set()
        service.stop()


def test_a_timetag_is_kept_to_the_millisecond(running: Running) -> None:
    with running.udp() as client:
        due_seconds = time.time() + 0.15
        client.send(encode_bundle([PING], due_seconds))
        assert received(client) == PONG
        assert -0.001 < time.time() - due_seconds < 0.05


def test_leases_reach_a_real_client(running: Running) -> None:
    with running.udp() as client:
        client.send(encode("/backline/subscribe", ("/backline/meter/*", 100.0)))
        assert received(client).address == "/backline/done"
        running.service.publish("/backline/meter/mix", (-3.0, -12.0))
        assert received(client) == Message("/backline/meter/mix", (-3.0, -12.0))
        running.service.publish("/backline/meter/mix", (-4.0, -12.0))
        running.service.publish("/backline/meter/mix", (-5.0, -12.0))
        while received(client).values[0] != -5.0:
            pass
        assert running.service.stats().subscribers == 1


@in_both_framings
def test_tcp_round_trip_and_lease(running: Running, framed: Framed) -> None:
    with running.tcp() as client:
        stream = framed(PING) * 3
        client.sendall(stream[:7])
        time.sleep(0.02)
        client.sendall(stream[7:])
        assert from_stream(client, 3) == [PONG] * 3
        client.sendall(framed(encode("/backline/subscribe", ("/backline/plan",))))
        assert from_stream(client, 1)[0].address == "/backline/done"
        running.service.send_event("/backline/plan", (4, 4.0, "bass", "planned", 250.0, 7))
        assert from_stream(client, 1) == [Message("/backline/plan", (4, 4.0, "bass", "planned", 250.0, 7))]
    assert eventually(lambda: running.service.stats().subscribers == 0)


def test_literal_bytes_of_osc_1_0_over_tcp(running: Running) -> None:
    reply = b"\x00\x00\x00\x28/backline/done\x00\x00,ss\x00/backline/ping\x00\x00#7\x00\x00"
    with running.tcp() as client:
        client.sendall(b"\x00\x00\x00\x18/backline/ping\x00\x00,s\x00\x00#7\x00\x00")
        assert client.recv(len(reply), socket.MSG_WAITALL) == reply
        client.sendall(b"\x00\x00\x00\x00" + length_framing.encode(b"no OSC at all"))
        (told,) = from_stream(client, 1)  # once a second
        assert told.values[1] == "malformed"
        assert eventually(lambda: running.service.stats().malformed == 2)


def test_both_framings_beside_each_other(running: Running) -> None:
    with running.tcp() as one, running.tcp() as other:
        for client, framed in ((one, slip.encode), (other, length_framing.encode)) * 2:
            client.sendall(framed(PING))
            reply = framed(encode(PONG.address, PONG.values))
            assert client.recv(len(reply), socket.MSG_WAITALL) == reply


def test_a_length_that_breaks_the_bound_costs_the_connection(running: Running) -> None:
    with running.tcp() as wrong, running.tcp() as good:
        good.sendall(length_framing.encode(PING))
        assert from_stream(good, 1) == [PONG]
        wrong.sendall(length_framing.encode(PING) + b"\x00\x01\x00\x00")
        assert from_stream(wrong, 1) == [PONG]  # what came before it is carried out and answered
        assert wrong.recv(100) == b""
        assert running.service.stats().oversized == 1
        good.sendall(length_framing.encode(PING))
        assert from_stream(good, 1) == [PONG]
    assert running.service.stats().abandoned == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems drop what a peer sent before it went")
@in_both_framings
def test_what_a_peer_sent_before_it_went_is_carried_out(monkeypatch: pytest.MonkeyPatch, framed: Framed) -> None:
    monkeypatch.setattr(
        "bridge.osc.tcp._READ_BYTES", 16
    )  # less than a packet: replies fail while there is more to read
    has_gone, beats = threading.Event(), list[OscValue]()

    def note(call: Call) -> tuple[OscValue, ...]:
        has_gone.wait(5.0)
        beats.append(call.arguments["beat"])
        return ()

    service = OscService(SystemClock(), {**Recorder().handlers(), "/backline/locate": note}, port=0, tcp_port=0)
    service.start()
    try:
        with socket.create_connection(("127.0.0.1", service.tcp_port or 0)) as client:
            client.sendall(b"".join(framed(encode("/backline/locate", (beat,))) for beat in range(50)))
        has_gone.set()
        assert eventually(lambda: len(beats) == 50)
        assert beats == list(range(50))
        assert eventually(lambda: service.stats().send_failed > 0)
        assert service.stats().abandoned == 0
    finally:
        service.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems choose for themselves when they acknowledge")
def test_length_and_packet_sent_apart_do_not_wait_for_each_other(running: Running) -> None:
    packet = length_framing.encode(PING)
    waits_seconds = []
    with running.tcp() as client:  # its system holds the second part back until the first is acknowledged
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for _ in range(40):
            since = time.monotonic()
            client.sendall(packet[:4])
            client.sendall(packet[4:])
            assert from_stream(client, 1) == [PONG]
            waits_seconds.append(time.monotonic() - since)
    assert statistics.median(waits_seconds) < 0.02  # 0.04 where the acknowledgement is put off


@in_both_framings
def test_a_peer_that_stops_halfway_leaves_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, framed: Framed
) -> None:
    monkeypatch.setattr("bridge.osc.tcp.HALF_PACKET_SECONDS", 0.05)
    with running.tcp() as halfway, running.tcp() as gone, running.tcp() as good:
        halfway.sendall(framed(PING)[:-1])
        gone.sendall(framed(PING)[:3])
        gone.close()
        assert halfway.recv(100) == b""  # closed by the service
        good.sendall(framed(PING))
        assert from_stream(good, 1) == [PONG]
        assert eventually(lambda: running.service.stats().abandoned == 2)
        assert running.recorder.calls == []


def test_a_peer_that_does_not_read_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.osc.tcp.MAX_UNSENT_BYTES", 10_000)
    with running.tcp() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.sendall(slip.encode(encode("/backline/subscribe", ("/backline/plan",))))
        assert eventually(lambda: running.service.stats().subscribers == 1)
        for _ in range(400):
            for bar in range(100):
                running.service.send_event("/backline/plan", (bar, 4.0, "bass", "planned" * 30, 250.0, 7))
            if running.service.stats().abandoned:
                break
            time.sleep(0.01)
        assert eventually(lambda: running.service.stats().abandoned == 1)
    with running.tcp() as good:
        good.sendall(slip.encode(PING))
        assert from_stream(good, 1) == [PONG]


def test_the_number_of_connections_is_bounded(running: Running) -> None:
    clients = [running.tcp() for _ in range(MAX_CONNECTIONS)]
    try:
        for client in clients:
            client.sendall(slip.encode(PING))
            assert from_stream(client, 1) == [PONG]
        with running.tcp() as refused:
            assert refused.recv(100) == b""
        assert running.service.stats().refused_peers == 1
    finally:
        for client in clients:
            client.close()


def test_an_oversized_packet_over_tcp_costs_that_packet_only(running: Running) -> None:
    with running.tcp() as client:
        client.sendall(slip.encode(b"/" + b"a" * 200_000) + slip.encode(PING))
        assert from_stream(client, 1) == [PONG]
    assert running.service.stats().oversized == 1


def test_oscquery_over_http(running: Running) -> None:
    running.service.publish("/backline/stem/bass/gain", (-6.0,))
    status, content_type, body = running.get("/backline/stem/bass")
    assert (status, content_type) == (200, "application/json; charset=utf-8")
    assert json.loads(body)["CONTENTS"]["gain"]["VALUE"] == [-6.0]
    assert json.loads(running.get("/backline/stem/bass/gain?VALUE")[2]) == {"VALUE": [-6.0]}
    assert json.loads(running.get("/?HOST_INFO")[2])["OSC_PORT"] == running.service.port
    assert running.get("/backline/stem/drums/gain?VALUE")[0] == 204
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        running.get("/backline/nothing")
    missing.value.close()


def test_oscquery_answers_no_page_that_was_pointed_here(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.service.oscquery_port or 0, timeout=3.0)
    connection.request("GET", "/", headers={"Host": "evil.example:80"})
    assert connection.getresponse().status == 403
    connection.close()


def test_oscquery_survives_peers_that_stop_halfway(running: Running) -> None:
    stalled = [socket.create_connection(("127.0.0.1", running.service.oscquery_port or 0)) for _ in range(5)]
    for client in stalled:
        client.send(b"GET /back")
    assert running.get("/backline?ACCESS")[0] == 200
    for client in stalled:
        client.close()


def test_a_port_that_is_taken_is_named_and_nothing_is_left_open(running: Running) -> None:
    handlers = Recorder().handlers()
    with pytest.raises(UserError, match=f"UDP port {running.service.port} of 127.0.0.1 cannot be had"):
        OscService(SystemClock(), handlers, port=running.service.port).start()
    taken = OscService(SystemClock(), handlers, port=0, tcp_port=running.service.tcp_port)
    with pytest.raises(UserError, match="TCP port"):
        taken.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", taken.port))


def test_it_starts_once_and_stops_twice() -> None:
    before = sys.getswitchinterval()
    service = OscService(SystemClock(), Recorder().handlers(), port=0)
    service.start()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_SECONDS)
    with pytest.raises(RuntimeError, match="starts once"):
        service.start()
    service.stop()
    service.stop()
    assert sys.getswitchinterval() == before


CLIENT_PROGRAM = """
import socket, sys, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(3.0)
client.connect(("127.0.0.1", int(sys.argv[1])))
taken = []
for _ in range(300):
    start = time.perf_counter()
    client.send(bytes.fromhex(sys.argv[2]))
    client.recv(65536)
    taken.append(time.perf_counter() - start)
    time.sleep(0.002)
taken.sort()
print(taken[150], taken[297])
"""


def reply_seconds(running: Running) -> tuple[float, float]:
    """Return median and 99th percentile of 300 commands from another process."""
    command = [sys.executable, "-c", CLIENT_PROGRAM, str(running.service.port), PING.hex()]
    median_seconds, p99_seconds = map(float, subprocess.check_output(command, timeout=30.0).split())
    return median_seconds, p99_seconds


MOST_TRIES = 12


@pytest.mark.slow
def test_replies_come_within_5_ms_while_another_thread_is_busy(running: Running) -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1_000))

    measured: list[tuple[float, float]] = []
    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(MOST_TRIES):  # the tail of one try may be what other programs take, or a host of this machine
            measured.append(reply_seconds(running))
            if len(measured) >= 2 and min(p99_seconds for _, p99_seconds in measured) < 0.005:
                break
    finally:
        stop.set()
        thread.join()
    assert min(median_seconds for median_seconds, _ in measured) < 0.003  # 5.4 ms at Python's own switch interval
    if os.getloadavg()[0] < (os.cpu_count() or 1):
        assert min(p99_seconds for _, p99_seconds in measured) < 0.005
