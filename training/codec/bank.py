"""The bank of oscillators on a fixed grid: where partials may stand, their window main lobes, their phases."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from engine.geometry import SAMPLE_RATE_HZ, SPECTRUM_BINS, SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES

OSCILLATORS_PER_OCTAVE = 36
LOWEST_HZ = 27.5
OSCILLATORS = 270
AMPLITUDE_POWER = 0.3  # amplitudes are learned compressed, so that quiet partials count
_RAMP_SHARPNESS = 25.0
_LARGEST_OFFSET_HZ = 19.0  # beyond it a partial would turn away from its lobe within one hop


@cache
def frequencies_hz() -> np.ndarray:
    """Return the grid: (OSCILLATORS,) float64, 27.5 Hz to about 4.9 kHz."""
    return LOWEST_HZ * 2.0 ** (np.arange(OSCILLATORS) / OSCILLATORS_PER_OCTAVE)


@cache
def offset_range_hz() -> np.ndarray:
    """Return how far each oscillator may move: half the grid's spacing, at most 19 Hz: (OSCILLATORS,)."""
    half_spacing = frequencies_hz() * (2.0 ** (0.5 / OSCILLATORS_PER_OCTAVE) - 1.0)
    return np.minimum(half_spacing, _LARGEST_OFFSET_HZ)


@cache
def lobes() -> np.ndarray:
    """Return the Hann window's zero-phase spectrum at each oscillator: (OSCILLATORS, SPECTRUM_BINS), peak 1."""
    bins = np.arange(SPECTRUM_BINS)
    position = frequencies_hz()[:, None] * SPECTRUM_WINDOW_SAMPLES / SAMPLE_RATE_HZ
    return (_hann_lobe(bins - position) + _hann_lobe(bins + position)).astype(np.float32)


def bins_used() -> int:
    """Return the number of bins, from 0 on, that the bank writes to."""
    return int(np.ceil(frequencies_hz()[-1] * SPECTRUM_WINDOW_SAMPLES / SAMPLE_RATE_HZ)) + 4


def _hann_lobe(distance: np.ndarray) -> np.ndarray:
    """Return the transform of a Hann window `distance` bins off its centre, 1 at 0, nothing outside the main lobe."""
    inside = np.abs(distance) < 2
    x = np.where(inside, distance, 0.0)
    singular = np.abs(np.abs(x) - 1) < 1e-6
    denominator = np.where(singular, 1.0, 1.0 - x**2)
    value = np.where(singular, 0.5, np.sinc(x) / denominator)
    return np.where(inside, value, 0.0)


def oscillator_phases(offset: Tensor, phase: Tensor, hop_cycles: Tensor, range_cycles: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate the oscillators' phases.

    Args:
        offset: (batch, hops, OSCILLATORS) in [-1, 1], of each oscillator's range.
        phase: (batch, OSCILLATORS) cycles at the hop before the first.
        hop_cycles: (OSCILLATORS,) cycles that the grid's frequency turns in a hop, without whole turns.
        range_cycles: (OSCILLATORS,) cycles that the largest offset turns in a hop.

    Returns:
        Phases in cycles (batch, hops, OSCILLATORS), and the last one, within [0, 1).
    """
    turned = torch.cumsum(hop_cycles + range_cycles * offset, dim=1) + phase[:, None]
    last = turned[:, -1]
    return turned, last - torch.floor(last)


def pitch_class_fold(classes: int) -> np.ndarray:
    """Return (classes, OSCILLATORS): 1 where an oscillator belongs to a pitch class, from C on."""
    semitones = _semitones() + 9  # the lowest is an A
    return (semitones % classes == np.arange(classes)[:, None]).astype(np.float32)


def semitone_fold() -> np.ndarray:
    """Return (semitones, OSCILLATORS): 1 where an oscillator belongs to a semitone above the lowest one."""
    semitones = _semitones()
    return (semitones == np.arange(semitones[-1] + 1)[:, None]).astype(np.float32)


def _semitones() -> np.ndarray:
    """Return (OSCILLATORS,): the nearest semitone above the lowest oscillator."""
    semitones: np.ndarray = np.round(12 * np.log2(frequencies_hz() / LOWEST_HZ)).astype(int)
    return semitones


def ramp(x: Tensor) -> Tensor:
    """Return compressed amplitudes from a head's outputs: a ramp with a soft foot; 0 gives about -100 dB."""
    return torch.nn.functional.softplus(x, beta=_RAMP_SHARPNESS)


def hop_cycles() -> np.ndarray:
    """Return (OSCILLATORS,) cycles in a hop modulo 1 of the grid's frequencies."""
    return np.mod(frequencies_hz() * SPECTRUM_HOP_SAMPLES / SAMPLE_RATE_HZ, 1.0).astype(np.float32)


def range_cycles() -> np.ndarray:
    """Return (OSCILLATORS,) cycles in a hop of the largest offsets."""
    return (offset_range_hz() * SPECTRUM_HOP_SAMPLES / SAMPLE_RATE_HZ).astype(np.float32)
