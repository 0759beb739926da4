"""Tone: gains by band of a spectrum, in the bands that the expander has, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ, SPECTRUM_WINDOW_SAMPLES, STEMS
from engine.spectra import hann, mel_bank

BANDS = 24
LARGEST_TONE_DB = 12.0
_BANK = (BANDS, 20.0, SAMPLE_RATE_HZ / 2.0, SPECTRUM_WINDOW_SAMPLES)
_LEAST_POWER = 1e-12

Array = NDArray[np.float32]
Decibels = NDArray[np.floating[Any]]


def check_tones(tones_db: Mapping[str, Sequence[float]], what: str) -> None:
    """Raise ValueError unless `tones_db` (`what`) names stems alone, each with a gain of -12 to 12 dB for each band."""
    for stem, tone_db in tones_db.items():
        if stem not in STEMS or len(tone_db) != BANDS or not all(abs(gain) <= LARGEST_TONE_DB for gain in tone_db):
            raise ValueError(
                f"{what} of {tone_db!r} dB for stem {stem!r} is not valid; give {BANDS} gains of -{LARGEST_TONE_DB:g} "
                f"to {LARGEST_TONE_DB:g} dB for any of: {', '.join(STEMS)}"
            )


def band_levels_db(power: Array) -> Array:
    """Return the levels (hops, BANDS) in dB of spectra (hops, bins) of power, a channel's mean; 1 is 0 dB."""
    levels: Array = 10.0 * np.log10(power @ mel_bank(*_BANK).T + np.float32(_LEAST_POWER))
    return levels


def bin_decibels(bands_db: Decibels | Sequence[float]) -> Decibels:
    """Spread decibels by band (..., BANDS) over bins: (..., bins)."""
    spread: Decibels = np.asarray(bands_db) @ _spread()
    return spread


def bin_factors(bands_db: Decibels | Sequence[float]) -> Array:
    """Return what such decibels by band (..., BANDS) multiply each bin by: (..., bins)."""
    return np.asarray(10.0 ** (bin_decibels(bands_db) / 20.0), np.float32)


@cache
def tone_factors(tone_db: tuple[float, ...]) -> Array:
    """Return `bin_factors` of a bundle's tone, worked out once: live play asks for each piece. Not to be written to."""
    return bin_factors(tone_db)


def toned(audio: Array, tone_db: Sequence[float]) -> Array:
    """Return `audio` (2, samples) with a tone, by a filter without delay as long as the decoder's window."""
    if not np.any(tone_db):
        return audio
    half = SPECTRUM_WINDOW_SAMPLES // 2
    response = np.roll(np.fft.irfft(bin_factors(tone_db)), half) * hann(SPECTRUM_WINDOW_SAMPLES)
    samples = audio.shape[1]
    length = 1 << (samples + SPECTRUM_WINDOW_SAMPLES).bit_length()
    filtered = np.fft.irfft(np.fft.rfft(audio, length) * np.fft.rfft(response, length), length)
    return np.ascontiguousarray(filtered[:, half : half + samples], np.float32)


@cache
def _spread() -> Array:
    """Return (bands, bins): how much of each band's decibels a bin takes, in sum 1."""
    bank = mel_bank(*_BANK)
    heights = bank / bank.max(axis=1, keepdims=True)
    heights[0, : heights[0].argmax()] = 1.0
    heights[-1, heights[-1].argmax() :] = 1.0
    return np.asarray(heights / np.maximum(heights.sum(axis=0), 1e-6), np.float32)
