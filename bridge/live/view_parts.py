"""The parts of the terminal view, each a few lines of text of a given width.

Meaning is never in a colour alone: words, signs and reversed letters carry it. The colours are those of Okabe and Ito
(2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from bridge.live.status import LiveStatus, Meter
from bridge.live.view_trouble import Severity, Trouble
from engine.geometry import LATENT_RATE_HZ, STEMS

SKY: Final = "#56b4e9"
YELLOW: Final = "#f0e442"
VERMILLION: Final = "#d55e00"
PLAIN: Final = ""
BOLD: Final = "bold"
DIM: Final = "bright_black"
BADGES: Final = {
    Severity.GOOD: f"bold {SKY}",
    Severity.NOTE: f"bold black on {SKY}",
    Severity.WARNING: f"bold black on {YELLOW}",
    Severity.BAD: f"bold white on {VERMILLION}",
}
SIGNS: Final = {Severity.GOOD: "✓", Severity.NOTE: "·", Severity.WARNING: "!", Severity.BAD: "✗"}
LADDER: Final = ("fresh", "backup", "bar loop", "silence", "resting")

LABEL_COLUMNS: Final = 9
FLOOR_DB: Final = -60.0
SILENCE_DB: Final = -119.0
_HOT_DB: Final = -6.0
_FULL_DB: Final = -0.5
_SCALE_DB: Final = (-60, -48, -36, -24, -18, -12, -6, 0)
_METER_MARGIN: Final = 12 + 14  # name and mute mark before the bar, peak and rms after it

Part = tuple[str, str]


def cut(parts: Sequence[Part], width: int) -> Text:
    """Return a line of (text, style) parts, at most `width` columns."""
    line = Text.assemble(*parts, no_wrap=True, overflow="crop")
    line.truncate(width)
    return line


def fitting(label: str, groups: Sequence[Sequence[Part]], width: int) -> Text:
    """Return a line of a label and of those `groups` of parts, first come, that fit whole."""
    parts: list[Part] = [(f"{label:<{LABEL_COLUMNS}}", DIM)]
    used = LABEL_COLUMNS
    for group in groups:
        columns = sum(len(text) for text, _ in group) + 2
        if used + columns - 2 <= width:
            parts += [*group, ("  ", PLAIN)]
            used += columns
    return cut(parts, width)


def banner(found: Sequence[Trouble], width: int) -> list[Text]:
    """Return three lines: all is well, or the worst that is not, and what else there is."""
    if not found:
        return [Text(), cut([(f" {SIGNS[Severity.GOOD]} all is well", BADGES[Severity.GOOD])], width), Text()]
    worst, style = found[0], BADGES[found[0].severity]
    others = "; ".join(trouble.words for trouble in found[1:])
    rows = ("", f" {SIGNS[worst.severity]} {worst.words}", f"   {others}" if others else "")
    return [cut([(row.ljust(width), style)], width) for row in rows]


def meters(status: LiveStatus, width: int) -> list[Text]:
    """Return a line for each stem and the mix, and the scale below."""
    columns = max(width - _METER_MARGIN, 8)
    rows = [_meter(name, status.meters.get(name), name in status.muted, columns) for name in (*STEMS, "mix")]
    return [*(cut(row, width) for row in rows), cut([(_scale(columns), DIM)], width)]


def bar(columns: int, solid: float, light: float, mark: float | None, style: str) -> list[Part]:
    """Return a bar of `columns`: solid and then light up to shares from 0 to 1, and a mark at a third."""
    cells = [
        "█" if column < round(solid * columns) else "▒" if column < round(light * columns) else "·"
        for column in range(columns)
    ]
    if mark is not None:
        cells[min(max(round(mark * columns), 0), columns - 1)] = "┃"
    filled = max(round(light * columns), round(solid * columns))
    return [("".join(cells[:filled]), style), ("".join(cells[filled:]), DIM)]


def ladder(status: LiveStatus, width: int) -> Text:
    """Return which level sounds, and how long each has."""
    groups = []
    for level in LADDER:
        seconds = short_seconds(status.level_seconds.get(level, 0.0))
        style = level_style(level) if level == status.level else PLAIN
        groups.append([(f" {level} {seconds} ", style)])
    parts: list[Part] = [(f"{'sounds':<{LABEL_COLUMNS - 1}}", DIM)]
    return cut([*parts, *(part for group in groups for part in group)], width)


def level_style(level: str) -> str:
    """Return the style of the level that sounds."""
    severity = {"backup": Severity.WARNING, "bar loop": Severity.WARNING, "silence": Severity.BAD}
    return BADGES[severity.get(level, Severity.NOTE)]


def making(status: LiveStatus, width: int) -> list[Text]:
    """Return how long generation takes against what it has, and how many chunks were in time."""
    generator = status.generator
    plays_seconds = generator.chunk_frames / LATENT_RATE_HZ
    times = (generator.p50_seconds, generator.p95_seconds, generator.lead_seconds)
    half, most, lead_share = (min(seconds / plays_seconds, 1.0) if plays_seconds else 0.0 for seconds in times)
    behind = generator.p95_seconds > plays_seconds
    words = f"p50 {_ms(generator.p50_seconds)} p95 {_ms(generator.p95_seconds)} of {_ms(plays_seconds)} ms"
    lead = f" begun {_ms(generator.lead_seconds)} before"
    columns = max(min(width - LABEL_COLUMNS - len(words) - len(lead) - 1, 60), 0)
    drawn = bar(columns, half, most, lead_share, VERMILLION if behind else SKY) if columns >= 6 else []
    first = cut([(f"{'making':<{LABEL_COLUMNS}}", DIM), (words, BOLD), (" ", PLAIN), *drawn, (lead, PLAIN)], width)
    chunks: list[list[Part]] = [
        [("on time ", PLAIN), (f"{generator.on_time}", BOLD)],
        _count("late", generator.late),
        [(f"abandoned {generator.abandoned}", PLAIN)],
        [(f"{generator.steps} steps × {generator.guidance:g}", PLAIN)],
        [(f"load {generator.real_time_factor:.0%}", PLAIN)],
        [(f"on {generator.provider}, {generator.chunk_frames} frames", PLAIN)],
        [(f"bundle {generator.bundle_sha256[:8]}", PLAIN)],
    ]
    return [first, fitting("chunks", chunks, width)]


def sound(status: LiveStatus, width: int, ring_seconds: float) -> list[Text]:
    """Return ring, losses, and the latency term by term."""
    facts = status.sound
    share = min(facts.fill_seconds / ring_seconds, 1.0)
    columns = max(min(width - LABEL_COLUMNS - 38, 40), 0)
    ring = [
        *bar(columns, share, share, None, SKY if share > 0.25 else YELLOW),
        (f" {_ms(facts.fill_seconds):>3} of {_ms(ring_seconds)} ms", BOLD),
    ]
    groups = [
        ring,
        _count("underruns", facts.underruns),
        [(f"{facts.name} {facts.rate_hz} Hz / {facts.block_samples}", PLAIN)],
    ]
    terms = facts.latency
    sum_of = (
        f"ring {_ms(terms.ring_seconds)} + resampler {_ms(terms.resampler_seconds)} + block {_ms(terms.block_seconds)}"
        f" + device {_ms(terms.device_seconds)}"
    )
    latency: list[list[Part]] = [[(f"{_ms(terms.total_seconds)} ms", BOLD), (f" = {sum_of}", PLAIN)]]
    drift = [(f"clock {1e6 * (facts.clock_ratio - 1.0):+.0f} ppm", PLAIN)]
    return [fitting("ring", groups, width), fitting("latency", [*latency, drift], width)]


def reaction(status: LiveStatus, width: int) -> Text:
    """Return how soon a control and a note are heard, with their terms where there is room."""
    control, vocal = status.reaction_control, status.reaction_vocal
    groups: list[list[Part]] = [
        [("control ", PLAIN), (f"{_ms(control.total)}", BOLD), (" ms", PLAIN)],
        [("note ", PLAIN), (f"{_ms(vocal.total)}", BOLD), (" ms", PLAIN)],
        [
            (
                f"= hear {_ms(vocal.hearing)} + wait {_ms(vocal.waiting)} + make {_ms(vocal.making)}"
                f" + guard {_ms(vocal.guard)} + sound {_ms(vocal.sounding)}",
                PLAIN,
            )
        ],
        [(f"newest vocal {_ms(status.generator.visibility_seconds)} ms old", PLAIN)],
    ]
    return fitting("reaction", groups, width)


def vocal(status: LiveStatus, width: int) -> Text:
    """Return what became of the vocal's packets."""
    stats = status.vocal
    groups: list[list[Part]] = [
        [(f"{stats.packets}", BOLD), (" packets", PLAIN)],
        _count("lost", stats.lost_packets),
        _count("late", stats.late),
        [(f"reordered {stats.reordered}", PLAIN)],
        _count("bad", stats.bad),
        _count("overflow", stats.overflow),
        [(f"duplicate {stats.duplicate}", PLAIN)],
        [(f"other stream {stats.other_stream}", PLAIN)],
        [(f"jumps {stats.jumps}", PLAIN)],
    ]
    return fitting("vocal", groups, width)


