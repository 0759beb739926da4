"""What the live benchmarks share: a server that is looked at, a DAW, a busy program and an OSC client beside it.

The server runs in the benchmark's own process, as `backline serve` puts it together, on a sound card if there is one.
Everything else runs in processes of its own, as it does on a stage: `backline send` is the DAW, and
`benchmarks.live_clients` keeps a core busy or asks over OSC.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import psutil

from bridge.clock import SystemClock
from bridge.live.quantum import Quantum
from bridge.live.serve import Server
from bridge.live.serve_options import NULL_DEVICE, ServeOptions
from bridge.live.session import LiveSession
from bridge.live.work import Delivery
from bridge.osc.contract import PREFIX
from bridge.osc.method import OscValue
from engine.band import Band

PROJECT: Final = Path(__file__).parents[1]
VOCAL: Final = PROJECT / "presets" / "demo" / "vocal.flac"
TEMPO_BPM: Final = 92.0
BLOCK_SAMPLES: Final = 256
DONE, ERROR = f"{PREFIX}/done", f"{PREFIX}/error"
REPLY_SECONDS: Final = 1.0
_LARGEST_DATAGRAM_BYTES = 65_535
_END_SECONDS = 5.0
_START_SECONDS = 30.0
_PARENT_SECONDS = 0.5

Values = Sequence[OscValue]


class HostShare:
    """How much of the processors' time the host of a virtual machine kept for others since this was made."""

    def __init__(self) -> None:
        """Begin now."""
        self._begun = psutil.cpu_times()

    @property
    def share(self) -> float:
        """In [0, 1]; 0 where the system does not tell."""
        now = psutil.cpu_times()
        passed = sum(now) - sum(self._begun)
        return float((getattr(now, "steal", 0.0) - getattr(self._begun, "steal", 0.0)) / passed) if passed else 0.0

    @property
    def words(self) -> str:
        """The share as a sentence."""
        return f"The machine's host kept {self.share:.1%} of the processors' time for others meanwhile."


class Watched(Server):
    """A server that lets a benchmark see each chunk and each quantum, from the threads that make and play them.

    Args:
        options: as `backline serve` gets them.
        tell: given a line for each thing that was done.
        on_delivery: told of each chunk.
        on_quantum: told of each quantum before it is written, and its song position.
        wrapped: puts something around the band.
    """

    def __init__(
        self,
        options: ServeOptions,
        tell: Callable[[str], None],
        on_delivery: Callable[[Delivery], None] | None = None,
        on_quantum: Callable[[Quantum, float], None] | None = None,
        wrapped: Callable[[Band], Band] | None = None,
    ) -> None:
        super().__init__(options, tell, SystemClock())
        self._on_delivery, self._on_quantum, self._wrapped = on_delivery, on_quantum, wrapped

    def _make_session(self, band: Band) -> LiveSession:
        return super()._make_session(band if self._wrapped is None else self._wrapped(band))

    def _delivered(self, delivery: Delivery) -> None:
        super()._delivered(delivery)
        if self._on_delivery is not None:
            self._on_delivery(delivery)

    def _played(self, quantum: Quantum, place: float) -> None:
        super()._played(quantum, place)
        if self._on_quantum is not None:
            self._on_quantum(quantum, place)


def serve_options(device: str, **more: object) -> ServeOptions:
    """Return what the benchmarks serve with: the factory bundle, a free port, the DAW's block, a take in a folder."""
    return ServeOptions(device=device, port=0, block_samples=BLOCK_SAMPLES, **more)  # type: ignore[arg-type]


@contextmanager
def sound_device(kind: str) -> Iterator[str]:
    """Yield the name of a sound card: a null sink of a private PulseAudio for `pulse`, none at all for `null`.

    Raises:
        SystemExit: PulseAudio is wanted and not there.
    """
    if kind == "null":
        yield NULL_DEVICE
        return
    from tests.pulse_support import OUTPUT_NAME, missing_for_pulse, private_pulse

    if missing := missing_for_pulse():
        raise SystemExit(f"--device pulse needs {missing}; install it, or give --device null")
    with private_pulse():
        yield OUTPUT_NAME


