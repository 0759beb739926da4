"""Half an hour on stage: `python -m benchmarks.live_soak --minutes 30 [--disturbed]`; 1 where a floor does not hold.

The server plays in this process, `backline send` is the DAW in another, a third keeps a core busy and a fourth asks
over OSC ten times a second. The demo song starts over each half a minute, and each time another seed is wished for, so
that nothing but the first bar of a pass can be taken from memory.

With `--disturbed` datagrams are lost, doubled and overtaken, the tempo jumps in each pass, the generator is held up for
two seconds and the DAW is killed and comes back elsewhere, over and over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from shutil import which
from typing import Final, cast

import numpy as np
import psutil

from benchmarks.live_clients import OscClient, Probe
from benchmarks.live_soak_report import (
    Disturbance,
    SoakResult,
    details,
    ends_of,
    faults,
    level_seconds,
    recovery_seconds,
    table,
)
from benchmarks.live_support import (
    TEMPO_BPM,
    HostShare,
    Program,
    Watched,
    end_on_sigterm,
    quantiles_ms,
    say,
    serve_options,
    settings_words,
    slope_an_hour,
    sound_device,
    start_busy,
    start_sender,
    takes_aside,
    until_moving,
)
from benchmarks.live_watch import HeldUp, Watch, tempo_jump_midi
from bridge.evaluation.provenance import provenance
from bridge.live.playing import Level
from bridge.osc.contract import PREFIX
from bridge.sound.output import DEVICE_LATENCY_SECONDS, ring_seconds_for
from bridge.transport.view import HostView
from engine.band import Band
from engine.geometry import SAMPLE_RATE_HZ

STALL_SECONDS: Final = 2.0
AWAY_SECONDS: Final = 4.0
BETWEEN_SECONDS: Final = 12.0  # from one disturbance to the next that is made on purpose
QUIET_SECONDS: Final = 6.5  # after any disturbance: two bars at 92 bpm and a bit
PROBE_SECONDS: Final = 0.1
LINE_SECONDS: Final = 10.0
MARGIN_SECONDS: Final = 120.0  # a DAW that nobody ends goes on for so long
POLL_SECONDS: Final = 0.05
SETTLED_SECONDS: Final = 120.0
BAD_NETWORK: Final = ("--loss", "5", "--duplicate", "2", "--reorder", "2")
PLACES_BEATS: Final = (4.0, 8.0, 12.0, 20.0)
JUMP_BEAT, JUMP_BPM = 28, 118.0
NOTICED_SECONDS: Final = 0.1  # what the song does is seen up to a poll after the player followed it


class Soak:
    """One run, looked at twenty times a second."""

    def __init__(
        self, server: Watched, watch: Watch, band: Callable[[], HeldUp], disturbed: bool, most_seconds: float
    ) -> None:
        self.server, self.watch, self.disturbances = server, watch, list[Disturbance]()
        self.rss: list[tuple[float, float]] = []
        self.sender_ends: list[str] = []
        self.start_seconds = time.perf_counter()
        self.underruns_before = 0
        self.underruns_at: list[tuple[float, int]] = []
        self._band, self.disturbed, self._most_seconds = band, disturbed, most_seconds
        self._process = psutil.Process()
        self._client = OscClient(server.service.port)
        self._sender: Program | None = None
        self._away_until: float | None = None
        self._chance = np.random.default_rng(0)
        self._port = server.service.port
        self._tempo: tuple[str, ...] = ()
        self._made = 0
        self._epoch, self._bpm, self._told = -1, 0.0, 0.0
        self._restarting = False
        self._seed = 0

    def begin(self, folder: Path) -> None:
        """Start the DAW and wait until the song moves.

        Raises:
            RuntimeError: it does not.
        """
        if self.disturbed:
            (folder / "jump.mid").write_bytes(tempo_jump_midi(JUMP_BEAT, TEMPO_BPM, JUMP_BPM))
            self._tempo = ("--tempo-map", str(folder / "jump.mid"))
        self._send(0.0)
        assert self._sender is not None
        until_moving(self.server, self._sender)
        self.start_seconds = time.perf_counter()
        self.underruns_before = self.server.session.out.facts().underruns
        view = self._view()
        self._epoch, self._bpm = view.epoch, view.bpm

    def end(self) -> None:
        """End the DAW."""
        if self._sender is not None:
            self._sender.end()
        self._client.close()

    @property
    def passed(self) -> float:
        """Seconds since the song first moved."""
        return time.perf_counter() - self.start_seconds

    def look(self) -> None:
        """See what happened, and make happen what is due."""
        now = self.passed
        if not self.rss or now - self.rss[-1][0] >= 1.0:
            self.rss.append((now, self._process.memory_info().rss / 1e6))
        underruns = self.server.session.out.facts().underruns
        if underruns != (self.underruns_at[-1][1] if self.underruns_at else self.underruns_before):
            self.underruns_at.append((now, underruns))
        view = self._view()
        if view.epoch != self._epoch:
            self._note("restart" if self._restarting else "locate")
            self._restarting = False
            self._seed += 1
            self._client.send(f"{PREFIX}/control/seed", self._seed)
        elif abs(view.bpm - self._bpm) > 1.0:
            self._note("tempo")
        self._epoch, self._bpm = view.epoch, view.bpm
        self._listen()
        if self._sender is not None and self._sender.code is not None:
            self.sender_ends.append(f"at {now:.1f} s: {self._sender.failed}")
            self._send(0.0)
        if self.disturbed:
            self._disturb(now)

    def settle(self) -> None:
        """Work out how long each disturbance was felt."""
        levels = list(self.watch.levels)
        begun = [self.start_seconds + each.seconds for each in self.disturbances]
        ends = ends_of(self.disturbances, self.passed)
        for number, (each, end) in enumerate(zip(self.disturbances, ends, strict=True)):
            until, others = self.start_seconds + end, begun[number + 1 :]
            seconds = recovery_seconds(levels, begun[number], until, each.bar_seconds, others)
            each.bars = None if seconds is None else seconds / each.bar_seconds

    def _disturb(self, now: float) -> None:
        """Do the next thing on purpose, if the last was long enough ago."""
        if self._away_until is not None:
            if now >= self._away_until:
                self._away_until, self._restarting = None, True
                self._send(float(self._chance.choice(PLACES_BEATS)))
            return
        last = max((each.seconds for each in self.disturbances), default=0.0)
        if self._restarting or now - last < QUIET_SECONDS or now < BETWEEN_SECONDS * (self._made + 1):
            return
        self._made += 1
        if self._made % 2:
            self._band().stall_seconds = STALL_SECONDS
            self._note("stall")
        else:
            assert self._sender is not None
            self._sender.kill()
            self._sender.end()
            self._sender = None
            self._away_until = now + AWAY_SECONDS
            self._note("kill")

    def _send(self, from_beat: float) -> None:
        more = BAD_NETWORK if self.disturbed else ()
        if self._sender is not None:
            self._sender.end()
        self._sender = start_sender(self._port, self._most_seconds, *more, from_beat=from_beat, tempo=self._tempo)

    def _note(self, kind: str) -> None:
        view = self._view()
        bar_seconds = view.numerator * 4.0 / view.denominator * 60.0 / view.bpm
        seconds = self.passed - (0.0 if kind in ("stall", "kill") else NOTICED_SECONDS)
        self.disturbances.append(Disturbance(kind, seconds, bar_seconds))

    def _listen(self) -> None:
        """Keep what the session told since the last look with the disturbance that it came after."""
        for seconds, words in tuple(self.server.session.events):
            if seconds > self._told:
                self._told = seconds
                if self.disturbances and len(self.disturbances[-1].words) < 20:
                    self.disturbances[-1].words.append(words)

    def _view(self) -> HostView:
        return self.server.session.host.now_view(time.perf_counter(), builds=False)


def minute_means(sizes: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the middle of each minute and the mean size in it: what is kept of a pass goes in half of one."""
    minutes: dict[int, list[float]] = {}
    for seconds, size in sizes:
        minutes.setdefault(int(seconds // 60), []).append(size)
    return [60.0 * minute + 30.0 for minute in minutes], [float(np.mean(each)) for each in minutes.values()]


def result_of(soak: Soak, probe: Probe) -> SoakResult:
    """Return what came of a run."""
    soak.settle()
    server, watch, passed = soak.server, soak.watch, soak.passed
    pace, facts = server.session.generator.pace, server.session.out.facts()
    times, sizes = zip(*soak.rss, strict=True)
    growth, error = slope_an_hour(*minute_means([each for each in soak.rss if each[0] >= passed / 2]))
    pings = probe.seconds.get(f"{PREFIX}/ping", [])
    return SoakResult(
        provenance=provenance().line,
        settings=settings_words(server),
        disturbed=soak.disturbed,
        seconds=passed,
        on_time=pace.on_time,
        late=pace.late,
        late_at=tuple((at - soak.start_seconds, -1e3 * slack) for at, slack in watch.late),
        made=len(watch.making_seconds),
        replayed=watch.replayed,
        stood_in_seconds=server.session.out.stood_in_samples() / SAMPLE_RATE_HZ,
        underruns=facts.underruns - soak.underruns_before,
        underruns_before=soak.underruns_before,
        underruns_at=tuple(soak.underruns_at),
        level_seconds=level_seconds(list(watch.levels), time.perf_counter()),
        making_ms=quantiles_ms(watch.making_seconds),
        round_trip_ms=quantiles_ms(pings),
        pings=len(pings),
        pings_lost=probe.lost,
        heartbeats=dict(probe.states),
        vocal=asdict(server.session.vocal.stats),
        rss_mb=(sizes[0], sizes[int(np.searchsorted(times, min(SETTLED_SECONDS, passed))) - 1], sizes[-1]),
        rss_minutes_mb=tuple(minute_means(soak.rss)[1]),
        growth_mb_hour=growth,
        growth_error_mb_hour=error,
        disturbances=tuple(soak.disturbances),
        sender_ends=tuple(soak.sender_ends),
        latency_ms={name: 1e3 * value for name, value in asdict(facts.latency).items()},
    )


def line(soak: Soak, probe: Probe) -> str:
    """Return how it stands, in a line."""
    server = soak.server
    pace, vocal = server.session.generator.pace, server.session.vocal.stats
    levels = level_seconds(list(soak.watch.levels), time.perf_counter())
    fallen = {name: seconds for name, seconds in levels.items() if seconds and name != Level.FRESH.value}
    played = ", ".join(f"{seconds:.1f} s {name}" for name, seconds in fallen.items()) or "all fresh"
    p50, p95 = quantiles_ms(soak.watch.making_seconds[-100:], (0.5, 0.95))
    stood_in_ms = 1e3 * server.session.out.stood_in_samples() / SAMPLE_RATE_HZ
    (ping,) = quantiles_ms(probe.seconds.get(f"{PREFIX}/ping", [])[-100:], (0.99,))
    return (
        f"{soak.passed:7.0f} s  chunks {pace.on_time} on time {pace.late} late  "
        f"underruns {server.session.out.facts().underruns}, stood in {stood_in_ms:.0f} ms  {played}  "
        f"making {p50:.0f}/{p95:.0f} ms  "
        f"ping p99 {ping:.1f} ms  vocal lost {vocal.lost_packets} late {vocal.late}  {soak.rss[-1][1]:.1f} MB  "
        f"load {os.getloadavg()[0]:.1f}"
    )


def run(minutes: float, disturbed: bool, busy_cores: int, device: str, device_latency_seconds: float) -> SoakResult:
    """Play for so long and return what came of it; an interrupt ends it early."""
    watch, bands = Watch(), list[HeldUp]()

    def held_up(band: Band) -> Band:
        bands.append(HeldUp(band))
        return cast(Band, bands[-1])

    with ExitStack() as stack:
        folder = stack.enter_context(takes_aside())
        name = stack.enter_context(sound_device(device))
        for _ in range(busy_cores):  # before the server measures what it can do, as a DAW would
            stack.enter_context(start_busy())
        options = serve_options(
            name,
            take="soak",
            ring_seconds=ring_seconds_for(device_latency_seconds),
            device_latency_seconds=device_latency_seconds,
        )
        server = Watched(options, say, watch.delivered, watch.played, held_up)
        watch.server = server
        server.open()
        stack.callback(server.close)
        probe = stack.enter_context(Probe(server.service.port, PROBE_SECONDS))
        soak = Soak(server, watch, lambda: bands[-1], disturbed, 60.0 * minutes + MARGIN_SECONDS)
        stack.callback(soak.end)
        soak.begin(folder)
        say(f"playing for {minutes:g} minutes on {server.session.out.facts().name}; {busy_cores} core(s) kept busy")
        shown = 0.0
        with suppress(KeyboardInterrupt):
            while soak.passed < 60.0 * minutes:
                soak.look()
                if soak.passed - shown >= LINE_SECONDS:
                    shown = soak.passed
                    say(line(soak, probe))
                time.sleep(POLL_SECONDS)
        if probe.failed:
            say(f"warning: the probe ended: {probe.failed}")
        return result_of(soak, probe)


def main() -> int:
    """Play, print, and return 1 where a floor does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--disturbed", action="store_true", help="have things go wrong, over and over")
    parser.add_argument("--busy-cores", type=int, default=1, help="programs that keep a core busy beside it")
    parser.add_argument("--device", choices=("pulse", "null"), default="pulse" if which("pulseaudio") else "null")
    parser.add_argument(
        "--device-latency", type=float, default=1e3 * DEVICE_LATENCY_SECONDS, help="as of backline serve, in ms"
    )
    parser.add_argument("--output-json", type=Path, help="file that takes the figures")
    options = parser.parse_args()
    end_on_sigterm()
    host = HostShare()
    result = run(options.minutes, options.disturbed, options.busy_cores, options.device, options.device_latency / 1e3)
    say(f"\n{details(result)}\n\n{table(result)}\n\n{result.provenance} {host.words}")
    if options.output_json is not None:
        options.output_json.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    found = faults(result)
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
