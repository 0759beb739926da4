"""Where the sound lies against the host's grid in real time: `python -m benchmarks.live_grid` (a minute and a half).

A live session plays a click on each beat through PortAudio and ALSA into a private PulseAudio's null sink, whose
monitor is recorded. The host is another process that sends its transport over UDP once a block, so its messages are as
late as messages are. Each recorded click is compared with the host's own beat, by the machine's monotonic clock.

The monitor of a null sink hands a sound over when it is mixed, up to one of the sink's blocks before its play time. How
much that is, is measured independently of any host, with impulses through the same output and input, and printed; what
decides is the raw number.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.click_band import ClickBand
from benchmarks.grid import HEARD, Beat, beats_in
from bridge.clock import SystemClock
from bridge.live.commands import Commands
from bridge.live.controls import Controls
from bridge.live.session import LiveSession
from bridge.live.work import Shape
from bridge.osc.calls import Call, CommandError
from bridge.osc.method import OscValue
from bridge.osc.service import OscService
from bridge.send.messages import TRANSPORT_ADDRESS, transport_datagram
from bridge.sound.device import DeviceOutput
from bridge.sound.input import DeviceInput, InputBlock
from bridge.sound.measure import measure_latency
from bridge.transport.simulation import HostScript, HostSimulator, ScriptAction, ScriptTempo
from engine.wish import Wish
from tests.pulse_support import LOOPBACK_NAME, OUTPUT_NAME, private_pulse

Doubles = NDArray[np.float64]

_ROOT = Path(__file__).parents[1]

LARGEST_ERROR_SECONDS = 0.005
LARGEST_JITTER_SECONDS = 0.001
NEAR_SECONDS = 0.1  # a click this far from a beat is another one's
REACTION_SECONDS = 1.0  # after a start or a locate, what is not ready yet may be missing
LEAD_SECONDS = 6.0  # until the host begins: both processes are up by then, and the card's clock is known
TAIL_SECONDS = 0.5
MAKING_SECONDS = 0.1
READ_SECONDS = 0.02
BLOCK_SAMPLES = 512
RING_SECONDS = 0.1
DEVICE_LATENCY_SECONDS = 0.05
SECTIONS = ("120", "150", "150 -> 100", "3/4 at 100", "7/8 at 100", "locate: 132", "loop of 2 bars")


def minute() -> HostScript:
    """Return a minute with a tempo step, a ramp, 3/4, 7/8, a locate and a loop, at the host's 48 kHz."""
    tempos = (
        ScriptTempo(0, 120),
        ScriptTempo(24, 150),
        ScriptTempo(48, 150, ramp=True),
        ScriptTempo(64, 100),
        ScriptTempo(96, 132),
    )
    signatures = ((0.0, 4, 4), (64.0, 3, 4), (76.0, 7, 8), (90.0, 4, 4))
    actions = (
        ScriptAction(0.5, "play"),
        ScriptAction(45.0, "locate", 96.0),
        ScriptAction(52.0, "loop", 112.0, 120.0),
        ScriptAction(64.0, "stop"),
    )
    return HostScript(tempos, signatures, actions, rate_hz=48_000, block_samples=512)


def few_seconds() -> HostScript:
    """Return six seconds at one tempo, for a test."""
    return HostScript((ScriptTempo(0, 240),), actions=(ScriptAction(0.2, "play"),), rate_hz=48_000, block_samples=512)


SCRIPTS: Final = {"minute": (minute, 64.0), "few_seconds": (few_seconds, 4.5)}


@dataclass(frozen=True, slots=True)
class SectionResult:
    """What came out of one section of the script.

    Attributes:
        name: which.
        beats: the host's beats in it.
        missing: those without a click, but for the first second after a start or locate.
        errors_seconds: (clicks,) how late each was.
    """

    name: str
    beats: int
    missing: int
    errors_seconds: Doubles

    @property
    def jitter_seconds(self) -> float:
        """Standard deviation of the errors from their median."""
        return float(np.sqrt(np.mean(self.deviations**2)))

    @property
    def deviations(self) -> Doubles:
        """(clicks,) how far each error is from their median."""
        return np.abs(self.errors_seconds - np.median(self.errors_seconds))

    @property
    def passed(self) -> bool:
        """Whether all clicks are there, near enough, and steady."""
        near = len(self.errors_seconds) > 0 and np.abs(self.errors_seconds).max() < LARGEST_ERROR_SECONDS
        return self.missing == 0 and bool(near) and self.jitter_seconds < LARGEST_JITTER_SECONDS


