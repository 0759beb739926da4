"""Fill, continue, re-roll: is the border of what was made anew larger than what music does at its own bar lines?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.bar_spectra import mel_db_from, whole_bars
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, number, percent, verdict
from bridge.evaluation.songs import Excerpt, SongFacts, read_excerpt
from bridge.evaluation.takes import Band, Stems, band, mixed
from engine.bundle import Bundle
from engine.geometry import STEMS
from engine.spectra import Array
from engine.wish import Kept, Wish

FILL_BARS = 2
FLUX_WINDOW_SAMPLES = 1_024
LEVEL_WINDOW_SAMPLES = 4_096
_RANGE_DB = 60.0
_LOWEST_LEVEL_DB = -60.0
NOTES = (
    "A part of each song is made anew within a take that is kept, from bar line to bar line: a *fill* of two bars in "
    "all stems, a *continuation* from the middle on, and a *re-roll* of two bars of the drums; kept is once a take of "
    "the model's own and once the song's real accompaniment. *Flux*: mean absolute difference in dB of 40 mel bands "
    "(60 dB below the loudest and less count alike) between the 1024 samples after the border and the 1024 before it. "
    "*Level*: difference in dB of the 4096 samples on either side. Both of the sum of the stems, for a re-roll of the "
    "drums alone; beside them the same at every bar line of the real accompaniment and of the model's own whole take. "
    "*Untouched*: all samples outside the part, and all locked stems, are the kept ones to the bit.",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Steps:
    """What happens at borders.

    Attributes:
        flux_db: (borders,) mean difference of the spectra on both sides.
        level_db: (borders,) difference of the levels, never negative.
    """

    flux_db: Floats
    level_db: Floats


@dataclass(frozen=True, slots=True)
class SeamFigures:
    """One way of making a part of one song anew.

    Attributes:
        way: `fill`, `continue` or `re-roll`.
        kept: `own take` or `real`: what it was made within.
        seams: at the borders of the part.
        real: at all bar lines of the real accompaniment.
        generated: at all bar lines of a take in one piece.
        untouched: whether all that was not to be made is as it was, to the bit.
    """

    way: str
    kept: str
    seams: Steps
    real: Steps
    generated: Steps
    untouched: bool


def section(
    bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None], seed: int = 0
) -> Section:
    """Measure the seams on songs that the bundle never saw.

    Args:
        bundle: what plays.
        songs: the songs.
        seconds: how much of each.
        tell: called once a song.
        seed: of the takes.
    """
    play = band(bundle)
    figures: list[SeamFigures] = []
    for facts in songs:
        figures += seam_figures(play, read_excerpt(facts, seconds), Wish(style=facts.style, seed=seed))
        tell()
    source = provenance().line
    tables = (seams_table(figures), untouched_table(figures))
    return Section("seams", "Fill, continue, re-roll", "backline evaluate --parts seams", source, tables, NOTES)


def seam_figures(play: Band, excerpt: Excerpt, wish: Wish) -> list[SeamFigures]:
    """Make parts of a song anew in each way; none for a song of too few bars.

    Args:
        play: the band.
        excerpt: the song.
        wish: style and seed of the first take; what is made anew has the next seed.
    """
    lines = bar_lines(excerpt)
    if len(lines) < FILL_BARS + 2:
        return []
    real = {stem: excerpt.audio[stem] for stem in STEMS}
    own = play(excerpt, wish)
    figures = []
    for name, base in (("own take", own), ("real", real)):
        for way, kept in _parts(base, lines):
            made = play(excerpt, replace(wish, seed=wish.seed + 1), kept)
            heard = _drums if way == "re-roll" else mixed
            borders = [border for border in kept.sample_range if 0 < border < excerpt.samples]
            figures.append(
                SeamFigures(
                    way=way,
                    kept=name,
                    seams=steps_at(heard(made), borders),
                    real=steps_at(heard(real), lines),
                    generated=steps_at(heard(own), lines),
                    untouched=is_untouched(made, kept),
                )
            )
    return figures


def bar_lines(excerpt: Excerpt) -> list[int]:
    """Return the samples of the bar lines around the excerpt's whole bars, without its first and last samples."""
    bars = whole_bars(excerpt.timeline, excerpt.samples)
    lines = [excerpt.timeline.sample_at_bar(bar) for bar in (*bars, bars.stop)]
    return [line for line in lines if LEVEL_WINDOW_SAMPLES <= line <= excerpt.samples - LEVEL_WINDOW_SAMPLES]


