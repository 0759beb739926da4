"""How long an OSC command takes: `python -m benchmarks.osc_latency --seconds 30`; 1 if its floor does not hold.

The server plays and generates in this process while `backline send` brings vocal and transport. Another process sends
commands on loopback at irregular times and takes the time from just before sending to the arrival of `/backline/done`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.live_clients import Probe
from benchmarks.live_support import (
    HostShare,
    Watched,
    end_on_sigterm,
    quantiles_ms,
    say,
    serve_options,
    settings_words,
    sound_device,
    start_busy,
    start_sender,
    takes_aside,
    until_moving,
)
from bridge.evaluation.provenance import provenance
from bridge.osc.contract import PREFIX

FLOOR_MS: Final = 5.0
EVERY_SECONDS: Final = 0.01
GAIN, AROUSAL = f"{PREFIX}/stem/drums/gain", f"{PREFIX}/control/arousal"
COMMANDS: Final = (*(f"{PREFIX}/ping", f"{GAIN}=-1.0") * 50, f"{AROUSAL}=0.5")  # a control each second
SHARES: Final = (0.5, 0.95, 0.99, 1.0)


def table(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return round trips, by address and of all, as a table in markdown."""
    rows = ["| command | count | p50 ms | p95 ms | p99 ms | longest ms |", "| --- | --- | --- | --- | --- | --- |"]
    for name, values in {**seconds, "all": every(seconds)}.items():
        figures = " | ".join(f"{value:.2f}" for value in quantiles_ms(values, SHARES))
        rows.append(f"| {name} | {len(values)} | {figures} |")
    return "\n".join(rows)


def every(seconds: Mapping[str, Sequence[float]]) -> list[float]:
    """Return all round trips, whatever the command."""
    return [value for values in seconds.values() for value in values]


def faults(seconds: Mapping[str, Sequence[float]], lost: int) -> list[str]:
    """Return which floors do not hold; empty where all do."""
    found = []
    if lost:
        found.append(f"{lost} commands were not answered within a second; all must be")
    for name, values in {**seconds, "all": every(seconds)}.items():
        (p99,) = quantiles_ms(values, (0.99,))
        if not p99 <= FLOOR_MS:
            found.append(f"{name}: 99th percentile {p99:.2f} ms; at most {FLOOR_MS:g} ms is wanted")
    return found


def measure(seconds: float, device: str, busy_cores: int) -> tuple[dict[str, list[float]], int]:
    """Return round trips by address while the server plays, and how many commands were not answered."""
    with ExitStack() as stack:
        stack.enter_context(takes_aside())
        name = stack.enter_context(sound_device(device))
        for _ in range(busy_cores):
            stack.enter_context(start_busy())
        server = Watched(serve_options(name, take="osc"), say)
        server.open()
        stack.callback(server.close)
        sender = stack.enter_context(start_sender(server.service.port, seconds + 120.0))
        until_moving(server, sender)
        with Probe(server.service.port, EVERY_SECONDS, COMMANDS) as probe:
            time.sleep(seconds)
            if probe.failed:
                raise RuntimeError(f"the other process ended: {probe.failed}")
        pace = server.session.generator.pace
        say(f"{settings_words(server)}; {pace.on_time} chunks on time, {pace.late} late, {pace.abandoned} abandoned")
        return probe.seconds, probe.lost


def main() -> int:
    """Measure, print, and return 1 where the floor does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.osc_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--device", choices=("pulse", "null"), default="null")
    parser.add_argument("--busy-cores", type=int, default=0, help="programs that keep a core busy beside it")
    options = parser.parse_args()
    end_on_sigterm()
    host = HostShare()
    seconds, lost = measure(options.seconds, options.device, options.busy_cores)
    said = f"{lost} not answered; {options.busy_cores} core(s) kept busy. {provenance().line} {host.words}"
    say(f"\n{table(seconds)}\n\n{said}")
    found = faults(seconds, lost)
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
