"""DDIM with eta 0 over explicit timestep pairs (Song, Meng and Ermon 2021, eq. 12), for a denoiser that predicts v.

Guidance is one batched call of the denoiser (Ho and Salimans 2022). Known frames are laid over the noisy latents at
every step, at that step's noise level and with the same noise, so the denoiser always sees them where they belong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.conditions import FOLLOWED_GROUPS, drop
from engine.geometry import LATENT_CHANNELS
from engine.schedule import alpha_bar_at, noise_from_v, noised, timestep_pairs, x_0_from_v

Array = NDArray[np.float32]
FRAMES_MULTIPLE = 4
MAX_GUIDANCE_SCALE = 20.0


class Denoise(Protocol):
    """What predicts v."""

    def __call__(self, x: Array, timestep: Array, conditions: Array, style: Array, /) -> Array:
        """Return v (batch, 192, frames).

        Args:
            x: (batch, 192, frames) noisy normalised latents.
            timestep: (batch,) timesteps 0 to 799.
            conditions: (batch, CONDITION_CHANNELS, frames).
            style: (batch, styles) weights.
        """
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """What is already there and must stay.

    Attributes:
        latents: (192, frames) normalised; any value where unknown.
        mask: (stems, frames), true where known.
    """

    latents: Array
    mask: NDArray[np.bool_]

    def over(self, x: Array, level: Array) -> Array:
        """Return `x` (192, frames) with `level`, the known latents at some noise level, where known."""
        return np.where(np.repeat(self.mask, LATENT_CHANNELS, axis=0), level, x)


def sample(
    denoise: Denoise,
    noise: Array,
    conditions: Array,
    style: Array,
    steps: int,
    guidance_scale: float = 1.0,
    known: Known | None = None,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """Return clean normalised latents (192, frames).

    Args:
        denoise: the v-predictor.
        noise: (192, frames) standard normal; frames a multiple of 4.
        conditions: (CONDITION_CHANNELS, frames), with `known` in its group.
        style: (styles,) weights.
        steps: 1 to 800.
        guidance_scale: 1 = conditions as they are (one pass a step); above, followed more closely (two at once).
        known: latents to keep; they come back bit for bit.
        progress: called with the done share after each step.

    Raises:
        ValueError: the number of frames or steps, or the guidance scale, is out of range.
    """
    if noise.shape[-1] % FRAMES_MULTIPLE:
        raise ValueError(f"{noise.shape[-1]} frames are not a multiple of {FRAMES_MULTIPLE}; pad the window")
    check_guidance_scale(guidance_scale)
    predict = _guided(denoise, conditions, style, guidance_scale)
    x = noise
    for done, (timestep, previous) in enumerate(timestep_pairs(steps), start=1):
        if known is not None:
            x = known.over(x, noised(known.latents, noise, alpha_bar_at(timestep)))
        x = ddim_step(x, predict(x, timestep), timestep, previous)
        if progress is not None:
            progress(done / steps)
    return x if known is None else known.over(x, known.latents)


def ddim_step(x: Array, v: Array, timestep: int, previous: int) -> Array:
    """Return `x` at the noise level of `previous`, given its `v` at `timestep`; previous -1 gives clean latents."""
    alpha_bar = alpha_bar_at(timestep)
    return noised(x_0_from_v(x, v, alpha_bar), noise_from_v(x, v, alpha_bar), alpha_bar_at(previous))


def check_guidance_scale(guidance_scale: float) -> None:
    """Raise ValueError unless `guidance_scale` is 0 to 20."""
    if not 0.0 <= guidance_scale <= MAX_GUIDANCE_SCALE:
        raise ValueError(f"guidance {guidance_scale} is out of range; give 0 to 20 (1 = none, 2 is usual)")


def _guided(denoise: Denoise, conditions: Array, style: Array, guidance_scale: float) -> Callable[[Array, int], Array]:
    """Return the function `(x, timestep) -> v` that calls `denoise` once, for one or both passes."""
    if guidance_scale == 1.0:
        stacked, styles = conditions[None], style[None]
    else:
        stacked = np.stack([conditions, drop(conditions, FOLLOWED_GROUPS)])
        styles = np.stack([style, np.zeros_like(style)])
    passes = len(stacked)

    def predict(x: Array, timestep: int) -> Array:
        timesteps = np.full(passes, timestep, dtype=np.float32)
        v = denoise(np.repeat(x[None], passes, axis=0), timesteps, stacked, styles)
        return v[0] if passes == 1 else v[1] + np.float32(guidance_scale) * (v[0] - v[1])

    return predict