@dataclass(frozen=True, slots=True)
class LiveGridResult:
    """What came out.

    Attributes:
        sections: each section's.
        extra: clicks that belong to no beat.
        late_seconds: how long after the start of its block each of the host's messages arrived.
        underruns: of the output.
        overruns: of the recording; both spoil a measurement.
        monitor_seconds: how much later than promised impulses were recorded without a host; None if not measured.
    """

    sections: tuple[SectionResult, ...]
    extra: int
    late_seconds: Doubles
    underruns: int
    overruns: int
    monitor_seconds: float | None

    @property
    def passed(self) -> bool:
        """Whether every section is within the limits and nothing plays that should not."""
        return self.extra == 0 and all(section.passed for section in self.sections)


def section_of(beat: Beat) -> str:
    """Return the section of `minute` that a beat belongs to."""
    if beat.seconds >= 52.0 and beat.beat >= 112:
        return SECTIONS[6]
    if beat.seconds >= 45.0:
        return SECTIONS[5]
    starts = (0, 24, 48, 64, 76)
    return SECTIONS[int(np.searchsorted(starts, beat.beat, side="right")) - 1]


def hosts_beats(script: HostScript, seconds: float) -> list[Beat]:
    """Return the host's beats within `seconds` after its start, each with its time after the start."""
    host = HostSimulator(script)
    found: list[Beat] = []
    for block in host.blocks(round(seconds * script.rate_hz / script.block_samples)):
        found += beats_in(host, block.snapshot, block.seconds)
    return found


def click_seconds(blocks: Sequence[InputBlock]) -> Doubles:
    """Return when each click of a recording was captured, by the clock."""
    times = np.concatenate(
        [block.captured_seconds + np.arange(block.audio.shape[1]) / block.rate_hz for block in blocks]
    )
    level = np.concatenate([np.abs(block.audio).max(axis=0) for block in blocks])
    above = np.flatnonzero(level > HEARD)
    groups = np.split(above, np.flatnonzero(np.diff(above) > 64) + 1) if len(above) else []
    return np.array([times[group[level[group].argmax()]] for group in groups], dtype=np.float64)


def compared(
    beats: Sequence[Beat], clicks: Doubles, jumps: Sequence[float], names: Sequence[str] = SECTIONS
) -> tuple[tuple[SectionResult, ...], int]:
    """Return each section's result, and the number of clicks that belong to no beat.

    Args:
        beats: the host's.
        clicks: when clicks were heard, on the beats' clock.
        jumps: when the host started or located.
        names: the sections, in order; with one name, all beats belong to it.
    """
    errors: dict[str, list[float]] = {name: [] for name in names}
    counts, missing = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    used: set[int] = set()
    for beat in beats:
        name = section_of(beat) if len(names) > 1 else names[0]
        counts[name] += 1
        near = int(np.abs(clicks - beat.seconds).argmin()) if len(clicks) else -1
        if near >= 0 and near not in used and abs(clicks[near] - beat.seconds) < NEAR_SECONDS:
            used.add(near)
            errors[name].append(float(clicks[near] - beat.seconds))
        elif not _just_after(beat.seconds, jumps):
            missing[name] += 1
    sections = tuple(SectionResult(name, counts[name], missing[name], np.array(errors[name])) for name in names)
    others = [float(click) for number, click in enumerate(clicks) if number not in used]
    return sections, sum(not _just_after(click, jumps) for click in others)


def _just_after(seconds: float, jumps: Sequence[float]) -> bool:
    """Return whether a time is so near after a start or a locate that what was on its way before is still heard."""
    return any(0.0 <= seconds - jump < REACTION_SECONDS for jump in jumps)


