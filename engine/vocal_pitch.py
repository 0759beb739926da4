"""The sung pitch as conditions: chroma, voicing and energy, from the constant-Q spectrum by harmonic summation."""

import numpy as np

from engine.spectra import CONSTANT_Q_BINS, CONSTANT_Q_BINS_PER_OCTAVE, FLOOR_DB, Array

_HARMONICS = np.arange(1, 7)
_HARMONIC_WEIGHTS = 0.84 ** (_HARMONICS - 1)  # Hermes (1988), subharmonic summation
_OFFSETS = np.round(CONSTANT_Q_BINS_PER_OCTAVE * np.log2(_HARMONICS)).astype(int)
_LOWEST_BIN, _HIGHEST_BIN = 32, 190  # about 60 Hz to 1.25 kHz
_BINS_PER_SEMITONE = CONSTANT_Q_BINS_PER_OCTAVE // 12
_SHARPNESS = 40.0
_ENERGY_RANGE_DB = (-60.0, -10.0)


def vocal_pitch(harmonic: Array) -> Array:
    """Return chroma, voicing and energy of a vocal.

    Args:
        harmonic: (constant-Q bins, frames) in scaled decibels.

    Returns:
        (14, frames) in [0, 1]: chroma 12 from C on, summing to the voicing; voicing; energy.
    """
    salience = _salience(harmonic)
    best = salience.max(axis=0)
    weights = np.exp(_SHARPNESS * (salience - best))
    weights /= weights.sum(axis=0)
    loudest_db = (1.0 - harmonic.max(axis=0)) * FLOOR_DB
    low, high = _ENERGY_RANGE_DB
    energy = np.clip((loudest_db - low) / (high - low), 0, 1)
    # A voiced frame stands out: its best pitch gathers far more than the median one does.
    prominence = best - np.median(salience, axis=0)
    voicing = np.clip((prominence - 0.08) / 0.12, 0, 1) * np.clip(energy * 5, 0, 1)
    chroma = _fold(weights) * voicing
    return np.concatenate([chroma, voicing[None], energy[None]]).astype(np.float32)


def _salience(harmonic: Array) -> Array:
    """Return (candidates, frames): harmonic sums over peaks that stand out of the smoothed spectrum."""
    smooth = np.stack([np.roll(harmonic, shift, axis=0) for shift in range(-6, 7)]).mean(axis=0)
    peaks = np.maximum(harmonic - smooth, 0.0) * np.sqrt(harmonic)
    padded = np.pad(peaks, ((0, int(_OFFSETS[-1])), (0, 0)))
    candidates = range(_LOWEST_BIN, _HIGHEST_BIN)
    total = np.zeros((len(candidates), harmonic.shape[1]), np.float32)
    for weight, offset in zip(_HARMONIC_WEIGHTS, _OFFSETS, strict=True):
        total += np.float32(weight) * padded[_LOWEST_BIN + offset : _HIGHEST_BIN + offset]
    return total


def _fold(weights: Array) -> Array:
    """Fold candidate weights (candidates, frames) into 12 pitch classes (bin 0 is C)."""
    bins = np.arange(_LOWEST_BIN, _HIGHEST_BIN)
    classes = np.round(bins / _BINS_PER_SEMITONE).astype(int) % 12
    chroma = np.zeros((12, weights.shape[1]), np.float32)
    np.add.at(chroma, classes, weights)
    return chroma


assert CONSTANT_Q_BINS >= _HIGHEST_BIN
