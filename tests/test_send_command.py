"""`backline send` as a user types it, against a real UDP port, much faster than it sounds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from pedalboard.io import AudioFile
from typer.testing import CliRunner, Result

from bridge.clock import ManualClock
from bridge.errors import UserError
from bridge.hearing.packets import VocalPacket
from bridge.hearing.vocal_buffer import VocalBuffer
from bridge.osc.wire import Message, decode, encode
from bridge.send.command import in_one_line, send
from bridge.send.player import SendReport
from bridge.transport.snapshot import TransportSnapshot
from engine.timeline import Timeline

RATE_HZ = 48_000


@pytest.fixture
def vocal(tmp_path: Path) -> Path:
    """A second and a half of noise, mono, 24 bit."""
    path = tmp_path / "vocal.wav"
    noise = np.random.default_rng(4).uniform(-0.5, 0.5, (1, RATE_HZ * 3 // 2)).astype(np.float32)
    with AudioFile(str(path), "w", samplerate=RATE_HZ, num_channels=1, bit_depth=24) as file:
        file.write(noise)
    return path


class _Listener:
    """A UDP port that keeps what comes and answers each vocal's hundredth packet with an error."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        while True:
            data, sender = self.socket.recvfrom(65_535)
            if data == b"end":
                return
            (message,) = decode(data)
            self.messages.append(message)
            if message.address.endswith("vocal") and message.values[1] == 100:
                self.socket.sendto(encode("/backline/error", (message.address, "busy", "later")), sender)

    def of(self, name: str) -> list[Message]:
        return [message for message in self.messages if message.address == f"/backline/{name}"]


@contextmanager
def _listening() -> Iterator[_Listener]:
    listener = _Listener()
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        yield listener
    finally:
        listener.socket.sendto(b"end", listener.socket.getsockname())
        thread.join()
        listener.socket.close()


def _send(*words: str) -> Result:
    app = typer.Typer()
    app.command()(send)
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_vocal_arrives_whole_and_in_its_place(vocal: Path) -> None:
    with _listening() as listener:
        result = _send(str(vocal), "--tempo", "90", "--to", listener.address, "--speed", "5", "--first-beat", "0.25")
    assert result.exit_code == 0
    snapshots, packets = listener.of("transport"), listener.of("vocal")
    assert snapshots[0].values[:7] == (1, 0, RATE_HZ, 0.0, 90.0, 4, 4)
    assert snapshots[-1].values[0] == 0
    assert [message.values[-1] for message in snapshots] == list(range(len(snapshots)))
    buffer = VocalBuffer(ManualClock())
    for i, message in enumerate(packets):
        buffer.push(VocalPacket.from_pcm(*message.values), i * 512 / RATE_HZ)  # type: ignore[arg-type]
    (run,) = buffer.take(100.0)
    assert (run.song_sample, run.missing_samples) == (0, 0)
    blocks = -(-RATE_HZ * 5 // 4 // 512)
    assert abs(run.audio.shape[1] - blocks * 512 * 0.91875) <= 1
    assert f"{len(packets)} vocal packets" in result.output
    assert "1 x busy: later" in result.output


def test_what_the_network_did_is_said(vocal: Path) -> None:
    with _listening() as listener:
        words = ("--loss", "20", "--reorder", "10", "--duplicate", "10", "--seed", "3", "--speed", "20")
        result = _send(str(vocal), "--tempo", "120", "--to", listener.address, "--rate", "44100", *words)
    buffer = VocalBuffer(ManualClock())
    for i, message in enumerate(listener.of("vocal")):
        buffer.push(VocalPacket.from_pcm(*message.values), i * 0.001)  # type: ignore[arg-type]
    assert buffer.stats.lost_packets > 5
    assert buffer.stats.duplicate > 2
    assert buffer.stats.reordered > 2
    assert "the bad network lost" in result.output


def test_a_loop_is_sent_as_one(vocal: Path) -> None:
    with _listening() as listener:
        words = ("--loop", "1:2", "--seconds", "2", "--speed", "20", "--time-signature", "3/4")
        assert _send(str(vocal), "--tempo", "120", "--to", listener.address, *words).exit_code == 0
    places = [(m.values[2], m.values[2] + len(m.values[6]) // 4) for m in listener.of("vocal")]  # type: ignore[operator,arg-type]
    assert max(end for _, end in places) == RATE_HZ
    assert sum(start == RATE_HZ // 2 for start, _ in places) >= 2
    assert listener.of("transport")[5].values[5:10] == (3, 4, 1, 1.0, 2.0)


def test_nobody_listening_is_said(vocal: Path) -> None:
    with _listening() as listener:
        address = listener.address
    result = _send(str(vocal), "--tempo", "90", "--to", address, "--speed", "20")
    assert result.exit_code == 0
    assert f"nobody listens at {address}" in result.output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "no tempo is given"),
        (("--tempo", "9"), "tempo 9 bpm is out of range"),
        (("--tempo", "90", "--tempo-map", "x.mid"), "leave one of them out"),
        (("--tempo", "90", "--time-signature", "4"), "write it as 4/4"),
        (("--tempo", "90", "--time-signature", "4/3"), "time signature 4/3"),
        (("--tempo", "90", "--loop", "4"), "write two beats"),
        (("--tempo", "90", "--loop", "4:2"), "is empty"),
        (("--tempo", "90", "--from-beat", "400"), "the vocal ends at beat 2.25"),
        (("--tempo", "90", "--seconds", "0"), "nothing to play"),
        (("--tempo", "90", "--speed", "0"), "--speed 0"),
        (("--tempo", "90", "--to", "nowhere:x"), "write it as 127.0.0.1:9140"),
        (("--tempo", "90", "--first-beat", "nan"), "--first-beat"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(vocal: Path, words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        _send(str(vocal), *words)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_vocal_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.wav: no such file"):
        _send(str(tmp_path / "no.wav"), "--tempo", "90")


def test_progress_is_one_line() -> None:
    position = TransportSnapshot(True, 0, 48_000, 9.5, 120.0, 4, 4, False, 0.0, 0.0, 0)
    line = in_one_line(SendReport(host_seconds=61.2, packets=77, position=position), Timeline.constant(120.0))
    assert line == "1:01  bar 3, beat 2.5  77 vocal packets"
    assert in_one_line(SendReport(), Timeline.constant(120.0)).startswith("0:00  before the first block")
