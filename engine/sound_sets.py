"""Sets of sounds as Gaussians, and how far two of them are apart: the Fréchet distance.

A set is taken for a Gaussian over the vectors of its pieces, and two Gaussians are compared (Dowson and Landau 1982; as
Heusel et al. 2017 do for pictures and Kilgour et al. 2019 for sound). Two kinds of vectors, neither of them learned
from listeners: statistics of log-mel spectra, and the codec's own latents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import codec
from engine.bundle import Bundle
from engine.spectra import Array, frames_at, magnitudes, mel_bank
from engine.window import normalised

BANDS = 24
LOWEST_HZ, HIGHEST_HZ = 40.0, 16_000.0
WINDOW_SAMPLES = 2_048
HOP_SAMPLES = 512
PIECE_HOPS = 86  # 0.998 s
PIECE_STEP_HOPS = 43
MAGNITUDE_FLOOR = 10 ** (-70 / 20)  # what a codec leaves below it where a stem has nothing is not heard
_BLOCK_HOPS = 256  # keeps the transforms inside the cache

Vectors = NDArray[np.float64]
Embed = Callable[[Array], Vectors]


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over vectors, from which a Gaussian follows; those of several sets add up.

    Attributes:
        count: how many vectors.
        total: (dimensions,) their sum.
        products: (dimensions, dimensions) the sum of their outer products.
    """

    count: int
    total: Vectors
    products: Vectors

    @classmethod
    def of(cls, vectors: Vectors) -> "Moments":
        """Return the moments of (vectors, dimensions)."""
        return cls(len(vectors), vectors.sum(axis=0), vectors.T @ vectors)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    @property
    def mean(self) -> Vectors:
        """(dimensions,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Vectors:
        """(dimensions, dimensions), of the set itself: 0 for a single vector."""
        return self.products / self.count - np.outer(self.mean, self.mean)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two Gaussians, never negative.

    With few vectors (fewer than some times the dimensions) it comes out too large, even for two sets of one source:
    compare only distances of sets of about the same sizes.

    The last trace is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), so that no root of the product,
    which is neither symmetric nor, with few vectors, of full rank, has to be found.
    """
    difference = first.mean - second.mean
    variances, axes = np.linalg.eigh(first.covariance)
    root = axes * np.sqrt(np.maximum(variances, 0.0))
    shared = np.linalg.eigvalsh(root.T @ second.covariance @ root)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return max(float(difference @ difference + traces - 2.0 * np.sqrt(np.maximum(shared, 0.0)).sum()), 0.0)


def log_mel_statistics(audio: Array) -> Vectors:
    """Return (pieces, 48): mean and deviation of 24 log-mel bands over pieces of 1 s, one every half second.

    Natural logarithms of the magnitudes of mid, bands from 40 Hz to 16 kHz, window 2048, hop 512; below -70 dB of a
    full-scale sine counts as that. What is shorter than a piece is one piece.

    Args:
        audio: (2, samples) at 44.1 kHz.
    """
    bands = _log_mel(audio)
    pieces = max((len(bands) - PIECE_HOPS) // PIECE_STEP_HOPS + 1, 1)
    cut = [bands[first : first + PIECE_HOPS] for first in np.arange(pieces) * PIECE_STEP_HOPS]
    return np.array([np.concatenate([piece.mean(axis=0), piece.std(axis=0)]) for piece in cut])


def latent_vectors(bundle: Bundle) -> Embed:
    """Return what gives a sound's latents as the denoiser sees them: (frames, 64), normalised."""

    def embed(audio: Array) -> Vectors:
        return normalised(bundle, codec.encode(bundle, audio).latents).T.astype(np.float64)

    return embed


def summed(moments: Sequence[Moments]) -> Moments:
    """Return the moments of all the sets, at least one, together."""
    total = moments[0]
    for one in moments[1:]:
        total = total + one
    return total


def _log_mel(audio: Array) -> Vectors:
    """Return (hops, 24); the last hops' windows reach beyond the end."""
    bank = mel_bank(BANDS, LOWEST_HZ, HIGHEST_HZ, WINDOW_SAMPLES)
    mid = np.pad(audio.mean(axis=0, keepdims=True), ((0, 0), (0, WINDOW_SAMPLES)))
    hops = max(audio.shape[1] // HOP_SAMPLES, 1)
    pieces = []
    for first in range(0, hops, _BLOCK_HOPS):
        starts = np.arange(first, min(first + _BLOCK_HOPS, hops)) * HOP_SAMPLES
        power = np.square(magnitudes(frames_at(mid, starts, WINDOW_SAMPLES)[0], WINDOW_SAMPLES)) @ bank.T
        pieces.append(np.log(np.maximum(np.sqrt(power), MAGNITUDE_FLOOR)))
    return np.concatenate(pieces).astype(np.float64)
