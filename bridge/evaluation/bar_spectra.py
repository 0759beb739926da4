"""Spectra at places that the music names: grid positions of bars, and either side of a border."""

import numpy as np
from numpy.typing import NDArray

from engine.spectra import Array, magnitudes, mel_bank
from engine.timeline import Timeline

WINDOW_SAMPLES = 2_048
BANDS = 40
LOWEST_HZ, HIGHEST_HZ = 40.0, 16_000.0
FLOOR_DB = -80.0
GRID_POSITIONS = 16  # of a bar
_PIECE_WINDOWS = 256

Floats = NDArray[np.float64]


def mel_db_from(audio: Array, starts: NDArray[np.int64], window_samples: int = WINDOW_SAMPLES) -> Floats:
    """Return the mel spectrum of mid in windows that start at given samples.

    Args:
        audio: (channels, samples) float32 in [-1, 1].
        starts: (windows,) first samples; what lies outside the signal is silence.
        window_samples: length of each window.

    Returns:
        (windows, BANDS) in dB below a full-scale sine, never below -80.
    """
    bank = mel_bank(BANDS, LOWEST_HZ, HIGHEST_HZ, window_samples)
    padded = np.pad(audio.mean(axis=0), window_samples)
    firsts = np.clip(starts + window_samples, 0, len(padded) - window_samples)
    views = np.lib.stride_tricks.sliding_window_view(padded, window_samples)
    pieces = [np.zeros((0, BANDS))]
    for first in range(0, len(firsts), _PIECE_WINDOWS):
        power = np.square(magnitudes(views[firsts[first : first + _PIECE_WINDOWS]], window_samples))
        pieces.append(10.0 * np.log10(np.maximum(power @ bank.T, 10 ** (FLOOR_DB / 10))))
    return np.concatenate(pieces)


def whole_bars(timeline: Timeline, samples: int) -> range:
    """Return the bars that lie in samples 0 to `samples` from their first sample to their last."""
    first = max(timeline.bar_at_beat(timeline.beat_at_sample(0)), 0)
    first += timeline.sample_at_bar(first) < 0
    last = timeline.bar_at_beat(timeline.beat_at_sample(samples))
    return range(first, max(first, last))


def bar_pictures(audio: Array, timeline: Timeline) -> Floats:
    """Return what each whole bar looks like: (bars, 16 grid positions, BANDS) in dB.

    Each position is a window of 2048 samples that starts there, so that a stroke on it is heard.
    """
    bars = whole_bars(timeline, audio.shape[1])
    phases = np.arange(GRID_POSITIONS) / GRID_POSITIONS
    beats = [timeline.beat_at_bar(bar) + phases * timeline.beats_per_bar_at(timeline.beat_at_bar(bar)) for bar in bars]
    starts = timeline.samples_at_beats(np.concatenate([*beats, np.zeros(0)]))
    return mel_db_from(audio, starts).reshape(len(bars), GRID_POSITIONS, BANDS)


def self_resemblance(audio: Array, timeline: Timeline) -> float:
    """Return how much each bar resembles the bar before it, in [-1, 1]: the mean correlation of their pictures.

    Each band's mean over the whole signal is taken out first, so that what is always there does not count.

    Args:
        audio: (channels, samples).
        timeline: where the bars lie.

    Returns:
        NaN for fewer than two bars, or where nothing sounds.
    """
    pictures = bar_pictures(audio, timeline)
    if len(pictures) < 2:
        return float("nan")
    moving = pictures - pictures.mean(axis=(0, 1))
    flat = moving.reshape(len(moving), -1)
    lengths = np.linalg.norm(flat, axis=1)
    products, levels = (flat[1:] * flat[:-1]).sum(axis=1), lengths[1:] * lengths[:-1]
    sounding = levels > 1e-9
    return float((products[sounding] / levels[sounding]).mean()) if sounding.any() else float("nan")
