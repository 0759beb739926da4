"""What a live run leaves behind, as figures: levels over time, disturbances, floors, and a table of it all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from bridge.live.playing import Level

ON_TIME_FLOOR: Final = 0.999
GROWTH_FLOOR_MB_HOUR: Final = 4.0  # 2 MB in half an hour
SURE_ERRORS: Final = 2.0  # what is kept comes and goes by 50 MB: a slope says no more than its error allows
LEAST_MEMORY_SECONDS: Final = 600.0  # a shorter run says nothing of growth
RECOVERY_FLOOR_BARS: Final = 2.0
COMING_IN: Final = "coming in"
SOUNDING: Final = (Level.FRESH, Level.BACKUP, Level.BAR_LOOP)
REPORTED: Final = {
    "stall": r"-> (backup|bar loop)|trouble",
    "kill": r"no snapshot",
    "restart": r"located|playing from",
    "tempo": r"tempo",
    "locate": r"locat",
}


@dataclass(frozen=True, slots=True)
class LevelChange:
    """From `seconds` on `level` is played.

    Attributes:
        seconds: the clock's time.
        level: what is played.
        moving: whether the song moves.
        epoch: another one after each locate.
    """

    seconds: float
    level: Level
    moving: bool
    epoch: int

    @property
    def recovered(self) -> bool:
        """Whether all is as it should be."""
        return self.level is Level.FRESH or not self.moving


@dataclass(slots=True)
class Disturbance:
    """What went wrong on purpose, or by the song's own course, and what came of it.

    Attributes:
        kind: `stall`, `kill`, `restart`, `tempo` or `locate`.
        seconds: when, since the song first moved.
        bar_seconds: length of a bar then.
        bars: bars until the fresh chunk played again, for a bar at least; None if not before the next disturbance.
        words: what the session told meanwhile.
    """

    kind: str
    seconds: float
    bar_seconds: float
    bars: float | None = None
    words: list[str] = field(default_factory=list)

    @property
    def reported(self) -> bool:
        """Whether the session told of it."""
        return any(re.search(REPORTED[self.kind], words) for words in self.words)


def recovery_seconds(
    levels: Sequence[LevelChange], start: float, end: float, steady_seconds: float, others: Sequence[float] = ()
) -> float | None:
    """Return how long after `start` all is as it should be again, for `steady_seconds` on end or up to `end`.

    0 if all is well for twice as long from `start` on: what comes later is not its doing. For once as long is enough up
    to one of `others`, when something else went wrong. None if it is not well before `end`. What is late after that is
    one of the chunks that their own row counts.
    """
    before = [change for change in levels if change.seconds <= start][-1:]
    within = [change for change in levels if start < change.seconds < end]
    well_since = start if not before or before[0].recovered else None
    for change in within:
        if not change.recovered:
            alone = not any(start + steady_seconds <= other <= change.seconds for other in others)
            needed = steady_seconds * (2.0 if well_since == start and alone else 1.0)
            if well_since is not None and change.seconds - well_since >= needed:
                break
            well_since = None
        elif well_since is None:
            well_since = change.seconds
    return None if well_since is None else well_since - start


def ends_of(disturbances: Sequence[Disturbance], end: float) -> list[float]:
    """Return up to when each disturbance is looked at: the next one that leaves it its two bars, or `end`.

    What comes sooner, as when the network stands still right after a restart, has to be mended within them too.
    """
    starts = [each.seconds for each in disturbances]
    soonest = [each.seconds + RECOVERY_FLOOR_BARS * each.bar_seconds for each in disturbances]
    return [
        next((start for start in starts[number + 1 :] if start >= least), end) for number, least in enumerate(soonest)
    ]


def level_seconds(levels: Sequence[LevelChange], end: float) -> dict[str, float]:
    """Return how long each level played while the song moved, up to `end`.

    What is not heard after a locate to a place where nothing was made yet, until its first chunk, is `COMING_IN`; a
    chunk cannot be there before anybody knew where.
    """
    total = dict.fromkeys((*(level.value for level in Level), COMING_IN), 0.0)
    entered = -1
    ends = [*(change.seconds for change in levels), end][1:]
    for change, until in zip(levels, ends, strict=True):
        seconds = max(until - change.seconds, 0.0)
        if change.level in SOUNDING:
            entered = change.epoch
        if change.moving:
            total[change.level.value if entered == change.epoch else COMING_IN] += seconds
    return total


@dataclass(frozen=True, slots=True)
class SoakResult:
    """What came of it; times since the song first moved, in seconds unless a name says else.

    Attributes:
        provenance: commit, machine, date.
        settings: what was played with, in words.
        disturbed: whether things went wrong on purpose.
        seconds: how long it ran.
        on_time: chunks there when they were needed.
        late: chunks that were not.
        late_at: when and by how many ms each late delivery came; NaN where a chunk was passed over.
        made: chunks that were sampled.
        replayed: chunks that were only decoded again.
        stood_in_seconds: how much was played of what stands by in case that the player is late.
        underruns: of the output, from the song's first move on.
        underruns_before: of the output, before.
        underruns_at: when there were more, and how many in all by then.
        level_seconds: how long each level played while the song moved; see the function.
        making_ms: p50, p95, p99 and longest generation.
        round_trip_ms: p50, p95, p99 and longest `/backline/ping`.
        pings: how many were answered.
        pings_lost: how many were not within a second.
        heartbeats: how often each state was told by OSC.
        vocal: what came of the vocal's packets.
        rss_mb: resident memory at the start, after two minutes and at the end.
        rss_minutes_mb: mean of each minute.
        growth_mb_hour: slope of these over the second half.
        growth_error_mb_hour: standard error of that.
        disturbances: what went wrong, and how soon it was mended.
        sender_ends: when the DAW ended by itself, and why.
        latency_ms: from the ring to the ear, and its terms.
    """

    provenance: str
    settings: str
    disturbed: bool
    seconds: float
    on_time: int
    late: int
    late_at: tuple[tuple[float, float], ...]
    made: int
    replayed: int
    stood_in_seconds: float
    underruns: int
    underruns_before: int
    underruns_at: tuple[tuple[float, int], ...]
    level_seconds: dict[str, float]
    making_ms: tuple[float, ...]
    round_trip_ms: tuple[float, ...]
    pings: int
    pings_lost: int
    heartbeats: dict[str, int]
    vocal: dict[str, int]
    rss_mb: tuple[float, float, float]
    rss_minutes_mb: tuple[float, ...]
    growth_mb_hour: float
    growth_error_mb_hour: float
    disturbances: tuple[Disturbance, ...]
    sender_ends: tuple[str, ...]
    latency_ms: dict[str, float]


def growth_words(result: SoakResult) -> str:
    """Return the growth of the memory and its standard error."""
    return f"{result.growth_mb_hour:+.1f} MB/h, give or take {result.growth_error_mb_hour:.1f}"


def faults(result: SoakResult) -> list[str]:
    """Return which floors do not hold; empty where all do."""
    found = []
    silence = result.level_seconds[Level.SILENCE.value]
    if result.underruns:
        found.append(f"{result.underruns} underruns of the output; none is allowed")
    if silence:
        found.append(f"{silence:.2f} s of silence for want of a chunk; none is allowed")
    if not result.disturbed and result.on_time < ON_TIME_FLOOR * (result.on_time + result.late):
        found.append(f"{share_on_time(result):.3%} of chunks on time; at least {ON_TIME_FLOOR:.1%} is wanted")
    surely_mb_hour = result.growth_mb_hour - SURE_ERRORS * result.growth_error_mb_hour
    if result.seconds >= LEAST_MEMORY_SECONDS and surely_mb_hour >= GROWTH_FLOOR_MB_HOUR:
        found.append(f"memory grows by {growth_words(result)}; below {GROWTH_FLOOR_MB_HOUR:g} is wanted")
    if result.sender_ends:
        found.append(f"the DAW ended by itself: {result.sender_ends[0]}")
    if not result.on_time:
        found.append("no chunk was due; the run was too short")
    for each in result.disturbances if result.disturbed else ():
        if result.seconds - each.seconds < RECOVERY_FLOOR_BARS * each.bar_seconds:
            continue  # it had no time to be mended
        if each.bars is None or each.bars > RECOVERY_FLOOR_BARS:
            found.append(f"{each.kind} at {each.seconds:.1f} s: {bars_words(each)}; within two bars is wanted")
        if not each.reported:
            found.append(f"{each.kind} at {each.seconds:.1f} s was not reported; told was: {each.words}")
    return found


def share_on_time(result: SoakResult) -> float:
    """Return the share of chunks that were on time."""
    return result.on_time / max(result.on_time + result.late, 1)


def bars_words(each: Disturbance) -> str:
    """Return how soon a disturbance was mended, in words."""
    return "not fresh before the next" if each.bars is None else f"fresh again after {each.bars:.2f} bars"


def table(result: SoakResult) -> str:
    """Return the result as a table in markdown."""
    ms = "p50 {:.1f}, p95 {:.1f}, p99 {:.1f}, longest {:.1f} ms"
    shown = ("packets", "lost_packets", "late", "duplicate", "reordered", "jumps", "other_stream", "overflow", "bad")
    memory = "start {:.1f}, after 2 min {:.1f}, end {:.1f} MB".format(*result.rss_mb)
    rows = {
        "Ran": f"{result.seconds:.0f} s{', disturbed' if result.disturbed else ''}; {result.settings}",
        "Chunks": f"{result.on_time} on time, {result.late} late: {share_on_time(result):.3%}",
        "Generation": f"{result.made} made ({result.replayed} only decoded again): {ms.format(*result.making_ms)}",
        "Underruns": f"{result.underruns} while the song moved, {result.underruns_before} before; "
        f"{1e3 * result.stood_in_seconds:.0f} ms stood in for the player",
        "Played": ", ".join(f"{seconds:.2f} s {name}" for name, seconds in result.level_seconds.items()),
        "Memory": f"{memory}; by minutes {growth_words(result)} over the second half",
        "OSC round trip": f"{result.pings} pings: {ms.format(*result.round_trip_ms)}; {result.pings_lost} lost",
        "Heartbeats": ", ".join(f"{count} {state}" for state, count in result.heartbeats.items()),
        "Vocal": ", ".join(f"{name} {result.vocal[name]}" for name in shown),
        "Latency": ", ".join(f"{name.removesuffix('_seconds')} {ms:.1f}" for name, ms in result.latency_ms.items()),
    }
    for kind in dict.fromkeys(each.kind for each in result.disturbances):
        rows[kind.capitalize()] = _summary([each for each in result.disturbances if each.kind == kind])
    return "\n".join(["| what | figure |", "| --- | --- |", *(f"| {name} | {words} |" for name, words in rows.items())])


def _summary(each_of: Sequence[Disturbance]) -> str:
    bars = [each.bars for each in each_of if each.bars is not None]
    reported = sum(each.reported for each in each_of)
    worst = f"fresh after at most {max(bars):.2f} bars, median {np.median(bars):.2f}" if bars else "never fresh after"
    return f"{len(each_of)} times, reported {reported}; {worst}; {len(each_of) - len(bars)} not before the next"


def details(result: SoakResult) -> str:
    """Return late chunks and disturbances, a line each."""
    lines = [
        f"late at {at:.1f} s " + ("so that the chunk was passed over" if np.isnan(ms) else f"by {ms:.0f} ms")
        for at, ms in result.late_at
    ]
    lines += [f"underrun at {at:.1f} s, {count} in all" for at, count in result.underruns_at]
    for each in result.disturbances:
        told = next((words for words in each.words if re.search(REPORTED[each.kind], words)), "NOT REPORTED")
        lines.append(f"{each.kind} at {each.seconds:.1f} s: {bars_words(each)}; told: {told}")
    return "\n".join(lines)
