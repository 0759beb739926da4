"""The codec's part of the results: its rows, each beside what a linear projection or an earlier state reaches."""

from collections.abc import Callable, Mapping, Sequence

from bridge.evaluation.codec import CODEC_STEMS, StemFigures, codec_figures, reconstruction
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, number, percent, verdict
from bridge.evaluation.songs import SongFacts, read_excerpt
from engine.bundle import Bundle

LEAST_PITCH = {"bass": 0.97, "other": 0.92}
LINEAR_PITCH = {"bass": "97 %", "other": "88 %"}

NOTES = (
    "The engine's own encoder and decoder on whole excerpts. *Strongest pitch class*: constant-Q spectrum of 36 bins "
    "an octave from 32.7 Hz over windows of 8192 samples, power summed over octaves; share of the frames (2048 samples "
    "each) above -40 dB of the stem's loudest in which original and reconstruction have the same. *Log-mel*: mean "
    "absolute difference of 80 bands in dB. *STFT*: spectral convergence plus log-magnitude distance, mean over "
    "windows of 512 to 4096.",
)


def section(
    bundle: Bundle,
    songs: Sequence[SongFacts],
    seconds: float,
    tell: Callable[[], None],
    earlier: Bundle | None = None,
) -> Section:
    """Measure the codec on every stem of the songs.

    Args:
        bundle: whose codec is measured.
        songs: songs that it never saw.
        seconds: how much of each.
        tell: called after each song; twice as often with `earlier`.
        earlier: a bundle of an earlier state, to set beside it.
    """
    now = _figures(bundle, songs, seconds, tell)
    before = _figures(earlier, songs, seconds, tell) if earlier else None
    table = codec_table(now, before)
    return Section("codec", "Codec", "backline evaluate --parts codec", provenance().line, (table,), NOTES)


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


def _figures(
    bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None]
) -> Mapping[str, StemFigures]:
    return codec_figures(reconstruction(bundle), (read_excerpt(song, seconds) for song in songs), tell)


def _beside(now: str, before: str | None) -> str:
    return f"{now} ({before})" if before else now
