"""How near a reconstruction is to its stem: measures that the codec's training and the evaluation share, in numpy.

All take audio as (channels, samples) float32 and compare signals of one length, `reference` first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES
from engine.spectra import (
    CONSTANT_Q_BINS,
    CONSTANT_Q_BINS_PER_OCTAVE,
    CONSTANT_Q_WINDOW_SAMPLES,
    Array,
    constant_q,
    constant_q_frequencies_hz,
    frames_at,
    magnitudes,
    mel_bank,
)

PITCH_CLASSES = 12
PITCH_FLOOR_DB = -40.0
MEL_DISTANCE_BANDS = 80
MEL_DISTANCE_WINDOW_SAMPLES = 2_048
STFT_WINDOWS_SAMPLES = (512, 1_024, 2_048, 4_096)
MAGNITUDE_FLOOR = 1e-4  # -80 dB below a full-scale sine
_ACTIVE_DB = -60.0
_PIECE_FRAMES = 64  # keeps the transforms inside the cache


@dataclass(frozen=True, slots=True)
class PitchCount:
    """In how many frames the strongest pitch class was right; counts of several stems add up.

    Attributes:
        right: frames in which both signals have the same strongest pitch class.
        frames: frames of the reference above the floor.
    """

    right: int
    frames: int

    def __add__(self, other: "PitchCount") -> "PitchCount":
        return PitchCount(self.right + other.right, self.frames + other.frames)

    @property
    def share(self) -> float:
        """Return right / frames, or NaN where no frame counts."""
        return self.right / self.frames if self.frames else float("nan")


def pitch_class_energy(
    audio: Array,
    hop_samples: int = LATENT_HOP_SAMPLES,
    lowest_hz: float = 0.0,
    highest_hz: float = np.inf,
    peaks_only: bool = False,
) -> NDArray[np.float64]:
    """Return the energy on each pitch class over time.

    The constant-Q power of mid (36 bins an octave from 32.7 Hz, Hann window of 8192 samples, centred on each hop),
    summed over octaves; bin 0 is a C, and three bins make a semitone.

    Args:
        audio: (channels, samples).
        hop_samples: samples from one frame to the next.
        lowest_hz: bins below are left out.
        highest_hz: bins above are left out.
        peaks_only: whether only bins above both their neighbours count. In the lowest octaves the window's main lobe
            is several semitones wide; without this, a pure bass tone has half its energy beside its pitch class.

    Returns:
        (12, frames), from C on; as many frames as hops cover the samples.
    """
    bins_hz = constant_q_frequencies_hz()
    fold = fold_matrix() * ((bins_hz >= lowest_hz) & (bins_hz <= highest_hz))
    mid = audio.mean(axis=0, keepdims=True)
    pieces = _window_pieces(mid, CONSTANT_Q_WINDOW_SAMPLES, hop_samples)
    powers = (np.square(constant_q(piece[0]).T, dtype=np.float64) for piece in pieces)
    return np.concatenate([fold @ (_peaks(power) if peaks_only else power) for power in powers], axis=1)


def strongest_pitch_classes(energy: NDArray[np.float64], floor_db: float = PITCH_FLOOR_DB) -> NDArray[np.int64]:
    """Return each frame's strongest pitch class, -1 where the frame is more than `floor_db` below the loudest.

    Args:
        energy: (12, frames) from `pitch_class_energy`.
        floor_db: level relative to the loudest frame, below 0.

    Returns:
        (frames,) of 0 to 11, or -1.
    """
    total = energy.sum(axis=0)
    loudest = total.max(initial=0.0)
    audible = total > max(loudest * 10 ** (floor_db / 10), 1e-12)
    return np.where(audible, energy.argmax(axis=0), -1)


def strongest_pitch_class_count(reference: Array, estimate: Array, floor_db: float = PITCH_FLOOR_DB) -> PitchCount:
    """Count the frames in which `estimate` has the strongest pitch class of `reference`.

    Only frames of the reference above `floor_db` (relative to its loudest frame) count; the estimate's level is free.

    Args:
        reference: (channels, samples), the stem.
        estimate: (channels, samples), its reconstruction.
        floor_db: level below which a frame does not count.
    """
    _check_same_length(reference, estimate)
    wanted = strongest_pitch_classes(pitch_class_energy(reference), floor_db)
    heard = pitch_class_energy(estimate)
    counted = wanted >= 0
    silent = heard.sum(axis=0) <= 1e-12
    right = counted & ~silent & (heard.argmax(axis=0) == wanted)
    return PitchCount(int(right.sum()), int(counted.sum()))


def strongest_pitch_class_accuracy(reference: Array, estimate: Array, floor_db: float = PITCH_FLOOR_DB) -> float:
    """Return the share of frames with the right strongest pitch class, in [0, 1]; NaN for a silent reference.

    See `strongest_pitch_class_count`. Chance is 1 / 12.
    """
    return strongest_pitch_class_count(reference, estimate, floor_db).share


def log_mel_distance(reference: Array, estimate: Array) -> float:
    """Return the mean absolute difference of log-mel magnitudes, in neper (1 neper = 8.69 dB).

    80 mel bands of a 2048 window, hop 512, of mid; magnitudes below -80 dB of a full-scale sine count as that.
    Frames in which both are more than 60 dB below the reference's loudest are left out, so silence earns nothing.
    """
    _check_same_length(reference, estimate)
    log_reference, log_estimate = _log_mel(reference), _log_mel(estimate)
    level_reference, level_estimate = log_reference.max(axis=1), log_estimate.max(axis=1)
    threshold = level_reference.max(initial=np.log(MAGNITUDE_FLOOR)) + _ACTIVE_DB * np.log(10) / 20
    active = np.maximum(level_reference, level_estimate) > threshold
    if not active.any():
        return 0.0
    return float(np.abs(log_reference - log_estimate)[active].mean())


def multi_resolution_stft_distance(reference: Array, estimate: Array) -> float:
    """Return spectral convergence plus log-magnitude distance, the mean over four window lengths.

    Per window (512 to 4096, hop a quarter), over left and right together:
    ||R - E|| / ||R|| + mean |ln max(R, floor) - ln max(E, floor)| (Yamamoto et al. 2020, eq. 4 to 6); 0 is perfect,
    and silence instead of the reference gives more than 1.
    """
    _check_same_length(reference, estimate)
    return float(np.mean([_stft_distance(reference, estimate, window) for window in STFT_WINDOWS_SAMPLES]))


def _stft_distance(reference: Array, estimate: Array, window_samples: int) -> float:
    squared_error = squared_reference = log_error = 0.0
    values = 0
    hop = window_samples // 4
    pieces = zip(
        _window_pieces(reference, window_samples, hop), _window_pieces(estimate, window_samples, hop), strict=True
    )
    for reference_windows, estimate_windows in pieces:
        wanted, heard = magnitudes(reference_windows, window_samples), magnitudes(estimate_windows, window_samples)
        squared_error += float(np.square(wanted - heard, dtype=np.float64).sum())
        squared_reference += float(np.square(wanted, dtype=np.float64).sum())
        log_ratio = np.log(np.maximum(wanted, MAGNITUDE_FLOOR)) - np.log(np.maximum(heard, MAGNITUDE_FLOOR))
        log_error += float(np.abs(log_ratio).sum(dtype=np.float64))
        values += wanted.size
    convergence = np.sqrt(squared_error / max(squared_reference, 1e-12))
    return float(convergence + log_error / values)


def _log_mel(audio: Array) -> Array:
    """Return (frames, bands) natural logarithms of floored mel magnitudes of mid."""
    window = MEL_DISTANCE_WINDOW_SAMPLES
    bank = mel_bank(MEL_DISTANCE_BANDS, 25.0, 20_000.0, window)
    mid = audio.mean(axis=0, keepdims=True)
    pieces = [np.square(magnitudes(part[0], window)) @ bank.T for part in _window_pieces(mid, window, window // 4)]
    return np.log(np.maximum(np.sqrt(np.concatenate(pieces)), MAGNITUDE_FLOOR))


def _window_pieces(audio: Array, window_samples: int, hop_samples: int) -> Iterator[Array]:
    """Yield runs of windows (channels, windows, samples), the first centred on the first hop, silence outside."""
    frames = max(-(-audio.shape[1] // hop_samples), 1)
    before = window_samples // 2 - hop_samples // 2
    after = (frames - 1) * hop_samples + window_samples - before - audio.shape[1]
    padded = np.pad(audio, ((0, 0), (before, after)))
    for first in range(0, frames, _PIECE_FRAMES):
        starts = np.arange(first, min(first + _PIECE_FRAMES, frames)) * hop_samples
        yield frames_at(padded, starts, window_samples)


def _peaks(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (bins, frames) with 0 wherever a bin is not above both of its neighbours."""
    padded = np.pad(power, ((1, 1), (0, 0)))
    return np.where((power > padded[:-2]) & (power >= padded[2:]), power, 0.0)


def fold_matrix() -> NDArray[np.float64]:
    """Return (12, constant-Q bins): which pitch class each bin belongs to."""
    bins_per_semitone = CONSTANT_Q_BINS_PER_OCTAVE // PITCH_CLASSES
    classes = np.round(np.arange(CONSTANT_Q_BINS) / bins_per_semitone).astype(int) % PITCH_CLASSES
    return (classes[None] == np.arange(PITCH_CLASSES)[:, None]).astype(np.float64)


def _check_same_length(reference: Array, estimate: Array) -> None:
    if reference.shape != estimate.shape:
        raise ValueError(
            f"estimate has shape {estimate.shape}; expected the reference's, {reference.shape}: cut or pad one of them"
        )