def send(name: str, port: int, start_seconds: float) -> None:
    """Be the host: send a snapshot over UDP at the start of each block of the script called `name`."""
    clock = SystemClock()
    make_script, seconds = SCRIPTS[name]
    script = make_script()
    blocks = round(seconds * script.rate_hz / script.block_samples)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for block in HostSimulator(script, start_seconds).blocks(blocks):
            clock.sleep(block.seconds - clock.now())
            sender.sendto(transport_datagram(block.snapshot), ("127.0.0.1", port))


@dataclass(frozen=True, slots=True)
class Played:
    """What was played and heard.

    Attributes:
        beats: the host's, in seconds after its start.
        clicks: when clicks were heard, by the same.
        late_seconds: how long after the start of its block each of the host's messages arrived.
        underruns: of the output meanwhile.
        overruns: of the recording.
        words: what the session told.
    """

    beats: list[Beat]
    clicks: Doubles
    late_seconds: Doubles
    underruns: int
    overruns: int
    words: tuple[str, ...]


class NoTakes:
    """A session without takes."""

    def names(self) -> Sequence[str]:
        """Return none."""
        return ()

    def bounce(self, name: str) -> str:
        """Refuse."""
        raise CommandError("unknown_take", f"there is no take {name!r}; this session keeps none")


def play(name: str, output: DeviceOutput, loopback: DeviceInput) -> Played:
    """Play the script called `name` to a closed `output`, which is recorded on an open input."""
    clock = SystemClock()
    session = LiveSession(clock, output, ClickBand(clock), Controls(Wish()), Shape(8, 128), MAKING_SECONDS)
    commands = Commands(
        session.host, session.vocal, session.generator, session.player, NoTakes(), lambda _address, _values: None
    )
    make_script, seconds = SCRIPTS[name]
    arrivals: list[tuple[int, float]] = []
    handlers = dict(commands.handlers())
    observe = handlers[TRANSPORT_ADDRESS]

    def noted(call: Call) -> Sequence[OscValue]:
        arrivals.append((int(str(call.arguments["sequence"])), call.arrived_seconds))
        return observe(call)

    service = OscService(clock, {**handlers, TRANSPORT_ADDRESS: noted}, port=0)
    session.start()
    losses = _losses(output, loopback)
    try:
        service.start()
        start = clock.now() + LEAD_SECONDS
        host_arguments = ["--host", name, "--port", str(service.port), "--start", repr(start)]
        with subprocess.Popen([sys.executable, "-m", "benchmarks.live_grid", *host_arguments], cwd=_ROOT) as host:
            recorded = _recorded(loopback, clock, start + seconds + TAIL_SECONDS)
        if host.returncode != 0:
            raise RuntimeError(f"the host ended with {host.returncode}; see its words above")
        underruns, overruns = (after - before for after, before in zip(_losses(output, loopback), losses, strict=True))
    finally:
        service.stop()
        session.stop()
    words = tuple(f"{at:.2f} s: {what}" for at, what in session.events)
    clicks = click_seconds(recorded) - start
    heard = clicks[clicks < seconds + LARGEST_ERROR_SECONDS]  # what is on its way when the host ends is heard later
    simulator = HostSimulator(make_script(), start)
    late = np.array([arrived - simulator.block_seconds(block) for block, arrived in arrivals])
    return Played(hosts_beats(make_script(), seconds), heard, late, underruns, overruns, words)


def _losses(output: DeviceOutput, loopback: DeviceInput) -> tuple[int, int]:
    return output.facts().underruns, loopback.facts().overruns


def _recorded(loopback: DeviceInput, clock: SystemClock, until_seconds: float) -> list[InputBlock]:
    """Return what comes in until `until_seconds`."""
    blocks: list[InputBlock] = []
    while clock.now() < until_seconds:
        clock.sleep(READ_SECONDS)
        block = loopback.read()
        if block is not None:
            blocks.append(block)
    return blocks


