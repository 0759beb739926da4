"""The measures of an accompaniment: pure functions of audio, timeline and chords.

Audio is (channels, samples) float32 in [-1, 1]; pitch-class energy is (12, frames) from `engine.metrics`, one frame
every 2048 samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.harmony import ChordSpan
from engine.spectra import Array
from engine.timeline import Timeline

PITCH_CLASSES = 12
AGREEMENT_BEATS = 2.0
AUDIBLE_DB = -40.0


Energy = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A Wilcoxon signed-rank test of "the first is greater", one-sided, over pairs.

    Attributes:
        mean_first: mean of the first of each pair.
        mean_second: mean of the second.
        wins: share of the pairs in which the first is greater, ties counted half.
        p_value: probability of such ranks if neither were greater; 1.0 where no pair differs.
    """

    mean_first: float
    mean_second: float
    wins: float
    p_value: float


def grid_deviations_ms(
    onsets_seconds: NDArray[np.float64], timeline: Timeline, subdivision: int
) -> NDArray[np.float64]:
    """Return how far each onset lies from the nearest grid position, in milliseconds, never negative.

    Args:
        onsets_seconds: (onsets,) seconds from sample 0.
        timeline: where the beats lie.
        subdivision: grid positions per quarter note: 4 for 16ths, 3 for triplets.
    """
    samples = np.asarray(onsets_seconds) * SAMPLE_RATE_HZ
    beats = timeline.beats_at_samples(np.rint(samples).astype(np.int64))
    nearest = timeline.samples_at_beats(np.round(beats * subdivision) / subdivision)
    return np.abs(samples - nearest) * (1_000.0 / SAMPLE_RATE_HZ)


def chord_classes(chords: Sequence[ChordSpan], timeline: Timeline, frames: int) -> NDArray[np.bool_]:
    """Return which pitch classes the sounding chord holds, its bass included: (12, frames); no chord: none.

    The chord at a frame's centre counts. Where the chords end before the frames do, they start again from beat 0, so
    that another song's chords can be laid over a longer one.
    """
    centres = np.arange(frames, dtype=np.int64) * LATENT_HOP_SAMPLES + LATENT_HOP_SAMPLES // 2
    classes = np.zeros((PITCH_CLASSES, frames), bool)
    if not chords:
        return classes
    beats = timeline.beats_at_samples(centres) % chords[-1].end_beat
    indices = np.searchsorted([span.start_beat for span in chords], beats, side="right") - 1
    for frame, index in enumerate(indices):
        span = chords[max(int(index), 0)]
        if span.start_beat <= beats[frame] < span.end_beat and span.chord.root >= 0:
            classes[[*span.chord.pitch_classes, span.chord.bass], frame] = True
    return classes


def energy_on_chord(energy: Energy, classes: NDArray[np.bool_]) -> float:
    """Return the mean share of a frame's energy that lies on the chord's pitch classes, in [0, 1].

    Frames without a chord, and frames more than 40 dB below the loudest, do not count; NaN if none does.
    """
    total = energy.sum(axis=0)
    counted = _audible(total) & classes.any(axis=0)
    if not counted.any():
        return float("nan")
    return float(((energy * classes).sum(axis=0)[counted] / total[counted]).mean())


def chroma_agreement(energy: Energy, reference: Energy, timeline: Timeline) -> float:
    """Return how much the pitch classes of two signals agree over time, in [-1, 1].

    Both are summed over windows of two beats (a melody states a chord over time, not at once), and the mean of the
    windows' Pearson correlations over the 12 classes is taken; windows in which either is silent do not count.

    Args:
        energy: (12, frames) of the accompaniment.
        reference: (12, frames) of the vocal or of the real accompaniment.
        timeline: where the beats lie.
    """
    frames = min(energy.shape[1], reference.shape[1])
    windows = np.floor(timeline.beats_at_frames(0, frames) / AGREEMENT_BEATS).astype(int)
    windows -= windows.min(initial=0)
    first, second = window_shares(energy[:, :frames], windows), window_shares(reference[:, :frames], windows)
    counted = first.any(axis=0) & second.any(axis=0)
    if not counted.any():
        return float("nan")
    return float(np.mean(_correlations(first[:, counted], second[:, counted])))


def difference_db(first: Array, second: Array) -> float:
    """Return the level of the difference of two signals relative to the first: -inf the same, about +3 unrelated."""
    samples = min(first.shape[1], second.shape[1])
    difference = np.square(first[:, :samples] - second[:, :samples], dtype=np.float64).mean()
    power = np.square(first[:, :samples], dtype=np.float64).mean()
    if difference == 0.0:
        return float("-inf")
    return float(10 * np.log10(difference / max(power, 1e-20)))


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Test whether `first` is greater than `second`, pair by pair; pairs with a NaN are left out.

    Raises:
        ValueError: the lengths differ, or no pair is left.
    """
    from scipy.stats import wilcoxon

    pairs = np.array([first, second], np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if pairs.shape[1] == 0:
        raise ValueError("there is no pair to test; give at least one with two finite numbers")
    differences = pairs[0] - pairs[1]
    p_value = float(wilcoxon(differences, alternative="greater").pvalue) if differences.any() else 1.0
    wins = float(np.mean(differences > 0) + np.mean(differences == 0) / 2)
    return PairedTest(float(pairs[0].mean()), float(pairs[1].mean()), wins, p_value)


def window_shares(energy: Energy, windows: NDArray[np.int64]) -> Energy:
    """Return (12, windows): the mean over each window's frames of their shares; silent frames count as zeros.

    Args:
        energy: (12, frames).
        windows: (frames,) which window each frame is in, from 0.
    """
    total = energy.sum(axis=0)
    shares = np.where(_audible(total), energy / np.maximum(total, 1e-20), 0.0)
    count = int(windows.max(initial=0)) + 1
    sums = np.zeros((count, PITCH_CLASSES))
    np.add.at(sums, windows, shares.T)
    return (sums / np.maximum(np.bincount(windows, minlength=count), 1)[:, None]).T


def _audible(total: NDArray[np.float64]) -> NDArray[np.bool_]:
    return total > max(float(total.max(initial=0.0)) * 10 ** (AUDIBLE_DB / 10), 1e-12)


def _correlations(first: Energy, second: Energy) -> NDArray[np.float64]:
    """Return the Pearson correlation of each column of two (12, columns) arrays; 0 for a column without variance."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    product = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return (first * second).sum(axis=0) / np.where(product > 1e-15, product, np.inf)
