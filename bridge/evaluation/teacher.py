"""What few distilled steps lose against many guided ones of the teacher: each row of the accompaniment's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bridge.evaluation.accompaniment import pairs, song_figures
from bridge.evaluation.measures import SongFigures
from bridge.evaluation.metrics import paired_test
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, mean, percent, verdict
from bridge.evaluation.songs import SongFacts
from bridge.evaluation.summary import CHORDS_LINE, LINES, Line
from bridge.evaluation.takes import band
from engine.bundle import Bundle
from engine.spectra import Array

TEACHER_STEPS, TEACHER_GUIDANCE = 32, 2.0
MOST_LOST = 0.03
SMALLER_IS_BETTER = {line.name for line in LINES[:2]}
"""The distances of drum strokes from the grid."""
NOT_JUDGED = {"drum strokes a beat"}
"""What is neither better nor worse for being more."""

NOTES = (
    f"The bundle with its own few steps beside its teacher, the weights that it was distilled from, with "
    f"{TEACHER_STEPS} steps and guidance {TEACHER_GUIDANCE:g}: same vocals, styles and seeds; codec, chord reader, "
    "levels and expanders are the bundle's in both. Figures as in *Accompaniment*. *Lost*: of the teacher's figure; "
    "negative where the few steps are better.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both.

    Attributes:
        name: what it is.
        value: from the figures of all songs.
        show: a value as text.
    """

    name: str
    value: Callable[[Sequence[SongFigures]], float]
    show: Callable[[float], str]


def section(
    bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None], teacher: Bundle
) -> Section:
    """Return the rows of `bundle` with its own steps beside those of `teacher` with many.

    Args:
        bundle: the distilled one.
        songs: that neither saw, two or more.
        seconds: how much of each.
        tell: called after each song.
        teacher: a bundle of the weights that it was distilled from.
    """
    play, play_long = band(bundle), band(with_many_steps(bundle, teacher))
    ours, theirs = [], []
    for seed, (excerpt, partner) in enumerate(pairs(songs, seconds)):
        ours.append(song_figures(excerpt, partner, play, _unchanged, seed))
        theirs.append(song_figures(excerpt, partner, play_long, _unchanged, seed))
        tell()
    title = f"{bundle.sampling.steps} distilled steps beside the teacher's {TEACHER_STEPS}"
    command = "backline evaluate --parts teacher --teacher BUNDLE"
    return Section("teacher", title, command, provenance().line, (teacher_table(ours, theirs),), NOTES)


def with_many_steps(bundle: Bundle, teacher: Bundle) -> Bundle:
    """Return `bundle` with the denoiser of `teacher`, and many guided steps of it."""
    patient = bundle.with_sampling(
        steps=TEACHER_STEPS,
        guidance_scale=TEACHER_GUIDANCE,
        distilled_guidance_scale=teacher.sampling.distilled_guidance_scale,
    )
    return replace(patient, denoiser=teacher.denoiser)


def teacher_table(ours: Sequence[SongFigures], theirs: Sequence[SongFigures]) -> Table:
    """Return one row a figure: the few steps', the teacher's, what is lost, and whether that is little enough."""
    rows = []
    for row in _rows():
        few, many = row.value(ours), row.value(theirs)
        lost = loss(row.name, few, many)
        judged = row.name not in NOT_JUDGED and lost == lost
        met = verdict(lost <= MOST_LOST) if judged else ""
        rows.append((row.name, row.show(few), row.show(many), percent(lost), met))
    columns = ("figure", "distilled", "teacher", f"lost, wanted at most {percent(MOST_LOST)}", "")
    return Table(f"{len(ours)} unseen songs", columns, tuple(rows))


def loss(name: str, few: float, many: float) -> float:
    """Return what share of the teacher's figure is lost; NaN where that is 0."""
    if many == 0.0:
        return float("nan")
    return (few - many) / many if name in SMALLER_IS_BETTER else (many - few) / many


def _rows() -> list[Row]:
    rows = [Row(line.name, partial(_of_generated, line), line.show) for line in (*LINES, CHORDS_LINE)]
    rows.append(Row("matched vocal beats mismatched", _wins, percent))
    rows.append(Row("chords heard are the song's, given", _given, percent))
    return rows


def _of_generated(line: Line, songs: Sequence[SongFigures]) -> float:
    return line.statistic([song.generated for song in songs])


def _wins(songs: Sequence[SongFigures]) -> float:
    own = [song.generated.agreement_real for song in songs]
    return paired_test(own, [song.mismatched.agreement_real for song in songs]).wins


def _given(songs: Sequence[SongFigures]) -> float:
    return mean([song.given.chords for song in songs])


def _unchanged(audio: Array) -> Array:
    """Stand for the codec's reconstruction, which is not shown here."""
    return audio
