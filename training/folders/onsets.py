"""Onset strength: where stems start to sound, in three bands, a hundred times a second."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import Array, frames_at, magnitudes, mel_bank

Floats = NDArray[np.float64]

HOP_SAMPLES = 441
FRAME_RATE_HZ = SAMPLE_RATE_HZ / HOP_SAMPLES
WINDOW_SAMPLES = 1_024
MEL_BANDS = 40
BAND_EDGES = (0, 4, 22, MEL_BANDS)  # mel bands below about 200 Hz, 200 Hz to 2.5 kHz, above
LOW, MIDDLE, HIGH = range(3)
_FLOOR = 1e-4  # -80 dB below a full-scale sine
_PIECE_FRAMES = 512


def onset_strength(audio: Array) -> Floats:
    """Return how much louder each band grew from one frame to the one after the next, in neper.

    Log-mel flux after Dixon (2006), *Onset detection revisited*, halved where sound falls. A frame lies where its
    window's middle does; flux sees an onset when the window's edge reaches it, some 5 ms early.

    Args:
        audio: (channels, samples) at 44.1 kHz.

    Returns:
        (3, frames): low, middle and high band; zeros for silence.
    """
    bank = mel_bank(MEL_BANDS, 30.0, 16_000.0, WINDOW_SAMPLES)
    frames = audio.shape[1] // HOP_SAMPLES + 1
    mid = np.pad(audio.mean(axis=0), (WINDOW_SAMPLES // 2, WINDOW_SAMPLES))[None]
    starts = np.arange(frames) * HOP_SAMPLES
    pieces = np.split(starts, range(_PIECE_FRAMES, frames, _PIECE_FRAMES))
    spectra = [magnitudes(frames_at(mid, piece, WINDOW_SAMPLES)[0], WINDOW_SAMPLES) ** 2 @ bank.T for piece in pieces]
    level = np.log(np.maximum(np.sqrt(np.concatenate(spectra)), _FLOOR))
    rise = np.zeros_like(level)
    rise[2:] = np.maximum(level[2:] - level[:-2], 0.0)
    bands = [rise[:, low:high].mean(axis=1) for low, high in pairwise(BAND_EDGES)]
    return np.stack(bands).astype(np.float64)