@contextmanager
def takes_aside() -> Iterator[Path]:
    """Let the takes of this process go to a folder that is gone afterwards."""
    before = os.environ.get("XDG_DATA_HOME")
    with tempfile.TemporaryDirectory(prefix="backline-benchmark-") as folder:
        os.environ["XDG_DATA_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["XDG_DATA_HOME"]
            else:
                os.environ["XDG_DATA_HOME"] = before


def end_on_sigterm() -> None:
    """Let a polite request to end be what Ctrl-C is, so that the other processes end too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def say(words: str) -> None:
    """Print at once."""
    print(words, flush=True)


class Running(Protocol):
    """Another process, as far as it matters whether it runs."""

    @property
    def failed(self) -> str:
        """Why it ended by itself; empty while it runs."""


def until_moving(server: Server, daw: Running) -> None:
    """Wait until the song moves.

    Raises:
        RuntimeError: it does not, within half a minute.
    """
    until = time.perf_counter() + _START_SECONDS
    while not server.session.host.now_view(time.perf_counter(), builds=False).moving:
        if daw.failed or time.perf_counter() > until:
            raise RuntimeError(f"the DAW does not start to play: {daw.failed or 'nothing came within half a minute'}")
        time.sleep(0.01)


def settings_words(server: Server) -> str:
    """Return what the server plays with, in words."""
    chosen, facts = server.settings, server.session.out.facts()
    return (
        f"{chosen.speed.way}, {chosen.speed.threads} thread(s), chunks of {chosen.chunk_frames} frames; "
        f"{facts.name} at {facts.rate_hz} Hz, blocks of {facts.block_samples}"
    )


class Program:
    """Another process of this project, ended with the `with` at the latest."""

    def __init__(self, words: Sequence[str], reads: bool = False) -> None:
        """Start Python with `words`; with `reads`, its output can be read from `lines`."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, *words],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    @property
    def failed(self) -> str:
        """Why it ended by itself; empty while it runs."""
        return "" if self.code is None else self.words() or f"code {self.code}"

    def lines(self) -> Iterator[str]:
        """Yield what it prints, line by line, until it ends."""
        assert self._process.stdout is not None
        yield from self._process.stdout

    def words(self) -> str:
        """Return the end of what it said went wrong."""
        self._errors.seek(0)
        return self._errors.read()[-2_000:].decode("utf-8", "replace").strip()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ask it to end, and make it if it does not."""
        if self._errors.closed:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


def start_sender(
    port: int, most_seconds: float, *more: str, from_beat: float = 0.0, tempo: Sequence[str] = ()
) -> Program:
    """Start the DAW's part: the demo vocal, over and over, in blocks of 256, for at most so long."""
    tempos = tempo or ("--tempo", f"{TEMPO_BPM:g}")
    words = ["send", str(VOCAL), *tempos, "--block", str(BLOCK_SAMPLES), "--from-beat", f"{from_beat:g}"]
    words += ["--to", f"127.0.0.1:{port}", "--repeat", "--seconds", f"{most_seconds:g}", *more]
    return Program(["-c", "import sys; from bridge.cli import main; sys.exit(main())", *words])


def start_busy() -> Program:
    """Start a program that keeps one core busy, at normal priority."""
    return Program(["-m", "benchmarks.live_clients", "busy", str(os.getpid())])


def quantiles_ms(seconds: Sequence[float], shares: Sequence[float] = (0.5, 0.95, 0.99, 1.0)) -> tuple[float, ...]:
    """Return the quantiles in milliseconds, 1.0 for the largest; NaN of nothing."""
    if not len(seconds):
        return tuple(float("nan") for _ in shares)
    return tuple(float(1e3 * value) for value in np.quantile(np.asarray(seconds), shares))


def slope_an_hour(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return how much `values` rise in an hour, by least squares, and its standard error; NaN of fewer than four."""
    if len(seconds) < 4:
        return float("nan"), float("nan")
    (slope, _), covariance = np.polyfit(np.asarray(seconds) / 3600.0, np.asarray(values), 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0]))
