"""The tempo that a listener without a score hears in a mix."""

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.onsets import HOP_SAMPLES, onset_strength
from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import Array

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
# Tempos are felt log-normally around a centre (Ellis 2007, *Beat tracking by dynamic programming*).
CENTRE_BPM = 110.0
SPREAD_OCTAVES = 1.1
BEATS = 4  # a pulse comes back after one, two, three and four of its beats
_STEP = 0.001  # of candidates, relative: four beats of the slowest are then met within two hops


def heard_bpm(mix: Array) -> float:
    """Return the tempo of the strongest pulse between 40 and 240 a minute, or NaN for silence.

    The autocorrelation of the onset strength, summed over four multiples of each candidate's beat, times a log-normal
    preference. A song's tempo map is not looked at; where pulses an octave apart are equally strong, either is heard.

    Args:
        mix: (channels, samples) float32 in [-1, 1].
    """
    strength = onset_strength(mix)
    if not strength.any():
        return float("nan")
    correlation = _autocorrelation(strength - strength.mean())
    candidates_bpm = np.exp(np.arange(np.log(SLOWEST_BPM), np.log(FASTEST_BPM), _STEP))
    beat_hops = 60.0 * SAMPLE_RATE_HZ / HOP_SAMPLES / candidates_bpm
    lags = np.arange(1, BEATS + 1)[:, None] * beat_hops
    pulse = np.interp(lags, np.arange(len(correlation)), correlation, right=0.0).sum(axis=0)
    preference = np.exp(-0.5 * (np.log2(candidates_bpm / CENTRE_BPM) / SPREAD_OCTAVES) ** 2)
    return float(candidates_bpm[np.argmax(pulse * preference)])


def _autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the autocorrelation at lags 0 to len - 1, without wrapping."""
    size = 1 << (2 * len(values) - 1).bit_length()
    return np.fft.irfft(np.abs(np.fft.rfft(values, size)) ** 2, size)[: len(values)]
