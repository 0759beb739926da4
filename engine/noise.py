"""Gaussian noise that depends on (seed, stem, absolute latent frame) alone.

A counter-based generator (Philox) is told where to start, so any window of frames is made without those before it:
each frame owns a fixed run of the counter, and Box and Muller's transform takes exactly two uniforms for two normals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS, STEMS

_WORDS_PER_BLOCK = 4  # 64-bit words that Philox 4x64 gives for one value of its counter
_BLOCKS_PER_FRAME = LATENT_CHANNELS // _WORDS_PER_BLOCK
_UNIFORM_STEP = 2.0**-53
_MAX_SEED = 2**64 - 1


def latent_noise(seed: int, start_frame: int, frames: int) -> NDArray[np.float32]:
    """Return standard normal noise for the three stems' latents.

    Args:
        seed: 0 to 2**64 - 1.
        start_frame: absolute latent frame of the first column, 0 or later.
        frames: number of columns.

    Returns:
        (192, frames) float32; a frame's column is the same in every window that holds it.

    Raises:
        ValueError: the seed, start or length is out of range.
    """
    check_seed(seed)
    if start_frame < 0 or frames < 0:
        raise ValueError(f"noise window of {frames} frames from frame {start_frame}: neither may be negative")
    stems = [_stem_noise(seed, stem, start_frame, frames) for stem in range(len(STEMS))]
    return np.stack(stems).reshape(ACCOMPANIMENT_CHANNELS, frames)


def check_seed(seed: int) -> None:
    """Raise ValueError unless `seed` is 0 to 2**64 - 1."""
    if not 0 <= seed <= _MAX_SEED:
        raise ValueError(f"seed {seed} is out of range; give a whole number from 0 to {_MAX_SEED}")


def _stem_noise(seed: int, stem: int, start_frame: int, frames: int) -> NDArray[np.float32]:
    """Return (64, frames) noise of one stem."""
    key = np.array([seed, stem], dtype=np.uint64)
    words = np.random.Philox(counter=start_frame * _BLOCKS_PER_FRAME, key=key).random_raw(frames * LATENT_CHANNELS)
    uniforms = ((words >> np.uint64(11)) + 0.5) * _UNIFORM_STEP  # in (0, 1), never an end
    pairs = uniforms.reshape(frames, 2, LATENT_CHANNELS // 2)
    radius = np.sqrt(-2.0 * np.log(pairs[:, 0]))
    angle = 2.0 * np.pi * pairs[:, 1]
    normals = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.ascontiguousarray(normals.T, dtype=np.float32)
