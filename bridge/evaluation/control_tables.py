"""From figures of the controls to the rows of the results, each beside what it must reach."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from bridge.evaluation.control_faders import FADER, Measure, Sweep, spread
from bridge.evaluation.control_harmony import ChordFigures, KeyFigures
from bridge.evaluation.control_rerolls import RerollFigures, percentile_ms
from bridge.evaluation.control_styles import OTHER, OWN, REAL, REBUILT, HeardStyle, share_heard, share_of_song
from bridge.evaluation.report import Table, mean, number, percent, verdict

LEAST_CORRELATION = 0.8
LEAST_CHORDS_RIGHT = 0.8
MOST_MS_WORSE = 2.0

Row = tuple[str, ...]
_Figures = TypeVar("_Figures")

NOTES = (
    "*Faders*: the same vocal, style and seed with the fader at 0, 0.25, 0.5, 0.75 and 1; Spearman's rank correlation "
    "with the fader, a mean over songs (0 where nothing moves), and how far the measure moves from 0 to 1, beside how "
    "far apart the songs' real accompaniments lie (10th to 90th percentile). Loudness: integrated, ITU-R BS.1770. "
    "*Resemblance*: correlation of each bar's picture (40 mel bands at 16 grid positions) with the bar before.",
    "*Chords*: share of the beats on which the triad heard in bass and harmony is the one given (mir_eval, majmin). "
    "*Another song's chords* are moved into this song's key; the vocal stays. *Key*: keys a fifth and a whole tone "
    "above the one that the bundle reads off the vocal; MIREX's weighted score.",
    "*Style*: a linear discriminant with a shrunk covariance on the drums' pattern in the bar and each stem's mel "
    "spectrum relative to its loudest band, trained on real stems of the train split; songs in 4/4 alone, as another "
    "metre gives the waltz away. *Drums made anew*: the next seed, bass and harmony locked; strokes within 30 ms are "
    "the same.",
)

_ALL_MEASURES: dict[str, tuple[Measure, int, str]] = {
    "loudness of the mix": (lambda take: take.mix_lufs, 1, "LU"),
    "loudness of the drums": (lambda take: take.drums_lufs, 1, "LU"),
    "drum onsets a second": (lambda take: take.drum_onsets_a_second, 2, ""),
    "onsets of the mix a second": (lambda take: take.mix_onsets_a_second, 2, ""),
    "resemblance of bars": (lambda take: take.resemblance, 3, ""),
    "chords right": (lambda take: take.figures.chords, 2, ""),
    "key right, weighted": (lambda take: take.figures.key_weighted, 2, ""),
    "tempo right": (lambda take: take.figures.tempo, 2, ""),
}
_NAMED = {
    "arousal": ("loudness of the mix", "loudness of the drums", "drum onsets a second", "onsets of the mix a second"),
    "focus": ("resemblance of bars",),
}


def fader_table(arousal: Sequence[Sweep], focus: Sequence[Sweep]) -> Table:
    """Return the rows about the faders: first what each names, then what else moves."""
    rows: list[Row] = []
    for control, sweeps in (("arousal", arousal), ("focus", focus)):
        named = _NAMED[control]
        others = [name for name in _ALL_MEASURES if name not in named]
        rows += [_fader_row(control, name, sweeps, name in named) for name in (*named, *others)]
    columns = (
        "fader",
        "measure",
        "rank correlation",
        f"moves, {FADER[0]:g} to {FADER[-1]:g}",
        "real songs",
        "wanted",
        "",
    )
    return Table(f"Faders, {len(arousal)} unseen songs", columns, tuple(rows))


def chord_table(songs: Sequence[ChordFigures]) -> Table:
    """Return the rows about chords that are given."""
    own, own_unasked = _mean(songs, lambda song: song.own), _mean(songs, lambda song: song.own_unasked)
    other, ignored = _mean(songs, lambda song: song.other), _mean(songs, lambda song: song.other_unasked)
    real, rebuilt, another = (
        percent(_mean(songs, pick)) for pick in (lambda s: s.real, lambda s: s.rebuilt, lambda s: s.another)
    )
    beside = f"real {real}; through the codec {rebuilt}; another song's real {another}"
    wanted = percent(LEAST_CHORDS_RIGHT)
    rows = (
        ("the song's own", percent(own), percent(own_unasked), beside, wanted, verdict(own >= LEAST_CHORDS_RIGHT)),
        ("another song's", percent(other), percent(ignored), "", wanted, verdict(other >= LEAST_CHORDS_RIGHT)),
    )
    columns = ("chords given", "heard", "heard when not given", "the song's own chords in", "wanted", "")
    return Table(f"Chords, {len(songs)} unseen songs", columns, rows)


def key_table(keys: Sequence[KeyFigures]) -> Table:
    """Return the rows about keys that are given."""
    rows = (
        (
            "is the key given",
            percent(_mean(keys, lambda one: one.exact)),
            percent(_mean(keys, lambda one: one.exact_unasked)),
        ),
        ("weighted", number(_mean(keys, lambda one: one.given), 2), number(_mean(keys, lambda one: one.unasked), 2)),
    )
    return Table(
        f"Keys that are not the vocal's likeliest, {len(keys)} takes",
        ("key heard in bass and harmony", "given", "not given"),
        rows,
    )


def style_table(heard: Sequence[HeardStyle]) -> Table:
    """Return the rows about styles: how often what is heard is what was asked for."""
    styles = {one.asked for one in heard}
    rows = []
    for made in (REAL, REBUILT, OWN, OTHER):
        count = sum(one.made == made for one in heard)
        beside = f"heard in the song's own style: {percent(share_of_song(heard))}" if made == OTHER else ""
        rows.append((made, str(count), percent(share_heard(heard, made)), beside))
    title = (
        f"Style heard by a classifier of real stems ({len(styles)} styles; chance {percent(1 / max(len(styles), 1))})"
    )
    return Table(title, ("stems", "count", "as asked", ""), tuple(rows))


def confusion_table(heard: Sequence[HeardStyle]) -> Table:
    """Return how often each style was heard where one was asked for, in real and in generated stems."""
    styles = sorted({one.asked for one in heard} | {one.heard for one in heard})
    counted = Counter((one.asked, one.heard, one.made in (OWN, OTHER)) for one in heard if one.made != REBUILT)
    rows = tuple((asked, *(_cell(counted, asked, name) for name in styles)) for asked in styles)
    return Table("Style asked for, by row, and heard, by column: generated (real)", ("", *styles), rows)


def reroll_table(songs: Sequence[RerollFigures]) -> Table:
    """Return the rows about drums that were made anew."""
    first, second = ([getattr(song, name) for song in songs] for name in ("first_ms", "second_ms"))
    medians, highs = ([percentile_ms(take, level) for take in (first, second)] for level in (50, 95))
    worse = max(medians[1] - medians[0], highs[1] - highs[0])
    locked = _mean(songs, lambda song: song.locked_same)
    difference = _mean(songs, lambda song: song.difference_db)
    rows = (
        (
            "strokes that both takes have (F-measure)",
            number(_mean(songs, lambda song: song.same_strokes), 2),
            f"a take and the real drums {number(_mean(songs, lambda song: song.same_as_real), 2)}",
            "others",
            verdict(all(song.same_strokes < 1.0 for song in songs)),
        ),
        ("level of the difference", number(difference, 1, "dB"), "unrelated +3 dB", "", ""),
        (
            "strokes to the grid, median / 95th percentile",
            f"{number(medians[1])} / {number(highs[1], 1, 'ms')}",
            f"first take {number(medians[0])} / {number(highs[0], 1, 'ms')}",
            f"at most {MOST_MS_WORSE:g} ms worse",
            verdict(worse <= MOST_MS_WORSE),
        ),
        ("bass and harmony locked, the same to the bit", percent(locked), "", "100 %", verdict(locked == 1.0)),
    )
    return Table(
        f"Drums made anew, {len(songs)} unseen songs", ("figure", "second take", "beside it", "wanted", ""), rows
    )


def _fader_row(control: str, name: str, sweeps: Sequence[Sweep], named: bool) -> Row:
    measured, digits, unit = _ALL_MEASURES[name]
    correlation = mean([one.correlation(measured) for one in sweeps])
    moves = mean([one.span(measured) for one in sweeps])
    wanted = control == "arousal" and name in ("loudness of the mix", "drum onsets a second")
    return (
        control if named else f"{control}, beside it",
        name,
        number(correlation, 2),
        ("+" if moves > 0 else "") + number(moves, digits, unit),
        number(spread(sweeps, measured), digits, unit),
        f"{LEAST_CORRELATION:g}" if wanted else "",
        verdict(correlation >= LEAST_CORRELATION) if wanted else "",
    )


def _mean(songs: Sequence[_Figures], pick: Callable[[_Figures], float]) -> float:
    return mean([float(pick(song)) for song in songs])


def _cell(counted: Counter[tuple[str, str, bool]], asked: str, heard: str) -> str:
    generated, real = counted[asked, heard, True], counted[asked, heard, False]
    return f"{generated} ({real})" if generated or real else ""
