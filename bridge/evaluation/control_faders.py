"""Arousal and focus: does the fader move what it names, how far, and what else moves with it?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.evaluation.bar_spectra import self_resemblance
from bridge.evaluation.measures import Figures, Measured, measure
from bridge.evaluation.onsets import onset_seconds
from bridge.evaluation.real import loudness_lufs
from bridge.evaluation.songs import Excerpt
from bridge.evaluation.takes import Band, Stems, mixed, rank_correlation
from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import Array
from engine.wish import Wish

FADER = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class TakeFigures:
    """What one accompaniment is like.

    Attributes:
        mix_lufs: integrated loudness of its sum, ITU-R BS.1770.
        drums_lufs: the same of the drums.
        drum_onsets_a_second: strokes of the drums.
        mix_onsets_a_second: onsets of the sum.
        resemblance: how much each bar of the sum resembles the bar before, in [-1, 1].
        figures: what any accompaniment of the song is measured by: tempo, key, chords, grid.
    """

    mix_lufs: float
    drums_lufs: float
    drum_onsets_a_second: float
    mix_onsets_a_second: float
    resemblance: float
    figures: Figures


Measure = Callable[[TakeFigures], float]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One song at every place of a fader, and its real accompaniment.

    Attributes:
        takes: one of each of `FADER`, made with the same vocal, seed and style.
        real: the song's own.
    """

    takes: tuple[TakeFigures, ...]
    real: TakeFigures

    def correlation(self, measured: Measure) -> float:
        """Return the rank correlation of the fader with a measure, in [-1, 1]."""
        return rank_correlation(FADER, [measured(take) for take in self.takes])

    def span(self, measured: Measure) -> float:
        """Return how far the measure moves from the fader's lowest place to its highest."""
        return measured(self.takes[-1]) - measured(self.takes[0])


def sweep(play: Band, excerpt: Excerpt, wish: Wish, control: str) -> Sweep:
    """Play a song at every place of a fader.

    Args:
        play: the band.
        excerpt: the song.
        wish: style and seed of all takes.
        control: `arousal` or `focus`.

    Raises:
        ValueError: there is no such fader.
    """
    song = Measured.of(excerpt)
    takes = [play(excerpt, _with_fader(wish, control, place)) for place in FADER]
    measured = [take_figures(stems, song) for stems in (*takes, excerpt.audio)]
    return Sweep(tuple(measured[:-1]), measured[-1])


def take_figures(stems: Stems, song: Measured) -> TakeFigures:
    """Measure one accompaniment, stem to (2, samples), of a song."""
    mix, drums = mixed(stems), stems["drums"]
    return TakeFigures(
        mix_lufs=loudness_lufs(mix),
        drums_lufs=loudness_lufs(drums),
        drum_onsets_a_second=_onsets_a_second(drums),
        mix_onsets_a_second=_onsets_a_second(mix),
        resemblance=self_resemblance(mix, song.timeline),
        figures=measure(stems, song),
    )


def spread(sweeps: Sequence[Sweep], measured: Measure) -> float:
    """Return how far apart the songs' real accompaniments lie: from the 10th to the 90th percentile."""
    values = np.array([measured(one.real) for one in sweeps])
    finite = values[np.isfinite(values)]
    return float(np.subtract(*np.percentile(finite, (90, 10)))) if len(finite) else float("nan")


def _with_fader(wish: Wish, control: str, place: float) -> Wish:
    if control == "arousal":
        return replace(wish, arousal=place)
    if control == "focus":
        return replace(wish, focus=place)
    raise ValueError(f"control {control!r} is no fader; give arousal or focus")


def _onsets_a_second(audio: Array) -> float:
    return len(onset_seconds(audio)) * SAMPLE_RATE_HZ / audio.shape[1]