def measured(name: str, impulses: int) -> tuple[LiveGridResult, tuple[str, ...]]:
    """Play the script called `name` on a private PulseAudio; return the result and what the session told.

    Args:
        name: of `SCRIPTS`.
        impulses: how many impulses measure the recording's own error before; 0 for none.
    """
    clock = SystemClock()
    with private_pulse():
        output = DeviceOutput(
            clock, OUTPUT_NAME, BLOCK_SAMPLES, RING_SECONDS, device_latency_seconds=DEVICE_LATENCY_SECONDS
        )
        loopback = DeviceInput(clock, LOOPBACK_NAME)
        loopback.open()
        try:
            late = _impulse_lateness(output, loopback, clock, impulses) if impulses else None
            played = play(name, output, loopback)
        finally:
            loopback.close()
    jumps = [action.seconds for action in SCRIPTS[name][0]().actions if action.kind in ("play", "locate")]
    sections, extra = compared(played.beats, played.clicks, jumps, SECTIONS if name == "minute" else (name,))
    return LiveGridResult(sections, extra, played.late_seconds, played.underruns, played.overruns, late), played.words


def _impulse_lateness(output: DeviceOutput, loopback: DeviceInput, clock: SystemClock, impulses: int) -> float:
    """Return by how much impulses are recorded later than the output promised: median, in seconds."""
    output.open()
    try:
        measurement = measure_latency(output, loopback, clock, impulses)
    finally:
        output.close()
    return median(impulse.error_seconds for impulse in measurement.impulses)


def table(result: LiveGridResult) -> str:
    """Return the result as a table, in milliseconds."""
    rows = [f"{'section':<16}{'beats':>6}{'missing':>9}{'median':>9}{'largest':>9}{'jitter':>9}{'p95 dev':>9}"]
    for section in result.sections:
        errors_ms = 1e3 * section.errors_seconds
        if not errors_ms.size:
            rows.append(f"{section.name:<16}{section.beats:>6}{section.missing:>9}   no clicks")
            continue
        largest_ms = errors_ms[np.abs(errors_ms).argmax()]
        figures = (np.median(errors_ms), largest_ms, 1e3 * section.jitter_seconds)
        p95_ms = 1e3 * float(np.quantile(section.deviations, 0.95))
        rows.append(
            f"{section.name:<16}{section.beats:>6}{section.missing:>9}"
            + "".join(f"{figure:>9.3f}" for figure in (*figures, p95_ms))
            + ("" if section.passed else "  OUTSIDE")
        )
    rows.append(f"{result.extra} clicks more; {result.underruns} underruns, {result.overruns} overruns")
    late_ms = [f"{1e3 * float(np.quantile(result.late_seconds, share)):.2f}" for share in (0.05, 0.5, 0.95, 1.0)]
    rows.append(
        f"{len(result.late_seconds)} messages of the host arrived {' / '.join(late_ms)} ms (5% / median / 95% / last) "
        f"after their block began, {1e3 * result.late_seconds.mean():.2f} on average"
    )
    if result.monitor_seconds is not None:
        monitor_ms = 1e3 * result.monitor_seconds
        rows.append(
            f"impulses without a host are recorded {monitor_ms:+.3f} ms from their promised time: that much of "
            "the median is the sink, its monitor and their time stamps; the figures above are not corrected for it"
        )
    return "\n".join(rows)


def main() -> int:
    """Run the benchmark, or be its host."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", choices=SCRIPTS, default="minute")
    parser.add_argument("--host", choices=SCRIPTS, help="be the host (the benchmark starts this itself)")
    parser.add_argument("--port", type=int, help="with --host: where to send")
    parser.add_argument("--start", type=float, help="with --host: the clock's time of the first block")
    options = parser.parse_args()
    if options.host is not None:
        send(options.host, options.port, options.start)
        return 0
    result, words = measured(options.script, impulses=8)
    print(table(result))
    for line in words:
        print(f"  session, {line}")
    within = f"within {1e3 * LARGEST_ERROR_SECONDS:g} ms, jitter under {1e3 * LARGEST_JITTER_SECONDS:g} ms"
    print(f"{'PASS' if result.passed else 'FAIL'}: {within}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
