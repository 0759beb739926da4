"""The training objective: v-prediction with a min-SNR weight, on what is to be generated only.

| name here | symbol | meaning |
| --- | --- | --- |
| `alpha_bar` | alpha_bar_t | signal power at timestep t |
| `snr` | SNR(t) = alpha_bar_t / (1 - alpha_bar_t) | signal-to-noise ratio |
| `v` | v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x_0 | Salimans and Ho 2022, appendix D |
| `weight` | min(SNR, gamma) / (SNR + 1) | Hang et al. 2023 (min-SNR), for v; below SNR 1 never under a floor |
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.geometry import LATENT_CHANNELS
from engine.schedule import ALPHA_BAR
from training.denoiser.data import Batch


@dataclass(frozen=True, slots=True)
class TrainingTensors:
    """A batch on the device, its noisy input and its target made.

    Attributes:
        noisy: x_t, (batch, 192, frames).
        v: the target, like `noisy`.
        timestep: (batch,) float32.
        alpha_bar: (batch,).
        conditions: (batch, CONDITION_CHANNELS, frames).
        style: (batch, styles).
        generated: (batch, 192, frames), 1 where the loss counts.
        harmony: chord, key and flag of the song, (batch, 49, frames).
    """

    noisy: Tensor
    v: Tensor
    timestep: Tensor
    alpha_bar: Tensor
    conditions: Tensor
    style: Tensor
    generated: Tensor
    harmony: Tensor


def training_tensors(batch: Batch, device: torch.device) -> TrainingTensors:
    """Move `batch` to `device` and noise it."""
    clean, noise = (torch.from_numpy(array).to(device, non_blocking=True) for array in (batch.clean, batch.noise))
    alpha_bar = torch.from_numpy(ALPHA_BAR[batch.timestep]).to(device, torch.float32)
    signal, sigma = (rate[:, None, None] for rate in (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()))
    return TrainingTensors(
        noisy=signal * clean + sigma * noise,
        v=signal * noise - sigma * clean,
        timestep=torch.from_numpy(batch.timestep).to(device, torch.float32),
        alpha_bar=alpha_bar,
        conditions=torch.from_numpy(batch.conditions).to(device, non_blocking=True),
        style=torch.from_numpy(batch.style).to(device),
        generated=torch.from_numpy(batch.generated).to(device).repeat_interleave(LATENT_CHANNELS, dim=1),
        harmony=torch.from_numpy(batch.harmony).to(device, non_blocking=True),
    )


def snr_weight(alpha_bar: Tensor, gamma: float, floor: float) -> Tensor:
    """Return the weight of the v-loss at `alpha_bar` (batch,), at most 1.

    Where noise outweighs signal (SNR below 1) it is at least `floor`: min-SNR alone goes to 0 there, but that is where
    a few-step sampler starts and where the vocal decides what is played. A floor of 0.5 joins without a step.
    """
    snr = alpha_bar / (1.0 - alpha_bar).clamp_min(1e-8)
    weight = snr.clamp_max(gamma) / (snr + 1.0)
    return torch.where(snr < 1.0, weight.clamp_min(floor), weight)


def window_losses(network: nn.Module, tensors: TrainingTensors) -> Tensor:
    """Return the mean squared error of the network's v, one number a window, (batch,)."""
    return v_errors(network(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style), tensors)


def v_errors(v: Tensor, tensors: TrainingTensors) -> Tensor:
    """Return the mean squared error of `v` over what is to be generated, one number a window, (batch,)."""
    squared = (v.float() - tensors.v).square() * tensors.generated
    return squared.sum(dim=(1, 2)) / tensors.generated.sum(dim=(1, 2)).clamp_min(1.0)


def weighted_loss(losses: Tensor, alpha_bar: Tensor, gamma: float, floor: float) -> Tensor:
    """Return the loss to minimise: the windows' losses (batch,) weighted by their noise levels."""
    return (losses * snr_weight(alpha_bar, gamma, floor)).mean()
