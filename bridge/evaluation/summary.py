"""From the figures of songs to the rows of the results: each beside its references and what it must reach."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bridge.evaluation.measures import Figures, SongFigures
from bridge.evaluation.metrics import paired_test
from bridge.evaluation.report import Table, mean, number, percent, verdict
from engine.styles import STYLES

MOST_MEDIAN_MS_ABOVE_REAL = 4.0
MOST_95TH_MS_ABOVE_REAL = 12.0
LEAST_TEMPO = 0.98
LEAST_KEY = 0.85
LEAST_SHARE_OF_REAL = 0.85
LEAST_WINS = 0.90
LEAST_GIVEN_CHORDS = 0.80
LEAST_DIFFERENCE_DB = -20.0
TEMPO_BANDS: Mapping[str, Callable[[float], bool]] = {
    "under 90 bpm": lambda bpm: bpm < 90.0,
    "90 to 120 bpm": lambda bpm: 90.0 <= bpm <= 120.0,
    "over 120 bpm": lambda bpm: bpm > 120.0,
}
SYNTHETIC_VOICES = ("formant", "espeak")

Row = tuple[str, ...]
Statistic = Callable[[Sequence[Figures]], float]

COLUMNS = (
    "figure",
    "generated",
    "real",
    "codec's reconstruction",
    "another song's real",
    "mismatched vocal",
    "wanted",
    "",
)
BREAKDOWN_COLUMNS = (
    "",
    "songs",
    "drums, median",
    "drums, 95th percentile",
    "tempo, octaves allowed",
    "key",
    "harmony on the chord",
    "bass on the chord",
    "agreement with the real one",
    "matched wins",
    "given chords followed",
)
_DASHES = ("–",) * 4


@dataclass(frozen=True, slots=True)
class Line:
    """One figure as a row of the table.

    Attributes:
        name: what it is.
        statistic: from the figures of all songs to one number.
        show: the number as text.
        wanted: what is asked of the generated one, in words; empty if nothing is.
        met: whether the generated one reaches it, beside the real one's.
    """

    name: str
    statistic: Statistic
    show: Callable[[float], str]
    wanted: str = ""
    met: Callable[[float, float], bool] = lambda _generated, _real: False


def drum_percentile(figures: Sequence[Figures], share: float) -> float:
    """Return a percentile (0 to 100) of all drum strokes' distances from the grid, in ms; NaN where there is none."""
    pooled = np.concatenate([one.drum_ms for one in figures]) if figures else np.zeros(0)
    return float(np.percentile(pooled, share)) if len(pooled) else float("nan")


def _mean(name: str) -> Statistic:
    return lambda figures: mean([getattr(one, name) for one in figures])


def _ms(value: float) -> str:
    return number(value, 1, "ms")


def _at_most_above_real(limit: float) -> Callable[[float, float], bool]:
    return lambda generated, real: generated <= real + limit


def _share_of_real(generated: float, real: float) -> bool:
    return generated >= LEAST_SHARE_OF_REAL * real


_OF_REAL = f"{percent(LEAST_SHARE_OF_REAL)} of the real one's"
LINES = (
    Line(
        "drum onsets to the nearest grid position, median",
        partial(drum_percentile, share=50.0),
        _ms,
        f"at most {MOST_MEDIAN_MS_ABOVE_REAL:.0f} ms above the real one's",
        _at_most_above_real(MOST_MEDIAN_MS_ABOVE_REAL),
    ),
    Line(
        "the same, 95th percentile",
        partial(drum_percentile, share=95.0),
        _ms,
        f"at most {MOST_95TH_MS_ABOVE_REAL:.0f} ms above the real one's",
        _at_most_above_real(MOST_95TH_MS_ABOVE_REAL),
    ),
    Line("drum strokes a beat", _mean("strokes_a_beat"), partial(number, digits=2)),
    Line(
        "tempo heard in the mix, octaves allowed",
        _mean("tempo_or_octave"),
        percent,
        percent(LEAST_TEMPO),
        lambda generated, _: generated >= LEAST_TEMPO,
    ),
    Line("the same, octaves not allowed", _mean("tempo"), percent),
    Line("key", _mean("key"), percent, percent(LEAST_KEY), lambda generated, _: generated >= LEAST_KEY),
    Line("key, weighted", _mean("key_weighted"), partial(number, digits=2)),
    Line("harmony energy on the chord", _mean("other_on_chord"), percent, _OF_REAL, _share_of_real),
    Line("bass energy on the chord", _mean("bass_on_chord"), percent, _OF_REAL, _share_of_real),
    Line("agreement with the real accompaniment", _mean("agreement_real"), partial(number, digits=2)),
    Line("agreement with the vocal", _mean("agreement_vocal"), partial(number, digits=2)),
)
CHORDS_LINE = Line("chords heard are the song's, none given", _mean("chords"), percent)

