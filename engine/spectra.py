"""Filter banks and frame spectra that features, targets and metrics share; magnitudes are 1 at a full-scale sine."""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ

Array = NDArray[np.float32]
Hertz = NDArray[np.floating[Any]]

CONSTANT_Q_BINS_PER_OCTAVE = 36
CONSTANT_Q_LOWEST_HZ = 32.703
CONSTANT_Q_BINS = 252
CONSTANT_Q_WINDOW_SAMPLES = 8_192
CONSTANT_Q_FFT_SAMPLES = 16_384
FLOOR_DB = -80.0


@cache
def hann(samples: int) -> Array:
    """Return the periodic Hann window of `samples` samples: (samples,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def frames_at(signal: Array, starts: NDArray[np.int64], samples: int) -> Array:
    """Cut windows out of a signal.

    Args:
        signal: (channels, samples).
        starts: first sample of each window, all inside the signal.
        samples: window length.

    Returns:
        (channels, windows, samples), a view where the starts are evenly spaced.
    """
    windows = np.lib.stride_tricks.sliding_window_view(signal, samples, axis=-1)
    if len(starts) > 1:
        step = int(starts[1] - starts[0])
        return windows[:, int(starts[0]) : int(starts[-1]) + 1 : step]
    return windows[:, starts]


def magnitudes(windows: Array, fft_samples: int) -> Array:
    """Return Hann-windowed magnitudes, 1 for a full-scale sine: (..., samples) -> (..., fft_samples / 2 + 1)."""
    window = hann(windows.shape[-1])
    spectrum = np.fft.rfft(windows * window, fft_samples)
    return (np.abs(spectrum) * (2.0 / window.sum())).astype(np.float32)


def scaled_decibels(magnitude: Array) -> Array:
    """Map magnitudes to [0, ~1]: `FLOOR_DB` and below to 0, full scale to 1."""
    decibels = 20.0 * np.log10(np.maximum(magnitude, 1e-7))
    return np.maximum(1.0 - decibels / FLOOR_DB, 0.0).astype(np.float32)


@cache
def mel_bank(bands: int, lowest_hz: float, highest_hz: float, fft_samples: int) -> Array:
    """Return triangular mel filters over magnitude-squared bins: (bands, fft_samples / 2 + 1), rows summing to 1.

    The mel scale is O'Shaughnessy's, 2595 log10(1 + f / 700).
    """
    bins_hz = np.arange(fft_samples // 2 + 1) * (SAMPLE_RATE_HZ / fft_samples)
    lowest_mel, highest_mel = (2595 * math.log10(1 + hz / 700) for hz in (lowest_hz, highest_hz))
    mels = np.linspace(lowest_mel, highest_mel, bands + 2)
    edges_hz = 700 * (10 ** (mels / 2595) - 1)
    return _triangles(bins_hz, edges_hz[:-2], edges_hz[1:-1], edges_hz[2:])


@cache
def constant_q_bank() -> Array:
    """Return the constant-Q filters over the long transform: (CONSTANT_Q_BINS, fft / 2 + 1), rows summing to 1.

    36 bins an octave from 32.7 Hz. Below about 450 Hz a filter is narrower than the bins' spacing and so
    interpolates between two of them; the window's own main lobe (21.5 Hz) then limits the resolution.
    """
    spacing_hz = SAMPLE_RATE_HZ / CONSTANT_Q_FFT_SAMPLES
    bins_hz = np.arange(CONSTANT_Q_FFT_SAMPLES // 2 + 1) * spacing_hz
    centres_hz = constant_q_frequencies_hz()
    ratio = 2 ** (1 / CONSTANT_Q_BINS_PER_OCTAVE)
    width_low = np.maximum(centres_hz * (1 - 1 / ratio), spacing_hz)
    width_high = np.maximum(centres_hz * (ratio - 1), spacing_hz)
    return _triangles(bins_hz, centres_hz - width_low, centres_hz, centres_hz + width_high)


def constant_q_frequencies_hz() -> NDArray[np.float64]:
    """Return the centre frequencies of the constant-Q bins: (CONSTANT_Q_BINS,)."""
    return CONSTANT_Q_LOWEST_HZ * 2 ** (np.arange(CONSTANT_Q_BINS) / CONSTANT_Q_BINS_PER_OCTAVE)


def constant_q(windows: Array) -> Array:
    """Return constant-Q magnitudes of long windows: (..., 8192) -> (..., CONSTANT_Q_BINS)."""
    bank = constant_q_bank()
    used = int(np.flatnonzero(bank.any(axis=0))[-1]) + 1
    power = magnitudes(windows, CONSTANT_Q_FFT_SAMPLES)[..., :used] ** 2
    return np.sqrt(power @ bank[:, :used].T)


def _triangles(bins_hz: Hertz, low_hz: Hertz, centre_hz: Hertz, high_hz: Hertz) -> Array:
    rising = (bins_hz - low_hz[:, None]) / (centre_hz - low_hz)[:, None]
    falling = (high_hz[:, None] - bins_hz) / (high_hz - centre_hz)[:, None]
    filters = np.maximum(np.minimum(rising, falling), 0.0)
    empty = filters.sum(axis=1) == 0  # narrower than a bin: take the nearest one
    filters[empty, np.argmin(np.abs(bins_hz - centre_hz[empty, None]), axis=1)] = 1.0
    return (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
