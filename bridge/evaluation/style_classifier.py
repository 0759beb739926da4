"""Which style stems are in: what drums do in a bar and how each stem sounds, and a regularised linear discriminant.

Neither tempo nor level nor key is looked at, so that what is asked for beside the style cannot give it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.bar_spectra import FLOOR_DB, mel_db_from
from bridge.evaluation.takes import Stems
from engine.geometry import STEMS
from engine.spectra import Array
from engine.timeline import Timeline

POSITIONS_A_BEAT = 12  # 16ths and triplets alike
PATTERN_BEATS = 4
PATTERN_BANDS = 3  # kick, snare, cymbals
SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity; there are more features than songs a style
_TIMBRE_STEP_SAMPLES = 8_192
_AUDIBLE_BELOW_LOUDEST_DB = 40.0
_TIMBRE_UNIT_DB = 20.0

Floats = NDArray[np.float64]


def style_features(stems: Stems, timeline: Timeline) -> Floats:
    """Return what tells styles apart: (features,).

    The rise of the drums' level in three bands at each of 12 positions of the bar's first four beats; and, for each
    stem, mean and deviation of its mel spectrum in dB relative to its loudest band, and the share of it that sounds.
    All are in units in which a difference that is heard is a few tenths, so that none needs a scale of its own.
    """
    levelled = {stem: _levelled(stems[stem]) for stem in STEMS}
    timbres = [_timbre(levelled[stem]) for stem in STEMS]
    return np.concatenate([_drum_pattern(levelled["drums"], timeline), *timbres])


@dataclass(frozen=True, slots=True)
class StyleClassifier:
    """A linear discriminant with one covariance for all styles, shrunk (Friedman 1989).

    Attributes:
        styles: the names, in the order of the weights.
        mean: (features,) taken off.
        weights: (styles, features).
        biases: (styles,).
    """

    styles: tuple[str, ...]
    mean: Floats
    weights: Floats
    biases: Floats

    @classmethod
    def trained(cls, features: Sequence[Floats], styles: Sequence[str]) -> StyleClassifier:
        """Return the classifier of some songs.

        Args:
            features: one (features,) a song.
            styles: each song's.

        Raises:
            ValueError: there are not two styles, or the lengths differ.
        """
        names = tuple(sorted(set(styles)))
        if len(names) < 2 or len(features) != len(styles):
            raise ValueError(
                f"{len(features)} songs of {len(names)} styles cannot be told apart; give as many styles as songs, "
                "and two styles or more"
            )
        raw = np.stack(list(features))
        mean = raw.mean(axis=0)
        centred = raw - mean
        labels = np.array([names.index(style) for style in styles])
        centres = np.stack([centred[labels == index].mean(axis=0) for index in range(len(names))])
        covariance = _shrunk(centred - centres[labels])
        weights = np.linalg.solve(covariance, centres.T).T
        return cls(names, mean, weights, -0.5 * (weights * centres).sum(axis=1))

    def style_of(self, features: Floats, among: Sequence[str] = ()) -> str:
        """Return the style of a song's (features,), of all that it knows or of those `among` them."""
        scores = self.weights @ (features - self.mean) + self.biases
        if among:
            scores = np.where([style in among for style in self.styles], scores, -np.inf)
        return self.styles[int(np.argmax(scores))]


def _shrunk(deviations: Floats) -> Floats:
    covariance = deviations.T @ deviations / len(deviations)
    level = float(np.trace(covariance)) / len(covariance)
    shrunk: Floats = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
    return shrunk


def _levelled(audio: Array) -> Array:
    """Return `audio` with a peak of 1, so that a level, which the floor of the spectra cuts off at, says nothing."""
    return audio / np.maximum(np.abs(audio).max(initial=0.0), np.float32(1e-6))


def _drum_pattern(drums: Array, timeline: Timeline) -> Floats:
    """Return (3 bands x 48 positions,): the mean rise in dB at each position, relative to the band's largest."""
    first, last = timeline.beat_at_sample(0), timeline.beat_at_sample(drums.shape[1])
    steps = np.arange(np.ceil(first * POSITIONS_A_BEAT), np.floor(last * POSITIONS_A_BEAT), dtype=np.int64)
    beats = steps / POSITIONS_A_BEAT
    starts = timeline.samples_at_beats(beats)
    window = 1_024
    after, before = mel_db_from(drums, starts, window), mel_db_from(drums, starts - window, window)
    rises = np.maximum(after - before, 0.0) * (after > after.max(initial=FLOOR_DB) - _AUDIBLE_BELOW_LOUDEST_DB)
    bands = np.stack([part.mean(axis=1) for part in np.array_split(rises, PATTERN_BANDS, axis=1)])
    bar_starts = np.array([timeline.beat_at_bar(timeline.bar_at_beat(float(beat))) for beat in beats])
    positions = np.rint((beats - bar_starts) * POSITIONS_A_BEAT).astype(np.int64)
    pattern = np.zeros((PATTERN_BANDS, PATTERN_BEATS * POSITIONS_A_BEAT))
    for position in range(pattern.shape[1]):
        here = positions == position
        if here.any():
            pattern[:, position] = bands[:, here].mean(axis=1)
    return (pattern / np.maximum(pattern.max(axis=1, keepdims=True), 1.0)).ravel()


def _timbre(audio: Array) -> Floats:
    """Return (2 x bands + 1,): mean and deviation of the sounding spectra below their loudest band, and their share."""
    starts = np.arange(0, audio.shape[1] - _TIMBRE_STEP_SAMPLES, _TIMBRE_STEP_SAMPLES, dtype=np.int64)
    spectra = mel_db_from(audio, starts)
    loudest = spectra.max(initial=FLOOR_DB)
    sounding = spectra.max(axis=1, initial=FLOOR_DB) > max(loudest - _AUDIBLE_BELOW_LOUDEST_DB, FLOOR_DB)
    if not sounding.any():
        return np.zeros(2 * spectra.shape[1] + 1)
    heard = np.maximum(spectra[sounding] - loudest, -60.0) / _TIMBRE_UNIT_DB
    return np.concatenate([heard.mean(axis=0), heard.std(axis=0), [sounding.mean()]])