NOTES = (
    "One excerpt of each song, from the bar before the voice enters. *Generated*: the model is given vocal, timeline "
    "and style, neither key nor chords. *Another song's real*: the real accompaniment of the next song of the split, "
    "laid over this one, which is what no listening gives. *Mismatched vocal*: made from that song's vocal at the "
    "same seed, on this song's timeline and in its style. All stems go through the same measures.",
    "*Drum onsets*: spectral flux at hops of 128 samples with parabolic peaks, the detector's bias on clicks taken "
    "out; distance to the nearest 16th or triplet of the song, pooled over all strokes. *Tempo*: of drums, bass and "
    "harmony together, without the voice: autocorrelation of the same flux over one to four beats with a log-normal "
    "preference for 110 bpm; within 4 % (mir_eval) of the tempo that holds longest in the excerpt. Allowed octaves are "
    "its double, half, triple and third: half of a fast swing's quarter notes is what many would tap, and no listener "
    "can tell what was written. *Key*: the one in which the chords heard are likeliest, by how long triads "
    "hold and which follows which in the train split; exactly right, and mir_eval's (MIREX's) weighted score.",
    "*Energy on the chord*: mean share of a frame's energy on the pitch classes of the sounding chord. *Agreement*: "
    "Pearson correlation of 12 pitch classes over windows of two beats, of bass and harmony with the reference; a pair "
    "is won when the accompaniment made from the song's own vocal agrees more with the real one than that from the "
    "other song's vocal (p: one-sided Wilcoxon test). *Chords heard*: triads by templates on each beat of bass and "
    "harmony, sevenths told apart, compared by mir_eval's majmin and weighted by beats. With the chords given, the key "
    "is not.",
)


def accompaniment_table(songs: Sequence[SongFigures]) -> Table:
    """Return one row a figure: generated, its references, what is wanted and whether it is met."""
    rows = [_line_row(line, songs) for line in LINES]
    rows += [_wins_row(songs), _line_row(CHORDS_LINE, songs), _given_row(songs), _difference_row(songs)]
    return Table(f"Accompaniment of {len(songs)} unseen songs", COLUMNS, tuple(rows))


def breakdown_table(songs: Sequence[SongFigures]) -> Table:
    """Return the main figures by style, tempo and voice, each with the real accompaniment's in brackets."""
    rows = tuple(_group_row(name, group) for name, group in _groups(songs) if group)
    return Table(
        "By style, tempo and voice: generated, and in brackets the real accompaniment", BREAKDOWN_COLUMNS, rows
    )


def voice_kind(voice: str) -> str:
    """Return what kind of voice song.json's `voice` is: `formant`, `espeak`, or `recorded` for any other."""
    return voice if voice in SYNTHETIC_VOICES else "recorded"


def _line_row(line: Line, songs: Sequence[SongFigures]) -> Row:
    generated, real, *others = map(line.statistic, _columns(songs))
    told = generated == generated  # not NaN: songs without chords or key have no figure of them
    met = verdict(line.met(generated, real)) if line.wanted and told else ""
    return (line.name, *map(line.show, (generated, real, *others)), line.wanted, met)


def _columns(songs: Sequence[SongFigures]) -> Iterator[list[Figures]]:
    """Yield the figures of all songs, column by column of the table."""
    for name in ("generated", "real", "codec", "another", "mismatched"):
        yield [getattr(song, name) for song in songs]


def _wins_row(songs: Sequence[SongFigures]) -> Row:
    test = paired_test(
        [song.generated.agreement_real for song in songs], [song.mismatched.agreement_real for song in songs]
    )
    found = f"{percent(test.wins)} of pairs, p = {test.p_value:.1g}"
    return ("matched vocal beats mismatched", found, *_DASHES, percent(LEAST_WINS), verdict(test.wins >= LEAST_WINS))


def _given_row(songs: Sequence[SongFigures]) -> Row:
    _, *references = map(_mean("chords"), _columns(songs))
    given = mean([song.given.chords for song in songs])
    shown = (percent(given), *map(percent, references[:-1]), "–")
    met = verdict(given >= LEAST_GIVEN_CHORDS) if given == given else ""
    return ("the same, the song's chords given", *shown, percent(LEAST_GIVEN_CHORDS), met)


def _difference_row(songs: Sequence[SongFigures]) -> Row:
    levels = np.array([song.difference_db for song in songs])
    found = f"{number(float(np.median(levels)), 1, 'dB')}, smallest {number(float(levels.min()), 1, 'dB')}"
    wanted = f"every one above {LEAST_DIFFERENCE_DB:.0f} dB"
    met = verdict(bool(levels.min() > LEAST_DIFFERENCE_DB))
    return ("level of what another vocal changes", found, *_DASHES, wanted, met)


def _groups(songs: Sequence[SongFigures]) -> Iterator[tuple[str, list[SongFigures]]]:
    yield "all", list(songs)
    for style in STYLES:
        yield style, [song for song in songs if song.song.facts.style == style]
    for name, holds in TEMPO_BANDS.items():
        yield name, [song for song in songs if holds(song.song.bpm)]
    for kind in ("recorded", *SYNTHETIC_VOICES):
        yield f"{kind} voice", [song for song in songs if voice_kind(song.song.facts.voice) == kind]


def _group_row(name: str, songs: Sequence[SongFigures]) -> Row:
    generated, real = [song.generated for song in songs], [song.real for song in songs]

    def beside(statistic: Statistic, show: Callable[[float], str]) -> str:
        return f"{show(statistic(generated))} ({show(statistic(real))})"

    shown = (
        (partial(drum_percentile, share=50.0), _ms),
        (partial(drum_percentile, share=95.0), _ms),
        (_mean("tempo_or_octave"), percent),
        (_mean("key"), percent),
        (_mean("other_on_chord"), percent),
        (_mean("bass_on_chord"), percent),
    )
    own = [song.generated.agreement_real for song in songs]
    wins = paired_test(own, [song.mismatched.agreement_real for song in songs]).wins
    given = f"{percent(mean([song.given.chords for song in songs]))} ({percent(mean([one.chords for one in real]))})"
    cells = [beside(statistic, show) for statistic, show in shown]
    return (name, str(len(songs)), *cells, number(mean(own), 2), percent(wins), given)
