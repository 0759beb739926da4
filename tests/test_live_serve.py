"""`backline serve` itself: its options, and the whole server as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from pedalboard.io import AudioFile

from bridge.cli import main
from bridge.errors import UserError
from bridge.live import serve as serve_module
from bridge.live.serve_command import _address
from bridge.live.settings import LiveSettings, Speed, Way, settings_for
from bridge.osc.wire import decode, encode
from tests.live_support import factory_model

RUN = "import sys; from bridge.cli import main; sys.exit(main())"
QUICK = ("--device", "null", "--headless", "--no-take", "--steps", "1", "--guidance", "1", "--threads", "1")
READY_SECONDS, END_SECONDS = 60.0, 20.0


# Options


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9140", ("127.0.0.1", 9140)),
        ("127.0.0.1", ("127.0.0.1", 9140)),
        (":9000", ("127.0.0.1", 9000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9141", ("::1", 9141)),
        ("::1", ("::1", 9140)),
    ],
)
def test_an_address_may_come_with_or_without_its_port(text: str, address: tuple[str, int]) -> None:
    assert _address(text) == address


@pytest.mark.parametrize("text", ["127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "[::1]:1.5"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="the port is a number"):
        _address(text)


def test_an_address_in_brackets_may_come_without_a_port() -> None:
    assert _address("[::1]") == ("::1", 9140)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--chunk", "6"), "multiple of 4"),
        (("--chunk", "128"), "64"),
        (("--listen", "127.0.0.1:99999"), "the port is a number"),
        (("--steps", "0"), "steps"),
        (("--preset", "no-such-preset"), "no-such-preset"),
        (("--ring", "5"), "ring"),
        (("--device-latency", "1"), "device-latency"),
        (("--bundle", "no/such/folder"), "no/such/folder"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *QUICK, *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the loading and measuring out."""
    chosen = settings_for(Speed(Way(1, 1.0, 64), 1, 0.05, 0.05), 0.09)

    def options(*_: object, **__: object) -> Iterator[LiveSettings]:
        yield chosen

    monkeypatch.setattr(serve_module, "load_models", lambda *_: [(1, factory_model())])
    monkeypatch.setattr(serve_module, "measured_options", options)


@pytest.mark.usefixtures("measured")
def test_a_port_that_is_taken_is_told_and_nothing_is_left_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        words = ["--listen", f"127.0.0.1:{port}", "--output", str(tmp_path / "out.wav")]
        assert main(["serve", *QUICK, *words]) == 2
    assert f"UDP port {port}" in capsys.readouterr().err
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("player", "generator", "report")]


@pytest.mark.usefixtures("measured")
def test_an_output_that_is_there_already_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"mine")
    assert main(["serve", *QUICK, "--listen", "127.0.0.1:0", "--output", str(path)]) == 2
    assert "out.wav" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert main(["serve", *QUICK, "--listen", "127.0.0.1:0", "--output", str(tmp_path / "out.mp3")]) == 2
    assert "call it out.wav" in capsys.readouterr().err


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("words", [("--listen", "nowhere:9140"), ("--allow", "neighbour"), ("--listen", "0.0.0.0:0")])
def test_addresses_that_are_none_are_refused_in_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *QUICK, "--seconds", "0", *words]) == 2
    assert words[1].split(":")[0] in capsys.readouterr().err


@pytest.mark.usefixtures("measured")
def test_it_serves_for_as_long_as_it_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--listen", "127.0.0.1:0", "--wait", "--seconds", "0.3", "--output", str(tmp_path / "out.wav")]
    assert main(["serve", *QUICK, *words]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ready: OSC on 127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert re.search(r"^chunks: 0 on time, 0 late; played: \d\.\d s resting", said, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


# The whole, as a process of its own


class Process:
    """`backline serve` as the shell starts it; its lines are read as they come."""

    def __init__(self, home: Path, *words: str) -> None:
        home.mkdir()
        environment = os.environ | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "OMP_NUM_THREADS": "1"}
        environment.pop("BACKLINE_BUNDLE", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, "serve", "--listen", "127.0.0.1:0", *QUICK, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)  # as they come

    def port(self) -> int:
        """Return the port that it says it listens on, when it is ready."""
        end_seconds = time.monotonic() + READY_SECONDS
        while time.monotonic() < end_seconds and self.process.poll() is None:
            for line in tuple(self.lines):
                if found := re.match(r"ready: OSC on 127\.0\.0\.1:(\d+)$", line):
                    return int(found.group(1))
            time.sleep(0.02)
        raise AssertionError(f"it is not ready: {''.join(self.lines)}")

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit code and what it said."""
        code = self.process.wait(END_SECONDS)
        self._reader.join(5.0)
        return code, "".join(self.lines)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5.0)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.mark.slow
def test_the_server_answers_plays_and_ends_by_itself_with_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    with Process(tmp_path / "home", "--seconds", "3", "--output", str(path)) as server:
        port = server.port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5.0)
            client.connect(("127.0.0.1", port))
            client.send(encode("/backline/ping", ("#1",)))
            (answer,) = decode(client.recv(65_536))
            assert (answer.address, tuple(answer.values)) == ("/backline/done", ("/backline/ping", "#1"))
            client.send(encode("/backline/play", ()))
            assert client.recv(65_536)
        code, said = server.end()
    assert code == 0, said
    assert "chunks: " in said
    assert "Traceback" not in said
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["heard.wav", "home"]
    assert not (tmp_path / "home" / "data").exists(), "no take is kept"
    with AudioFile(str(path)) as file:
        assert (file.samplerate, file.num_channels) == (44_100, 2)
        assert 2.0 < file.frames / 44_100 < 6.0
        audio = file.read(file.frames)
    assert np.isfinite(audio).all()
    assert 1e-3 < np.abs(audio).max() <= 1.0
    assert not audio[:, :64].any(), "nothing sounds before the host plays"


@pytest.mark.slow
def test_an_interrupt_or_a_request_to_end_ends_it_cleanly(tmp_path: Path) -> None:
    paths = {number: tmp_path / f"{number}.wav" for number in (signal.SIGTERM, signal.SIGINT)}
    with (
        Process(tmp_path / "one", "--output", str(paths[signal.SIGTERM])) as one,
        Process(tmp_path / "two", "--output", str(paths[signal.SIGINT])) as two,
    ):
        for server, number in ((one, signal.SIGTERM), (two, signal.SIGINT)):
            server.port()
            server.process.send_signal(number)
        for server, number in ((one, signal.SIGTERM), (two, signal.SIGINT)):
            code, said = server.end()
            assert code == 0, said
            assert "ending" in said
            assert "Traceback" not in said
            with AudioFile(str(paths[number])) as file:
                assert file.num_channels == 2
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == ["", "", ".wav", ".wav"]
