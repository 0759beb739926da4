"""The noise schedule, the v-parameterisation and the timesteps of a few-step sampler.

| here | papers | meaning |
| --- | --- | --- |
| `timestep` | t - 1 | 0 (almost clean) to 799 (pure noise); -1 is clean |
| `alpha_bar` | alpha_bar_t | share of the signal's power that is left |
| `x_0`, `x_t` | x_0, x_t | clean latents; latents at the noise level of `timestep` |
| `noise` | epsilon | the Gaussian noise in `x_t` |
| `v` | v | sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x_0, what the denoiser predicts |

Cosine schedule: Nichol and Dhariwal 2021, eq. 17. v: Salimans and Ho 2022, appendix D.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

TIMESTEPS = 800
COSINE_OFFSET = 0.008
MAX_BETA = 0.999
CLEAN_TIMESTEP = -1
STEP_CURVE = 1.4
"""Of two steps the second begins at timestep 302; at 1, evenly spaced, it would at 399, and strokes stray more."""

Real = TypeVar("Real", bound=np.floating)


def _alpha_bar_table() -> NDArray[np.float64]:
    """Return alpha_bar of timesteps 0 to 799, each step's beta at most 0.999 so that the last is above 0."""
    progress = np.arange(TIMESTEPS + 1) / TIMESTEPS
    curve = np.cos((progress + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * np.pi / 2.0) ** 2
    betas = np.minimum(1.0 - curve[1:] / curve[:-1], MAX_BETA)
    table: NDArray[np.float64] = np.cumprod(1.0 - betas)
    table.flags.writeable = False
    return table


ALPHA_BAR = _alpha_bar_table()
"""(800,) float64, falling; `ALPHA_BAR[timestep]`."""


def alpha_bar_at(timestep: int) -> float:
    """Return alpha_bar of `timestep`; of -1 it is 1.

    Raises:
        ValueError: the timestep is not -1 to 799.
    """
    if timestep == CLEAN_TIMESTEP:
        return 1.0
    if not 0 <= timestep < TIMESTEPS:
        raise ValueError(f"timestep {timestep} is out of range; give 0 to {TIMESTEPS - 1}, or -1 for clean")
    return float(ALPHA_BAR[timestep])


def timestep_pairs(steps: int) -> tuple[tuple[int, int], ...]:
    """Return the `(timestep, previous timestep)` pairs of a sampler of `steps` steps, noisiest first.

    The first timestep is 799, the last previous one -1, and each pair starts where the one before it ended. With few
    steps they lie closer towards the clean end (`STEP_CURVE`): what was decided at pure noise, above all where strokes
    lie, is to be made clearer and not decided anew. 800 steps are all timesteps.

    Raises:
        ValueError: `steps` is not 1 to 800.
    """
    if not 1 <= steps <= TIMESTEPS:
        raise ValueError(f"steps {steps} is out of range; give 1 to {TIMESTEPS} (4 to 8 are usual)")
    edges = [max(left, round(TIMESTEPS * (left / steps) ** STEP_CURVE)) - 1 for left in range(steps, -1, -1)]
    return tuple(pairwise(edges))


def noised(x_0: NDArray[Real], noise: NDArray[Real], alpha_bar: float) -> NDArray[Real]:
    """Return x_t: `x_0` with `noise` at the level `alpha_bar`; all of one shape."""
    signal, sigma = _rates(x_0, alpha_bar)
    return signal * x_0 + sigma * noise


def v_from(x_0: NDArray[Real], noise: NDArray[Real], alpha_bar: float) -> NDArray[Real]:
    """Return the v of `x_0` and `noise` at the level `alpha_bar`."""
    signal, sigma = _rates(x_0, alpha_bar)
    return signal * noise - sigma * x_0


def x_0_from_v(x_t: NDArray[Real], v: NDArray[Real], alpha_bar: float) -> NDArray[Real]:
    """Return the clean latents that `v` says are in `x_t`."""
    signal, sigma = _rates(x_t, alpha_bar)
    return signal * x_t - sigma * v


def noise_from_v(x_t: NDArray[Real], v: NDArray[Real], alpha_bar: float) -> NDArray[Real]:
    """Return the noise that `v` says is in `x_t`."""
    signal, sigma = _rates(x_t, alpha_bar)
    return sigma * x_t + signal * v


def _rates(like: NDArray[Real], alpha_bar: float) -> tuple[Real, Real]:
    """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar) in the precision of `like`."""
    scalar = like.dtype.type
    return scalar(np.sqrt(alpha_bar)), scalar(np.sqrt(1.0 - alpha_bar))
