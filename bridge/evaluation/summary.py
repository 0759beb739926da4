"""From figures of songs to the rows of the results, each beside what it must reach."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.accompaniment import Against, SongFigures
from bridge.evaluation.codec import CODEC_STEMS, StemFigures
from bridge.evaluation.metrics import PairedTest, paired_test
from bridge.evaluation.report import Table, mean, number, percent, verdict

MOST_MS_ABOVE_REAL = 12.0
HIGHEST_P = 0.01
LEAST_WINS = 0.75
LEAST_DIFFERENCE_DB = -20.0
LEAST_PITCH = {"bass": 0.85, "other": 0.75}
LINEAR_PITCH = {"bass": "97 %", "other": "88 %"}

Row = tuple[str, ...]

ACCOMPANIMENT_NOTES = (
    "Songs of the test split, one excerpt each, from the bar before the voice enters. The model is given vocal, "
    "timeline and style, neither key nor chords. Each song is paired with another one of the split; its vocal, chords "
    "and grid are what *mismatched* and *shuffled* mean. Generated and real stems go through the same measures.",
    "*Drum onsets*: spectral flux at hops of 128 samples with parabolic peaks, the detector's bias on clicks taken "
    "out; distance to the nearest 16th or triplet of the song, median over all strokes. *On the chord*: mean share of "
    "a frame's energy on the pitch classes of the sounding chord, one-sided Wilcoxon test over songs. *Agreement*: "
    "Pearson correlation of 12 pitch classes over windows of two beats, of bass and harmony with the reference; a pair "
    "is won when the accompaniment made from the song's own vocal agrees more than the one from the partner's vocal, "
    "at the same seed and on the same timeline. *Key*: Krumhansl profiles, MIREX's weighted score. *Tempo*: within "
    "4 %, octaves allowed.",
)
CODEC_NOTES = (
    "The engine's own encoder and decoder on whole excerpts. *Strongest pitch class*: constant-Q spectrum of 36 bins "
    "an octave from 32.7 Hz over windows of 8192 samples, power summed over octaves; share of the frames (2048 samples "
    "each) above -40 dB of the stem's loudest in which original and reconstruction have the same. *Log-mel*: mean "
    "absolute difference of 80 bands in dB. *STFT*: spectral convergence plus log-magnitude distance, mean over "
    "windows of 512 to 4096.",
)


def accompaniment_table(songs: Sequence[SongFigures]) -> Table:
    """Return the rows about the accompaniment."""
    rows = [_drum_row(songs)]
    for name, own, real in (
        ("harmony energy on the chord", _get("other_on_chord"), _get("real_other_on_chord")),
        ("bass energy on the chord", _get("bass_on_chord"), _get("real_bass_on_chord")),
    ):
        rows.append(_chord_row(name, songs, own, real))
    rows.append(_agreement_row("agreement with the song's real accompaniment", songs, _get("agreement_real")))
    rows.append(_agreement_row("agreement with the song's vocal", songs, _get("agreement_vocal")))
    rows += [_difference_row(songs), *_plain_rows(songs)]
    columns = ("figure", "generated", "beside it", "wanted", "")
    return Table(f"Accompaniment of {len(songs)} unseen songs", columns, tuple(rows))


def codec_table(figures: Mapping[str, StemFigures], earlier: Mapping[str, StemFigures] | None = None) -> Table:
    """Return the rows about the codec, one a stem, beside those of an earlier state of its training if there is one."""
    rows = []
    for stem in CODEC_STEMS:
        found, before = figures[stem], earlier[stem] if earlier else None
        wanted = LEAST_PITCH.get(stem)
        rows.append(
            (
                stem,
                str(found.songs),
                _beside(percent(found.pitch.share), percent(before.pitch.share) if before else None),
                _beside(number(found.mean_log_mel_db, 2), number(before.mean_log_mel_db, 2) if before else None),
                _beside(number(found.mean_stft, 3), number(before.mean_stft, 3) if before else None),
                f"pitch {percent(wanted)} (a linear projection: {LINEAR_PITCH[stem]})" if wanted else "",
                verdict(found.pitch.share >= wanted) if wanted else "",
            )
        )
    title = "Codec on unseen stems" + (" (in brackets: an earlier state of its training)" if earlier else "")
    columns = ("stem", "songs", "strongest pitch class right", "log-mel, dB", "STFT", "wanted", "")
    return Table(title, columns, tuple(rows))


def _get(name: str) -> Callable[[SongFigures], Against]:
    return lambda song: getattr(song, name)


def _drum_row(songs: Sequence[SongFigures]) -> Row:
    generated = _pooled_median([song.generated_ms for song in songs])
    real = _pooled_median([song.real_ms for song in songs])
    shuffled = _pooled_median([song.shuffled_ms for song in songs])
    return (
        "drum onsets to the nearest grid position, median",
        number(generated, 1, "ms"),
        f"real {number(real, 1, 'ms')}; shuffled grid {number(shuffled, 1, 'ms')}",
        f"at most {MOST_MS_ABOVE_REAL:.0f} ms above the real one's",
        verdict(generated <= real + MOST_MS_ABOVE_REAL),
    )


def _chord_row(
    name: str,
    songs: Sequence[SongFigures],
    own: Callable[[SongFigures], Against],
    real: Callable[[SongFigures], Against],
) -> Row:
    test = _paired([own(song) for song in songs])
    of_real = mean([real(song).own for song in songs])
    return (
        name,
        percent(test.mean_first),
        f"shuffled song's chords {percent(test.mean_second)}, p = {_p(test)}; real accompaniment {percent(of_real)}",
        f"above, p < {HIGHEST_P}",
        verdict(test.mean_first > test.mean_second and test.p_value < HIGHEST_P),
    )


def _agreement_row(name: str, songs: Sequence[SongFigures], pick: Callable[[SongFigures], Against]) -> Row:
    test = _paired([pick(song) for song in songs])
    return (
        f"matched vocal against mismatched: {name}",
        f"matched wins {percent(test.wins)}",
        f"mean {number(test.mean_first, 3)} against {number(test.mean_second, 3)}, p = {_p(test)}",
        f"matched wins {percent(LEAST_WINS)}",
        verdict(test.wins >= LEAST_WINS),
    )


def _difference_row(songs: Sequence[SongFigures]) -> Row:
    levels = np.array([song.difference_db for song in songs])
    return (
        "same seed, another vocal: level of the difference, median",
        number(float(np.median(levels)), 1, "dB"),
        f"smallest {number(float(levels.min()), 1, 'dB')}",
        f"another accompaniment (every one above {LEAST_DIFFERENCE_DB:.0f} dB)",
        verdict(bool(levels.min() > LEAST_DIFFERENCE_DB)),
    )


def _plain_rows(songs: Sequence[SongFigures]) -> list[Row]:
    key_generated, key_real = (mean([getattr(song.key_score, side) for song in songs]) for side in ("own", "other"))
    tempo_generated, tempo_real = (
        mean([getattr(song.tempo_right, side) for song in songs]) for side in ("own", "other")
    )
    return [
        (
            "key of the accompaniment is the song's, weighted",
            number(key_generated, 2),
            f"real {number(key_real, 2)}",
            "",
            "",
        ),
        ("tempo heard in the drums is the song's", percent(tempo_generated), f"real {percent(tempo_real)}", "", ""),
    ]


def _paired(figures: Sequence[Against]) -> PairedTest:
    return paired_test([figure.own for figure in figures], [figure.other for figure in figures])


def _p(test: PairedTest) -> str:
    return f"{test.p_value:.1g}"


def _pooled_median(deviations: Sequence[NDArray[np.float64]]) -> float:
    pooled = np.concatenate(deviations) if deviations else np.zeros(0)
    return float(np.median(pooled)) if len(pooled) else float("nan")


def _beside(now: str, before: str | None) -> str:
    return f"{now} ({before})" if before else now
