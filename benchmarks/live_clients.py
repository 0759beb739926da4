"""The processes beside a live server, `python -m benchmarks.live_clients busy|probe|daw`, and how to talk to them.

`busy` keeps a core busy; `probe` sends commands over a socket of its own and says how long each took to its `/done`;
`daw` plays the demo vocal, always further on in the song, and says when each block of it was sent. Each ends when the
process that started it is gone. Times are `time.perf_counter()`, one clock for all processes of a machine.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final, Self

import numpy as np

from benchmarks.live_support import BLOCK_SAMPLES, TEMPO_BPM, VOCAL, Program
from bridge.audio_files import audio_facts, read_stereo
from bridge.clock import SystemClock
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from bridge.osc.wire import WireError, decode, encode
from bridge.send.link import UdpLink
from bridge.send.messages import VOCAL_ADDRESS
from bridge.send.player import PlacedVocal, Player
from bridge.send.song import SongPart, host_blocks
from engine.timeline import Timeline

DONE, ERROR = f"{PREFIX}/done", f"{PREFIX}/error"
REPLY_SECONDS: Final = 1.0
TOLD_SECONDS: Final = 0.5
LEASE_SECONDS: Final = 10.0
_LARGEST_DATAGRAM_BYTES = 65_535
_END_SECONDS = 5.0
_PARENT_SECONDS = 0.5

Values = Sequence[OscValue]


class OscClient:
    """A UDP socket of its own that sends commands and waits for what comes of them."""

    def __init__(self, port: int) -> None:
        """Talk to `port` on this machine."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._sent = 0
        self.heartbeats: list[Values] = []

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, address: str, *values: OscValue) -> None:
        """Send without waiting; what comes back is found at the next request."""
        self._socket.send(encode(address, values))

    def request(self, address: str, *values: OscValue) -> tuple[float, Values] | None:
        """Send a command; return the seconds to its `/done` and its values, None if none comes within a second.

        Raises:
            RuntimeError: the answer is `/error`.
        """
        self._sent += 1
        number = f"#{self._sent}"
        datagram = encode(address, (*values, number))
        start = time.perf_counter()
        self._socket.send(datagram)
        while (left := start + REPLY_SECONDS - time.perf_counter()) > 0:
            self._socket.settimeout(left)
            try:
                received = self._socket.recv(_LARGEST_DATAGRAM_BYTES)
            except (TimeoutError, ConnectionError):
                return None
            seconds = time.perf_counter() - start
            found = self._answer(received, number)
            if found is not None:
                return seconds, found
        return None

    def _answer(self, datagram: bytes, number: str) -> Values | None:
        """Return the values of the answer to `number`, if `datagram` is that."""
        with suppress(WireError):
            for message in decode(datagram):
                if message.address == f"{PREFIX}/heartbeat":
                    self.heartbeats.append(message.values)
                elif message.address in (DONE, ERROR) and message.values[1:2] == (number,):
                    if message.address == ERROR:
                        raise RuntimeError(f"{message.values[0]!r} was refused: {message.values[2:]}")
                    return message.values[2:]
        return None


