"""Held-out measurements: the loss by noise level, what the vocal is worth, and a sampled window to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.conditions import LAYOUT
from engine.geometry import ACCOMPANIMENT_CHANNELS
from engine.sampler import sample
from engine.schedule import TIMESTEPS
from engine.styles import STYLES
from training.common.devices import mixed_precision
from training.denoiser.config import DataConfig
from training.denoiser.data import Batch, batch_generator, make_batch
from training.denoiser.harmony import DenoiserInTraining, harmony_loss
from training.denoiser.objective import TrainingTensors, training_tensors, v_errors, window_losses
from training.denoiser.songs import LatentSong
from training.denoiser.teacher import Teacher

VALIDATION_SEED = 20_011
NOISY_FROM = TIMESTEPS // 2
SAMPLE_STEPS = 8
IMAGE_LIMIT = 3.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Losses on songs that were not trained on: unweighted mean squared errors of v.

    Attributes:
        loss: over all noise levels; what early stopping watches.
        noisy: over the noisier half of the timesteps, where structure is decided.
        clean: over the other half, where detail is decided.
        mismatched: like `noisy`, each window with the vocal of another song.
        harmony: cross-entropy of chord and key read off the context C, over the noisier half; 0.3 knows nothing.
    """

    loss: float
    noisy: float
    clean: float
    mismatched: float
    harmony: float


def validation_batches(songs: Sequence[LatentSong], data: DataConfig, count: int) -> tuple[Batch, ...]:
    """Return the same `count` batches every time."""
    return tuple(make_batch(songs, data, batch_generator(VALIDATION_SEED, 0, index)) for index in range(count))


@torch.no_grad()
def measure(
    network: DenoiserInTraining,
    batches: Sequence[Batch],
    device: torch.device,
    mixed: bool,
    teacher: Teacher | None = None,
) -> HeldOut:
    """Measure `network` on `batches`: against the songs, or against what a `teacher` says of them."""
    matched, mismatched, timesteps, harmony = [], [], [], []
    with mixed_precision(device, mixed):
        for batch in batches:
            tensors = training_tensors(batch, device)
            if teacher is not None:
                tensors = teacher.taught(tensors)
            v, from_context, _ = network(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style)
            matched.append(v_errors(v, tensors).cpu())
            mismatched.append(window_losses(network.denoiser, _with_other_vocals(tensors)).cpu())
            noisy = tensors.timestep >= NOISY_FROM
            if noisy.any():
                harmony.append(harmony_loss(from_context[noisy], tensors.harmony[noisy]).cpu())
            timesteps.append(tensors.timestep.cpu())
    losses, others, timestep = torch.cat(matched), torch.cat(mismatched), torch.cat(timesteps)
    noisy = timestep >= NOISY_FROM
    return HeldOut(
        loss=losses.mean().item(),
        noisy=losses[noisy].mean().item(),
        clean=losses[~noisy].mean().item(),
        mismatched=others[noisy].mean().item(),
        harmony=torch.stack(harmony).mean().item(),
    )


def _with_other_vocals(tensors: TrainingTensors) -> TrainingTensors:
    """Return `tensors` with the vocals moved on by one window."""
    conditions = tensors.conditions.clone()
    for group in (LAYOUT.vocal_latents, LAYOUT.vocal_pitch):
        conditions[:, group.whole] = conditions[:, group.whole].roll(1, dims=0)
    return TrainingTensors(
        tensors.noisy,
        tensors.v,
        tensors.timestep,
        tensors.alpha_bar,
        conditions,
        tensors.style,
        tensors.generated,
        tensors.harmony,
    )


@torch.no_grad()
def sampled_window(network: nn.Module, song: LatentSong, frames: int, device: torch.device, seed: int = 0) -> Floats:
    """Return latents (192, frames) that the averaged network makes for the middle of `song`, nothing known of them."""

    def denoise(x: Floats, timestep: Floats, conditions: Floats, style: Floats) -> Floats:
        tensors = (torch.from_numpy(array).to(device) for array in (x, timestep, conditions, style))
        return network(*tensors).float().cpu().numpy()

    conditions = middle_window(song, frames).copy()
    conditions[LAYOUT.known.whole] = 0.0
    for name in ("chord", "key"):
        conditions[getattr(LAYOUT, name).whole] = 0.0
    style = np.zeros(len(STYLES), dtype=np.float32)
    style[song.style] = 1.0
    noise = np.random.default_rng(seed).standard_normal((ACCOMPANIMENT_CHANNELS, frames), dtype=np.float32)
    return sample(denoise, noise, conditions, style, SAMPLE_STEPS)


def middle_window(song: LatentSong, frames: int) -> Floats:
    """Return the packed conditions (CONDITION_CHANNELS, frames) of the middle of `song`, everything known."""
    start = (song.frames - frames) // 2
    return song.packed[:, start : start + frames].astype(np.float32)


def comparison_image(real: Floats, made: Floats) -> Floats:
    """Return real above made latents, both (192, frames), as a grey image (1, 2 * 192 + 8, frames) in [0, 1]."""
    gap = np.full((8, real.shape[1]), IMAGE_LIMIT, dtype=np.float32)
    stacked = np.concatenate([real, gap, made])
    return np.clip(stacked / (2.0 * IMAGE_LIMIT) + 0.5, 0.0, 1.0)[None].astype(np.float32)
