"""What the oscillator bank should play: sinusoidal peaks of long windows, put on the bank's grid."""

import numpy as np

from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.spectra import Array, frames_at, magnitudes
from training.codec import bank

_REGISTERS = ((0.0, 880.0, 8_192), (880.0, 6_000.0, 4_096))  # from, to (Hz), window
_ZERO_PADDING = 2
_QUIETEST = 2e-4
_BELOW_LOUDEST = 1e-3
_STANDING_OUT = 2.0
_NEIGHBOURHOOD_BINS = 24
_PIECE_FRAMES = 64


def partials(audio: Array) -> Array:
    """Find the partials of a stem.

    Args:
        audio: (2, samples) float32.

    Returns:
        (2, OSCILLATORS, frames) float32, once a latent frame, at its centre: amplitude (1 = full-scale sine)
        and offset in [-1, 1] of the oscillator's range.
    """
    mid = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    frames = -(-mid.shape[1] // LATENT_HOP_SAMPLES)
    result = np.zeros((2, bank.OSCILLATORS, frames), np.float32)
    for low_hz, high_hz, window in _REGISTERS:
        margin = window // 2
        padded = np.pad(mid, ((0, 0), (margin, margin + 2 * LATENT_HOP_SAMPLES)))
        for first in range(0, frames, _PIECE_FRAMES):
            count = min(_PIECE_FRAMES, frames - first)
            starts = (first + np.arange(count)) * LATENT_HOP_SAMPLES + LATENT_HOP_SAMPLES // 2
            spectra = magnitudes(frames_at(padded, starts, window)[0], window * _ZERO_PADDING)
            _place(spectra, low_hz, high_hz, result[:, :, first : first + count])
    return result


def _place(spectra: Array, low_hz: float, high_hz: float, out: Array) -> None:
    """Write the peaks of spectra (frames, bins) between two frequencies into out (2, OSCILLATORS, frames)."""
    spacing_hz = SAMPLE_RATE_HZ / (2 * (spectra.shape[1] - 1))
    used = min(spectra.shape[1], int(high_hz / spacing_hz) + _NEIGHBOURHOOD_BINS)
    spectra = spectra[:, :used]
    centre, left, right = spectra[:, 1:-1], spectra[:, :-2], spectra[:, 2:]
    cumulative = np.cumsum(np.pad(spectra, ((0, 0), (_NEIGHBOURHOOD_BINS, _NEIGHBOURHOOD_BINS)), mode="edge"), axis=1)
    local_mean = (cumulative[:, 2 * _NEIGHBOURHOOD_BINS :] - cumulative[:, : -2 * _NEIGHBOURHOOD_BINS]) / (
        2 * _NEIGHBOURHOOD_BINS
    )
    floor = np.maximum(_QUIETEST, spectra.max(axis=1, keepdims=True) * _BELOW_LOUDEST)
    is_peak = (
        (centre > left) & (centre >= right) & (centre > floor) & (centre > _STANDING_OUT * local_mean[:, 1 : used - 1])
    )
    frame, position = np.nonzero(is_peak)
    log_left, log_centre, log_right = (np.log(side[frame, position] + 1e-9) for side in (left, centre, right))
    shift = 0.5 * (log_left - log_right) / (log_left - 2 * log_centre + log_right - 1e-9)
    height = np.exp(log_centre - 0.25 * (log_left - log_right) * shift)
    frequency_hz = (position + 1 + shift) * spacing_hz
    inside = (frequency_hz >= max(low_hz, bank.LOWEST_HZ * 0.99)) & (frequency_hz < high_hz)
    frame, height, frequency_hz = frame[inside], height[inside], frequency_hz[inside]
    oscillator = np.round(bank.OSCILLATORS_PER_OCTAVE * np.log2(frequency_hz / bank.LOWEST_HZ)).astype(int)
    on_grid = (oscillator >= 0) & (oscillator < bank.OSCILLATORS)
    frame, height, frequency_hz, oscillator = (values[on_grid] for values in (frame, height, frequency_hz, oscillator))
    order = np.argsort(height)  # of two peaks on one oscillator the louder one is written last and stays
    frame, height, frequency_hz, oscillator = (values[order] for values in (frame, height, frequency_hz, oscillator))
    out[0, oscillator, frame] = height
    offset = (frequency_hz - bank.frequencies_hz()[oscillator]) / bank.offset_range_hz()[oscillator]
    out[1, oscillator, frame] = np.clip(offset, -1, 1)