def steps_at(audio: Array, borders: Sequence[int]) -> Steps:
    """Return how much spectrum and level change at each border.

    Args:
        audio: (channels, samples).
        borders: samples; silence is taken to lie outside the signal.
    """
    at = np.array(borders, np.int64)
    after = mel_db_from(audio, at, FLUX_WINDOW_SAMPLES)
    before = mel_db_from(audio, at - FLUX_WINDOW_SAMPLES, FLUX_WINDOW_SAMPLES)
    floor = max(after.max(initial=-200.0), before.max(initial=-200.0)) - _RANGE_DB
    flux = np.abs(np.maximum(after, floor) - np.maximum(before, floor)).mean(axis=1)
    levels = [
        (_level_db(audio[:, max(b - LEVEL_WINDOW_SAMPLES, 0) : b]), _level_db(audio[:, b : b + LEVEL_WINDOW_SAMPLES]))
        for b in at
    ]
    return Steps(flux, np.array([abs(late - early) for early, late in levels], np.float64))


def is_untouched(made: Stems, kept: Kept) -> bool:
    """Return whether all of `made` that was not to be made anew is what was kept, to the bit."""
    start, end = kept.sample_range
    for stem, audio in kept.stems.items():
        parts = [slice(0, start), slice(end, None)] if stem in kept.regenerate else [slice(None)]
        if any(not np.array_equal(made[stem][:, part], audio[:, part]) for part in parts):
            return False
    return True


def seams_table(figures: Sequence[SeamFigures]) -> Table:
    """Return the rows about the borders, median and 95th percentile over all songs."""
    rows = []
    for (way, kept), ones in _grouped(figures).items():
        for name, pick in _MEASURES.items():
            seams, real, generated = (
                np.concatenate([pick(getattr(one, side)) for one in ones]) for side in ("seams", "real", "generated")
            )
            met = all(np.percentile(seams, level) <= np.percentile(real, level) for level in (50, 95))
            figures_of = [_percentiles(values) for values in (seams, real, generated)]
            rows.append((f"{way} in {kept}", name, str(len(seams)), *figures_of, verdict(met)))
    columns = ("made anew", "step", "borders", "at the borders", "real bar lines", "bar lines of a whole take", "")
    return Table("Seams, median / 95th percentile, wanted no larger than at real bar lines", columns, tuple(rows))


def untouched_table(figures: Sequence[SeamFigures]) -> Table:
    """Return the rows about what was to stay."""
    rows = []
    for (way, kept), ones in _grouped(figures).items():
        share = sum(one.untouched for one in ones) / len(ones)
        rows.append((f"{way} in {kept}", percent(share), "100 %", verdict(share == 1.0)))
    return Table(
        "Untouched to the bit outside the part, and in locked stems", ("made anew", "songs", "wanted", ""), tuple(rows)
    )


_MEASURES: Mapping[str, Callable[[Steps], Floats]] = {
    "flux": lambda steps: steps.flux_db,
    "level": lambda steps: steps.level_db,
}


def _parts(base: Stems, lines: Sequence[int]) -> Iterator[tuple[str, Kept]]:
    """Yield the ways of making a part anew, from bar line to bar line near the song's middle."""
    middle = len(lines) // 2
    first = max(middle - FILL_BARS // 2, 0)
    start, end = lines[first], lines[min(first + FILL_BARS, len(lines) - 1)]
    samples = next(iter(base.values())).shape[1]
    yield "fill", Kept(base, start, end)
    yield "continue", Kept(base, lines[middle], samples)
    yield "re-roll", Kept(base, start, end, ("drums",))


def _drums(stems: Stems) -> Array:
    return stems["drums"]


def _level_db(audio: Array) -> float:
    power = float(np.square(audio, dtype=np.float64).mean()) if audio.size else 0.0
    return max(10.0 * float(np.log10(max(power, 1e-12))), _LOWEST_LEVEL_DB)


def _grouped(figures: Sequence[SeamFigures]) -> dict[tuple[str, str], list[SeamFigures]]:
    groups: dict[tuple[str, str], list[SeamFigures]] = {}
    for one in figures:
        groups.setdefault((one.way, one.kept), []).append(one)
    return groups


def _percentiles(values: Floats) -> str:
    median, high = np.percentile(values, (50, 95))
    return f"{number(float(median))} / {number(float(high), 1, 'dB')}"
