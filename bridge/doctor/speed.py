"""How fast this machine generates, each way and with each sensible number of threads, and what is safe to play with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from bridge.clock import Clock, SystemClock
from bridge.doctor.finding import Figures, Finding, Request, Verdict
from bridge.doctor.machine import usable_cores
from bridge.doctor.model import STREAMING_CODEC
from bridge.live.settings import WANTED_REACTION_SECONDS, LiveSettings, Way, choose, measured_options, ways_of
from bridge.sound.output import DEVICE_LATENCY_SECONDS, RING_SECONDS
from engine.bundle import Bundle, BundleError
from engine.geometry import LATENT_RATE_HZ
from engine.runtime import GraphError
from engine.window import Model

NAME: Final = "speed"
BUDGET_SECONDS: Final = 150.0  # in all; at least one way is measured on each provider
USUAL_SOUNDING_SECONDS: Final = RING_SECONDS + DEVICE_LATENCY_SECONDS
MOST_THREADS: Final = (4, 8)
CPU: Final = "cpu"


def check(request: Request) -> tuple[Finding, ...]:
    """Measure each provider that runs."""
    clock = SystemClock()
    budget_seconds = BUDGET_SECONDS / max(len(request.providers), 1)
    return tuple(_provider(request, provider, clock, budget_seconds) for provider in request.providers)


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return the numbers of threads worth trying: what leaves sound a core, and all cores where they are few."""
    wanted = (1, *(min(cores - 1, most) for most in MOST_THREADS), min(cores, MOST_THREADS[0]))
    return tuple(sorted({threads for threads in wanted if threads > 0}))


def measured_within(
    models: Sequence[tuple[int, Model]],
    ways: Sequence[Way],
    clock: Clock,
    sounding_seconds: float,
    budget_seconds: float,
) -> Iterator[LiveSettings]:
    """Yield the settings of each way with each number of threads, until the budget is spent, but those of one way."""
    until_seconds = clock.now() + budget_seconds
    for way in ways:
        for model in models:
            yield from measured_options([model], [way], clock, sounding_seconds)
        if clock.now() >= until_seconds:
            return


def judge(options: Sequence[LiveSettings], provider: str, cores: int, ways: Sequence[Way]) -> Finding:
    """Judge what was measured, and say what is safe.

    Args:
        options: what was measured, in the order of quality.
        provider: what it ran on.
        cores: how many there are to use.
        ways: what was to be measured.
    """
    safe = [option for option in options if leaves_a_core(option, provider, cores)]
    best, soonest = choose(safe), choose(options)
    figures: Figures = {
        "provider": provider,
        "wanted_reaction_seconds": WANTED_REACTION_SECONDS,
        "safe": option_figures(best, True) if best.feasible else None,
        "ways": [option_figures(option, option in safe) for option in options],
        "ways_left_out": len(ways) - len({option.speed.way for option in options}),
    }
    name, words = f"{NAME} on {provider}", _in_words(best)
    if figures["ways_left_out"]:
        words += f" ({figures['ways_left_out']} of {len(ways)} ways were not measured: time was up)"
    more = ""
    if soonest not in safe and soonest.feasible:
        threads, most_ms = soonest.speed.threads, 1e3 * soonest.reaction.total
        more = f"; where nothing else runs, --threads {threads} may do: {soonest.speed.way}, {most_ms:.0f} ms"
    if not best.feasible:
        remedy = f"close what else runs, give Backline more or faster cores, or a GPU that onnxruntime supports{more}"
        return Finding(name, Verdict.BAD, f"no way can be kept up; the nearest is {words}", remedy, figures)
    if best.reaction.total > WANTED_REACTION_SECONDS:
        remedy = (
            f"over the {1e3 * WANTED_REACTION_SECONDS:.0f} ms that feel immediate: close what else runs, "
            f"use a card with less latency, or faster cores{more}"
        )
        return Finding(name, Verdict.WARNING, f"safe: {words}", remedy, figures)
    return Finding(name, Verdict.OK, f"safe: {words}", figures=figures)


def leaves_a_core(option: LiveSettings, provider: str, cores: int) -> bool:
    """Return whether generating leaves sound a core of its own, where there is more than one."""
    return provider != CPU or option.speed.threads < max(cores, 2)


def _in_words(option: LiveSettings) -> str:
    threads, chunk_seconds = option.speed.threads, option.chunk_frames / LATENT_RATE_HZ
    return (
        f"{option.speed.way}, {threads} thread{'' if threads == 1 else 's'}, "
        f"chunk {option.chunk_frames} frames ({1e3 * chunk_seconds:.0f} ms); "
        f"p95 {1e3 * option.speed.p95_seconds:.0f} ms, a note is answered after {1e3 * option.reaction.total:.0f} ms"
    )


def option_figures(option: LiveSettings, safe: bool) -> Figures:
    """Return an option's figures; it is safe if it can be kept up and leaves sound a core (`safe`)."""
    way = option.speed.way
    return {
        "steps": way.steps,
        "guidance": way.guidance,
        "window_frames": way.window_frames,
        "threads": option.speed.threads,
        "p50_seconds": option.speed.p50_seconds,
        "p95_seconds": option.speed.p95_seconds,
        "chunk_frames": option.chunk_frames,
        "backup_frames": option.backup_frames,
        "real_time_factor": option.real_time_factor,
        "reaction_seconds": option.reaction.total,
        "reaction": asdict(option.reaction),
        "feasible": option.feasible,
        "safe": option.feasible and safe,
    }


def _provider(request: Request, provider: str, clock: Clock, budget_seconds: float) -> Finding:
    cores = usable_cores()
    counts = thread_counts(cores) if provider == CPU else (1,)
    try:
        models = [
            (threads, Bundle.load(request.bundle, (provider,), threads=threads, offline=False)) for threads in counts
        ]
    except (BundleError, GraphError) as error:
        return Finding(f"{NAME} on {provider}", Verdict.BAD, f"not measured: {error}", "see the finding on the bundle")
    if models[0][1].manifest.codec.kind != STREAMING_CODEC:
        return Finding(f"{NAME} on {provider}", Verdict.BAD, "not measured: the bundle does not stream", "see there")
    sounding = USUAL_SOUNDING_SECONDS if request.sounding_seconds is None else request.sounding_seconds
    ways = ways_of(models[0][1].sampling)
    try:
        options = list(measured_within(models, ways, clock, sounding, budget_seconds))
    except GraphError as error:
        return Finding(f"{NAME} on {provider}", Verdict.BAD, f"did not run: {error}", "see the finding on the bundle")
    return judge(options, provider, cores, ways)
