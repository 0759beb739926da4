"""A private PulseAudio daemon with a null sink, and PortAudio made to see it: a sound card for tests.

Nothing of the user's is touched: the daemon has its own runtime folder, home and socket, and ALSA gets its own
configuration. PortAudio reads that when it starts, so it is started anew on the way in and on the way out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from bridge.sound import portaudio

OUTPUT_NAME = "backline_test_out"
LOOPBACK_NAME = "backline_test_loopback"
_SINK = "backline_test"
_START_SECONDS = 5.0
_ALSA = """\
</usr/share/alsa/alsa.conf>
pcm.{output} {{
  type pulse
  server "unix:{socket}"
  device "{sink}"
  handle_underrun 1
  hint {{ show on description "{output}" }}
}}
pcm.{loopback} {{
  type pulse
  server "unix:{socket}"
  device "{sink}.monitor"
  hint {{ show on description "{loopback}" }}
}}
"""


def missing_for_pulse() -> str:
    """Return what a private PulseAudio needs and is not here, or nothing."""
    missing = [program for program in ("pulseaudio", "pactl", "parec") if shutil.which(program) is None]
    if find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    return ", ".join(missing)


in_real_time = pytest.mark.flaky(reruns=4)
"""For tests by the machine's own time: where its host stands still for a moment they are run again, a few times."""
needs_pulse = pytest.mark.skipif(bool(missing_for_pulse()), reason=f"not installed: {missing_for_pulse()}")


class PrivatePulse:
    """A PulseAudio daemon of its own with one null sink, whose monitor is the loop-back.

    A reader of the monitor with a short latency is always on: without one a null sink that idles renders two seconds
    ahead, and whatever plays next starts after those.

    Args:
        rate_hz: the sink's sample rate.
    """

    def __init__(self, rate_hz: int = 44_100) -> None:
        self.rate_hz = rate_hz
        self.folder = Path(tempfile.mkdtemp(prefix="backline-pulse-"))
        self.socket = self.folder / "native"
        self.log = self.folder / "pulse.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._reader: subprocess.Popen[bytes] | None = None
        self._environment_before: dict[str, str | None] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a program must see to reach this daemon and no other."""
        return {
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
            "PULSE_RUNTIME_PATH": str(self.folder / "runtime"),
            "PULSE_STATE_PATH": str(self.folder / "state"),
            "PULSE_SERVER": f"unix:{self.socket}",
            "PULSE_COOKIE": str(self.folder / "cookie"),
            "ALSA_CONFIG_PATH": str(self.folder / "asound.conf"),
        }

    def __enter__(self) -> Self:
        (self.folder / "asound.conf").write_text(
            _ALSA.format(output=OUTPUT_NAME, loopback=LOOPBACK_NAME, socket=self.socket, sink=_SINK), encoding="utf-8"
        )
        self._environment_before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            self.start()
            portaudio.list_devices(anew=True)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for name, value in self._environment_before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        portaudio.list_devices(anew=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the daemon and wait until it answers and its monitor is read."""
        modules = (
            f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}",
            f"module-null-sink sink_name={_SINK} rate={self.rate_hz} channels=2",
        )
        options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        options += ["--realtime=yes", "--high-priority=yes", "--log-target=stderr"]
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                ["pulseaudio", *options, *(word for module in modules for word in ("-L", module))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > until or self._daemon.poll() is not None:
                raise RuntimeError(
                    f"PulseAudio does not start: {self.log.read_text(encoding='utf-8', errors='replace')}"
                )
            time.sleep(0.02)
        # A null sink renders two seconds ahead at once, unless someone who wants less is there when it starts.
        self._control("suspend-sink", _SINK, "1")
        self._reader = self.recorder(latency_msec=5, into=subprocess.DEVNULL)
        while b"parec" not in self._control("list", "source-outputs"):
            if time.monotonic() > until:
                raise RuntimeError("parec does not read the monitor of the private PulseAudio")
            time.sleep(0.02)
        self._control("suspend-sink", _SINK, "0")

    def _control(self, *words: str) -> bytes:
        """Return what `pactl` answers."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(["pactl", *words], env=environment, capture_output=True, check=False).stdout

    def _answers(self) -> bool:
        return _SINK.encode() in self._control("list", "short", "sinks")

    def recorder(self, latency_msec: int, into: int) -> subprocess.Popen[bytes]:
        """Start `parec` on the monitor: raw float32 stereo at the sink's rate, to `into` (a descriptor or PIPE)."""
        return subprocess.Popen(
            [
                "parec",
                f"--device={_SINK}.monitor",
                "--format=float32le",
                f"--rate={self.rate_hz}",
                "--channels=2",
                f"--latency-msec={latency_msec}",
                "--raw",
            ],
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )

    def kill(self) -> None:
        """Kill the daemon, as when a card is unplugged."""
        for process in (self._reader, self._daemon):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self._reader = self._daemon = None
        self.socket.unlink(missing_ok=True)

    def hang(self) -> None:
        """Let the daemon stand still, as when a driver hangs."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a daemon that stands still go on."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGCONT)


@contextmanager
def private_pulse(rate_hz: int = 44_100) -> Iterator[PrivatePulse]:
    """A private PulseAudio for the length of a `with`."""
    with PrivatePulse(rate_hz) as pulse:
        yield pulse
