"""The page of the listening folder: tables that are written anew, and a part written by hand that stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.listen_figures import TakeFigures, most_alike
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, number, percent, write_section
from engine.geometry import STEMS
from engine.harmony import ChordSpan
from engine.timeline import Timeline

HAND_START, HAND_END = "<!-- by hand -->", "<!-- end by hand -->"
TITLE = (
    "# Listen\n\nThe demo vocal, a melody of the project's own at 92 BPM, accompanied in every style by the bundle "
    "named below. The first {beats} beats of each take: *mix* is vocal and accompaniment with the effects of "
    "the style's factory preset, *accompaniment* is what the model gave, without any effect.\n"
)
NOTES = (
    "*Loudness*: ITU-R BS.1770 of drums, bass and harmony as the model gave them, in LUFS. *Strokes*: drum onsets a "
    "bar. *Repeat*: how alike a bar's drums are to the next bar's (correlation of where they strike, 12 places a beat, "
    "mean over three bands, median over bars); 1 is the same bar again. *Off the grid*: median distance of the drum "
    "onsets from the nearest 16th, or triplet in jazz-swing. *Key*: "
    "Krumhansl profiles, of bass and harmony together. *On the chords*: share of the energy of bass and harmony on the "
    "chords that were read off the vocal. *Width*: the harmony's side signal relative to its middle; mono is -inf. "
    "*Most alike drums*: the other style of this metre whose drums lie most alike in the mean bar, measured as Repeat.",
    "*Chords*: the major or minor triad that holds the most of a bar's energy of bass and harmony, with a question "
    "mark where that is less than half; *read off the vocal* is what the model was told. Pictures: drums 40 Hz to 16 "
    "kHz (mel), bass C1 to C5, harmony C2 to C8, 60 dB from black to white, each from its own loudest.",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page says of one take.

    Attributes:
        preset: the preset's name, or nothing.
        figures: what was measured.
        wanted: the chords read off the vocal, one text a bar.
    """

    preset: str
    figures: TakeFigures
    wanted: tuple[str, ...]


def chords_by_bar(chords: Sequence[ChordSpan], timeline: Timeline, bars: int) -> tuple[str, ...]:
    """Return the names of the chords that begin or go on in each bar, such as `Am E`; a dash where there is none."""
    borders = [timeline.beat_at_bar(bar) for bar in range(bars + 1)]
    names = []
    for start, end in pairwise(borders):
        inside = [span.chord.name for span in chords if span.start_beat < end and span.end_beat > start]
        names.append(" ".join(inside) or "–")
    return tuple(names)


def update_page(page: Path, shown: Mapping[str, Shown], bundle: str, beats: float) -> None:
    """Write the tables into `page`; everything outside of them, and so what was written by hand, stays.

    Args:
        page: a markdown file, beside a folder of its name that holds sounds and pictures.
        shown: style to what is said of it.
        bundle: digest of the bundle's manifest.
        beats: how much of each take is heard.
    """
    if not page.is_file():
        page.write_text(f"{TITLE.format(beats=f'{beats:g}')}\n{HAND_START}\n{HAND_END}\n", encoding="utf-8")
    command = f"python -m benchmarks.listen --out docs/{page.stem}"
    source = f"Bundle {bundle}. {provenance().line}"
    tables = (takes_table(shown, page.stem), chords_table(shown))
    write_section(page, Section("listen", "Every style", command, source, tables, NOTES))


def speaks_of(page: Path, bundle: str) -> bool:
    """Return whether the part written by hand names this bundle, and so may stay as it is; true for an empty part."""
    by_hand = page.read_text(encoding="utf-8").partition(HAND_START)[2].partition(HAND_END)[0].strip()
    return not by_hand or bundle in by_hand


def takes_table(shown: Mapping[str, Shown], folder: str) -> Table:
    """Return one row a style: where its sound and its picture lie, and what was measured."""
    figures = {style: one.figures for style, one in shown.items()}
    rows = []
    for style, one in shown.items():
        take, alike = one.figures, most_alike(style, figures)
        rows.append(
            (
                style,
                f"[mix]({folder}/{style}-mix.ogg)",
                f"[accompaniment]({folder}/{style}-accompaniment.ogg)",
                f"[picture]({folder}/{style}.png)",
                one.preset or "–",
                " / ".join(number(take.lufs[stem], 1) for stem in STEMS),
                number(take.strokes_a_bar, 1),
                number(take.repeat, 2),
                number(take.off_grid_ms, 1, "ms"),
                take.key.name,
                percent(take.on_chord),
                number(take.width_db, 1, "dB"),
                f"{alike[0]} ({alike[1]:.2f})" if alike else "–",
            )
        )
    measured = ("loudness", "strokes", "repeat", "off the grid", "key", "on the chords", "width", "most alike drums")
    columns = ("style", "listen", "accompaniment", "picture", "preset", *measured)
    return Table("Sound, picture and figures", columns, tuple(rows))


def chords_table(shown: Mapping[str, Shown]) -> Table:
    """Return the chords heard in each bar of each style, below each metre's chords that were read off the vocal."""
    bars = max(len(one.wanted) for one in shown.values())
    rows, told = [], None
    for style, one in shown.items():
        if one.wanted != told:
            rows.append(("*read off the vocal*", *_filled(one.wanted, bars)))
            told = one.wanted
        rows.append((style, *_filled([heard.name for heard in one.figures.chords], bars)))
    return Table("Chords heard, by bar", ("style", *(str(bar + 1) for bar in range(bars))), tuple(rows))


def _filled(texts: Sequence[str], count: int) -> tuple[str, ...]:
    return (*texts, *("" for _ in range(count - len(texts))))
