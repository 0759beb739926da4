"""A whole Backline in the test's process - OSC service, handlers, session - and real programs that drive it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.click_band import ClickBand
from bridge.clock import SystemClock
from bridge.live.commands import Commands
from bridge.live.controls import Controls
from bridge.live.reporting import Reporter
from bridge.live.session import LiveSession
from bridge.live.take_store import take_names
from bridge.live.work import Delivery, Shape
from bridge.osc.calls import CommandError
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from bridge.osc.service import OscService
from bridge.sound.null import NullOutput
from engine.wish import Wish

CLIENTS = Path(__file__).parent / "clients"
TEMPLATES = Path(__file__).parents[1] / "presets" / "daw"

PATIENCE_SECONDS = 25.0
"""For what takes a second on an idle machine: tests wait for what they want to see, and no longer."""

Array = NDArray[np.float32]

_POLL_SECONDS = 0.01
_METER_SECONDS = 0.05
_METERS_A_HEARTBEAT = 20
_SHAPE = Shape(8, 48)
_NO_BUNDLE = "0" * 64


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where one of `programs` is not installed."""
    missing = ", ".join(program for program in programs if shutil.which(program) is None)
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


def free_udp_port() -> int:
    """Return a UDP port that nothing holds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for `condition`, and fail with `what` where it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL_SECONDS)


class _TakesOnDisk:
    """The names of the user's takes; a click band's cannot be rendered."""

    def names(self) -> Sequence[str]:
        return tuple(reversed(take_names()))

    def bounce(self, name: str) -> str:
        raise CommandError("unknown_take", f"take {name!r} is not known; ask {PREFIX}/take/list for the names")


class HeardBand(ClickBand):
    """A click band that keeps what was sung.

    Attributes:
        runs: (song sample, audio (2, n), continues) of each run, in order.
    """

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.runs: list[tuple[int, Array, bool]] = []

    def hear(self, song_sample: int, audio: Array, continues: bool) -> None:
        super().hear(song_sample, audio, continues)
        self.runs.append((song_sample, audio.copy(), continues))

    def sung(self, start: int, length: int) -> Array:
        """Return (2, length) from song sample `start` on, NaN where nothing was sung."""
        whole = np.full((2, length), np.nan, np.float32)
        for song_sample, audio, _ in self.runs:
            first, last = max(song_sample, start), min(song_sample + audio.shape[1], start + length)
            if first < last:
                whole[:, first - start : last - start] = audio[:, first - song_sample : last - song_sample]
        return whole


class Backline:
    """What `backline serve` composes, on free ports, without a model and without a sound card."""

    def __init__(self, tcp: bool = False) -> None:
        self.clock = SystemClock()
        self.band = HeardBand()
        self.session = LiveSession(
            self.clock, NullOutput(self.clock), self.band, Controls(Wish()), _SHAPE, 0.05, self._delivered
        )
        session = self.session
        self.commands = Commands(
            session.host, session.vocal, session.generator, session.player, _TakesOnDisk(), self._publish
        )
        self.service = OscService(self.clock, self.commands.handlers(), port=0, tcp_port=0 if tcp else None)
        self.reporter = Reporter(session, "cpu", _NO_BUNDLE, str)
        self.events: list[str] = []
        self._stopping = threading.Event()
        self._reports = threading.Thread(target=self._report, name="report", daemon=True)

    def __enter__(self) -> Self:
        self.commands.publish_all()
        self.session.start()
        self.service.start()
        self._reports.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._reports.join()
        self.service.stop()
        self.session.stop()
        if kind is None:
            assert self.service.last_failure == ""
            assert not [words for _, words in self.session.events if words.startswith("trouble")]

    @property
    def port(self) -> int:
        return self.service.port

    @property
    def controls(self) -> Controls:
        return self.session.generator.controls

    def gain_db(self, stem: str) -> float:
        return self.session.player.desk.channel(stem).gain_db

    @property
    def bpm(self) -> float:
        return self.session.host.now_view(self.clock.now()).bpm

    @property
    def state(self) -> str:
        return self.session.host.now_view(self.clock.now()).state

    @property
    def beat(self) -> float:
        now = self.clock.now()
        return self.session.host.now_view(now).beat_at(now)

    def _publish(self, address: str, values: Sequence[OscValue]) -> None:
        self.service.publish(address, tuple(values))

    def _delivered(self, delivery: Delivery) -> None:
        for values in self.reporter.plan(delivery):
            self.service.send_event(f"{PREFIX}/plan", values)

    def _report(self) -> None:
        turn = 0
        while not self._stopping.wait(_METER_SECONDS):
            status = self.reporter.status("osc")
            self.reporter.publish_meters(status, self._publish)
            if turn % _METERS_A_HEARTBEAT == 0:
                self._publish(f"{PREFIX}/heartbeat", self.reporter.heartbeat(status))
            turn += 1
            self.events += [event.words for event in self.session.host.events()]


class Program:
    """A running program whose lines are read as they come; ended, with its children, on the way out.

    Attributes:
        lines: what it has written so far.
    """

    def __init__(self, *command: str | Path, environment: Mapping[str, str] | None = None, dropped: str = "") -> None:
        """Start `command`, with `environment` beside the test's own; `dropped` is left out of its lines."""
        self.lines: list[str] = []
        self._dropped = dropped
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def expect(self, *patterns: str, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """Wait until each regular expression has matched a line somewhere; return the first line each did."""
        found: dict[str, str] = {}
        deadline = time.monotonic() + seconds
        while True:
            over = self._process.poll() is not None and not self._reader.is_alive()
            for pattern in patterns:
                line = next((line for line in list(self.lines) if re.search(pattern, line)), None)
                if line is not None:
                    found.setdefault(pattern, line)
            missing = [pattern for pattern in patterns if pattern not in found]
            if not missing:
                return [found[pattern] for pattern in patterns]
            assert not over, f"{self._name} ended without {missing}; it wrote:\n{self.text}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {missing}; {self._name} wrote:\n{self.text}"
            time.sleep(_POLL_SECONDS)

    def finish(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait for its end, see that it was a good one, and return all that it wrote."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._name} did not end within {seconds:g} s; it wrote:\n{self.text}") from None
        self._reader.join()
        assert code == 0, f"{self._name} ended with {code}; it wrote:\n{self.text}"
        return self.text

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def _name(self) -> str:
        return Path(str(self._process.args[0])).name  # type: ignore[index]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n").replace(self._dropped, "") if self._dropped else line.rstrip("\n"))