def music(status: LiveStatus, width: int) -> Text:
    """Return key, chord and style, and what is recorded."""
    generator = status.generator
    groups: list[list[Part]] = [
        [(generator.chord or "no chord", BOLD), (" in ", PLAIN), (generator.key or "no key yet", BOLD)],
        [(f"style {generator.style or 'any'}", PLAIN)],
        [(f"take {status.take}" if status.take else "no take", PLAIN)],
    ]
    return fitting("heard", groups, width)


def events(status: LiveStatus, width: int, rows: int) -> list[Text]:
    """Return the last `rows` events, oldest first, the newest in bold."""
    last = status.events[-rows:] if rows > 0 else ()
    newest = len(last) - 1
    return [
        cut([(f"{clock_words(seconds)}  ", DIM), (_one_line(words), BOLD if row == newest else PLAIN)], width)
        for row, (seconds, words) in enumerate(last)
    ]


def clock_words(seconds: float) -> str:
    """Return seconds as `1:02:03`."""
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def short_seconds(seconds: float) -> str:
    """Return seconds in at most five letters."""
    if seconds < 10.0:
        return f"{seconds:.1f}s"
    if seconds < 600.0:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 36_000.0 else f"{seconds / 3600:.0f}h"


def _meter(name: str, meter: Meter | None, muted: bool, columns: int) -> list[Part]:
    head: list[Part] = [(f"{name:<6}", BOLD), (" MUTE " if muted else " " * 6, BADGES[Severity.NOTE] if muted else "")]
    if meter is None:
        return [*head, ("·" * columns, DIM)]
    cells = bar(columns, _share(meter.rms_db), _share(meter.peak_db), None, SKY)[0][0]
    hot, full = round(_share(_HOT_DB) * columns), round(_share(_FULL_DB) * columns)
    clipping = meter.peak_db > _FULL_DB
    return [
        *head,
        (cells[:hot], DIM if muted else SKY),
        (cells[hot:full], YELLOW),
        (cells[full:], VERMILLION),
        ("·" * (columns - len(cells)), DIM),
        (f" {_db(meter.peak_db)}", BADGES[Severity.BAD] if clipping else BOLD),
        (f" {_db(meter.rms_db)}", PLAIN),
    ]


def _scale(columns: int) -> str:
    """Return the numbers below the meters, each ending where its level is, and what the figures beside them are."""
    row = [" "] * (columns + 1)
    free_until = columns + 1
    for level_db in reversed(_SCALE_DB):
        words = str(level_db)
        end = max(round(_share(level_db) * columns), len(words))
        if end < free_until:
            row[end - len(words) : end] = words
            free_until = end - len(words)
    return f"{'dB':<12}{''.join(row)}{'  peak    rms'}"


def _share(level_db: float) -> float:
    return min(max(1.0 - level_db / FLOOR_DB, 0.0), 1.0)


def _db(level_db: float) -> str:
    return f"{'silent':>6}" if level_db <= SILENCE_DB else f"{level_db:6.1f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}"


def _count(name: str, number: int) -> list[Part]:
    """Return a count that should be nought: in reversed letters where it is not."""
    return [(f"{name} ", PLAIN), (f" {number} ", BADGES[Severity.WARNING])] if number else [(f"{name} 0", PLAIN)]


def _one_line(words: str) -> str:
    return " ".join(words.split())