class Child:
    """One of these processes, and what it says, read by a thread.

    Args:
        kind: `probe` or `daw`.
        words: what it is told.
    """

    def __init__(self, kind: str, *words: str) -> None:
        self._program = Program(["-m", "benchmarks.live_clients", kind, str(os.getpid()), *words], reads=True)
        self._reader = threading.Thread(target=self._read, name=kind, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._program.code is None:
            self._program.kill()
        self._reader.join(_END_SECONDS)
        self._program.end()

    @property
    def failed(self) -> str:
        """Why it ended by itself; empty while it runs."""
        return self._program.failed

    def _read(self) -> None:
        for line in self._program.lines():
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        """Take in a line."""
        raise NotImplementedError


class Probe(Child):
    """Commands from another process and how long each took to its `/done`.

    Attributes:
        seconds: by address, round trips in order.
        lost: how many were not answered within a second.
        states: how often each state was told by a heartbeat.
    """

    def __init__(self, port: int, every_seconds: float, commands: Sequence[str] = (f"{PREFIX}/ping",)) -> None:
        """Send `commands` in turn, one every `every_seconds` on average; each an address, or address=number."""
        self.seconds: dict[str, list[float]] = {}
        self.lost = 0
        self.states: dict[str, int] = {}
        super().__init__("probe", str(port), str(every_seconds), *commands)

    def _take(self, told: dict[str, Any]) -> None:
        self.lost += told["lost"]
        for address, seconds in told["seconds"]:
            self.seconds.setdefault(address, []).append(seconds)
        for state in told["states"]:
            self.states[state] = self.states.get(state, 0) + 1


class Daw(Child):
    """A DAW in another process that plays on and on, never the same place twice.

    Attributes:
        sent: by place of the first sample: its end and when it was sent.
    """

    def __init__(self, port: int, seconds: float) -> None:
        """Play for so long."""
        self.sent: list[tuple[int, int, float]] = []
        super().__init__("daw", str(port), str(seconds))

    def _take(self, told: dict[str, Any]) -> None:
        self.sent.extend((first, end, at) for first, end, at in told["sent"])


def long_vocal(seconds: float) -> PlacedVocal:
    """Return the demo vocal, again and again, for at least so long."""
    facts = audio_facts(VOCAL)
    audio = read_stereo(VOCAL, facts.rate_hz)[:1]
    return PlacedVocal(np.tile(audio, (1, int(seconds * facts.rate_hz / audio.shape[1]) + 1)), 0)


class _TellingLink(UdpLink):
    """Sends, and prints when it sent which samples of the vocal."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._sent: list[tuple[int, int, float]] = []
        self._told_seconds = time.perf_counter()

    def send(self, datagram: bytes) -> None:
        """Send `datagram`."""
        now = time.perf_counter()
        super().send(datagram)
        if not datagram.startswith(VOCAL_ADDRESS.encode() + b"\0"):
            return
        _, _, first, _, channels, _, samples = decode(datagram)[0].values
        assert isinstance(first, int)
        assert isinstance(channels, int)
        assert isinstance(samples, bytes)
        self._sent.append((first, first + len(samples) // (4 * channels), now))
        if now - self._told_seconds > TOLD_SECONDS:
            print(json.dumps({"sent": self._sent}), flush=True)
            self._told_seconds = now
            self._sent.clear()


def _daw(parent: int, port: int, seconds: float) -> None:
    """Play the DAW's part until the parent ends."""
    vocal = long_vocal(seconds)
    timeline = Timeline.constant(TEMPO_BPM)
    part = SongPart(timeline, audio_facts(VOCAL).rate_hz, BLOCK_SAMPLES, vocal.end_sample, seconds=seconds)
    link = _TellingLink(port)
    blocks = itertools.takewhile(lambda _: os.getppid() == parent, host_blocks(part))
    try:
        Player(vocal, link, SystemClock()).play(blocks)
    finally:
        link.close()


def _probe(parent: int, port: int, every_seconds: float, commands: Sequence[str]) -> None:
    """Send `commands` in turn until the parent ends, and print what came of them."""
    client, chance = OscClient(port), Random(0)
    due = told = time.perf_counter()
    renewed, results, lost = 0.0, list[tuple[str, float]](), 0
    for command in itertools.cycle(commands):
        if os.getppid() != parent:
            return
        if time.perf_counter() - renewed > LEASE_SECONDS:
            renewed = time.perf_counter()
            client.send(f"{PREFIX}/subscribe", f"{PREFIX}/heartbeat", 10.0)
        address, _, argument = command.partition("=")
        answer = client.request(address, *((float(argument),) if argument else ()))
        if answer is None:
            lost += 1
        else:
            results.append((address, answer[0]))
        now = time.perf_counter()
        if now - told >= TOLD_SECONDS:
            states = [str(values[0]) for values in client.heartbeats]
            print(json.dumps({"seconds": results, "lost": lost, "states": states}), flush=True)
            told, lost = now, 0
            results.clear()
            client.heartbeats.clear()
        due = max(due, now - every_seconds) + every_seconds * chance.uniform(0.5, 1.5)
        time.sleep(max(due - time.perf_counter(), 0.0))


def _busy(parent: int) -> None:
    """Count until the parent ends."""
    while os.getppid() == parent:
        until, number = time.perf_counter() + _PARENT_SECONDS, 0
        while time.perf_counter() < until:
            number += 1


def main(words: Sequence[str]) -> None:
    """Be one of the other processes."""
    kind, parent, *more = words
    with suppress(KeyboardInterrupt, BrokenPipeError):
        if kind == "busy":
            _busy(int(parent))
        elif kind == "probe":
            _probe(int(parent), int(more[0]), float(more[1]), more[2:])
        else:
            _daw(int(parent), int(more[0]), float(more[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
