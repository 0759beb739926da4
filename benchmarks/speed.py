"""How long 47.55 s of vocal take to become three stems and a mix, in one process on two threads.

`python -m benchmarks.speed [--bundle DIR] [--out docs]` prints a table and, with `--out`, keeps it in results.md.
Where the training extra is installed, the same graphs run in eager torch in the same process, for the ratio.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, number, percent, print_section, verdict, write_section
from engine.accompany import Timings, accompany
from engine.bundle import Bundle
from engine.geometry import SAMPLE_RATE_HZ, WINDOW_SAMPLES
from engine.mixer import mix
from engine.spectra import Array
from engine.timeline import Timeline
from engine.wish import Wish

THREADS = 2
STEPS = (4, 8)
GUIDANCE_SCALE = 2.0
BPM = 92.0
STAGES = ("encode", "denoise", "decode", "mix")
HIGHEST_REAL_TIME_FACTOR = 0.06
SECONDS = WINDOW_SAMPLES / SAMPLE_RATE_HZ
FACTORY_BUNDLE = Path("presets") / "factory-bundle"


@dataclass(frozen=True, slots=True)
class Run:
    """One way of running the chain.

    Attributes:
        name: what ran it.
        steps: of the sampler.
        seconds: stage to seconds, the median over the repeats.
    """

    name: str
    steps: int
    seconds: Mapping[str, float]

    @property
    def total_seconds(self) -> float:
        """Return the time of all stages."""
        return sum(self.seconds.values())

    @property
    def real_time_factor(self) -> float:
        """Return the time taken by a second of vocal."""
        return self.total_seconds / SECONDS


def synthetic_vocal() -> Array:
    """Return (2, samples) of one window: a gliding voice with breaths; speed does not depend on what is sung."""
    seconds = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(220.0 * 2 ** (np.sin(seconds * 0.9) / 2)) / SAMPLE_RATE_HZ
    voice = sum(np.sin(phase * partial) / partial for partial in range(1, 13))
    sung = np.sin(2 * np.pi * seconds / 4.0) > -0.8
    return np.tile((0.2 * voice * sung).astype(np.float32), (2, 1))


def measure(name: str, bundle: Any, steps: int, repeats: int) -> Run:
    """Run the whole chain once to warm up and then `repeats` times.

    Args:
        name: what the bundle runs on.
        bundle: an `engine.bundle.Bundle`, or what offers the same.
        steps: of the sampler.
        repeats: at least 1.
    """
    vocal, timeline = synthetic_vocal(), Timeline.constant(BPM)
    wish = Wish(style="pop", steps=steps, guidance_scale=GUIDANCE_SCALE)
    runs = [_stage_seconds(bundle, vocal, timeline, wish) for _ in range(repeats + 1)][1:]
    return Run(name, steps, {stage: median(run[stage] for run in runs) for stage in STAGES})


def speed_table(runs: Sequence[Run]) -> Table:
    """Return one row a run: its stages, shares, real-time factor, and how much slower than the first of its steps."""
    rows = []
    for run in runs:
        first = next(other for other in runs if other.steps == run.steps)
        stages = [f"{run.seconds[stage]:.3f} s ({percent(run.seconds[stage] / run.total_seconds)})" for stage in STAGES]
        ratio = "1" if run is first else number(run.total_seconds / first.total_seconds, 1)
        met = verdict(run.real_time_factor <= HIGHEST_REAL_TIME_FACTOR) if run is first else ""
        factor = number(run.real_time_factor, 4)
        rows.append((run.name, str(run.steps), *stages, number(run.total_seconds, 2, "s"), factor, ratio, met))
    columns = ("runs on", "steps", *STAGES, "in all", "real-time factor", "time relative", "")
    wanted = f"wanted at most {HIGHEST_REAL_TIME_FACTOR}"
    return Table(f"{SECONDS:.2f} s of vocal to three stems and a mix; real-time factor {wanted}", columns, tuple(rows))


def keep_to_two_cores() -> None:
    """Let this process use two cores only, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def main() -> None:
    """Measure, print, and keep."""
    options = _options()
    keep_to_two_cores()
    bundle = Bundle.load(options.bundle, threads=THREADS)
    runs = [measure("onnxruntime", bundle, steps, options.repeats) for steps in STEPS]
    if find_spec("torch") is not None and not options.no_torch:
        from benchmarks.torch_eager import EagerBundle

        eager = EagerBundle(THREADS)
        runs += [measure("torch eager", eager, steps, 1) for steps in STEPS]
    note = (
        f"One process kept to {THREADS} cores, onnxruntime with {THREADS} threads, guidance {GUIDANCE_SCALE:g} (two "
        f"passes a step as one batch), median of {options.repeats} runs after one to warm up; opening the bundle is "
        "left out. Torch eager runs networks of the same sizes through the same engine."
    )
    command = "python -m benchmarks.speed --out docs"
    section = Section("speed", "Speed", command, provenance().line, (speed_table(runs),), (note,))
    print_section(section, Console(width=160))
    if options.out is not None:
        write_section(options.out / "results.md", section)


def _stage_seconds(bundle: Any, vocal: Array, timeline: Timeline, wish: Wish) -> Mapping[str, float]:
    timings = Timings()
    stems = accompany(bundle, vocal, timeline, wish, timings=timings)
    with timings.stage("mix"):
        mix([*stems.values(), vocal])
    return timings.seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=FACTORY_BUNDLE, help="folder of the bundle")
    parser.add_argument("--out", type=Path, help="folder whose results.md takes the table")
    parser.add_argument("--repeats", type=int, default=3, help="runs to take the median of")
    parser.add_argument("--no-torch", action="store_true", help="leave out eager torch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
