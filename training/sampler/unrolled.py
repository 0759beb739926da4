"""`engine.sampler.sample` in torch, so that the weights learn from where its few steps end."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.geometry import LATENT_CHANNELS
from engine.schedule import alpha_bar_at, timestep_pairs
from training.common.devices import mixed_precision
from training.denoiser.data import Batch


@dataclass(frozen=True, slots=True)
class Task:
    """What a sampler is asked, on the device, and what songs answer.

    Attributes:
        clean: normalised latents of the songs, (batch, 192, frames).
        noise: standard normal, like `clean`.
        conditions: (batch, CONDITION_CHANNELS, frames).
        style: (batch, styles).
        generated: (batch, stems, frames), 1 where something is to be made, 0 where `clean` is known.
    """

    clean: Tensor
    noise: Tensor
    conditions: Tensor
    style: Tensor
    generated: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "Task":
        """Move `batch` to `device`; its timesteps are not used."""
        arrays = (batch.clean, batch.noise, batch.conditions, batch.style, batch.generated)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    @property
    def made(self) -> Tensor:
        """(batch, 192, frames), 1 where something is to be made."""
        return self.generated.repeat_interleave(LATENT_CHANNELS, dim=1)


def sampled(network: nn.Module, task: Task, steps: int, mixed: bool) -> tuple[Tensor, Tensor]:
    """Return what a sampler of `steps` steps ends with, and what its first step alone says: (batch, 192, frames) each.

    What is known is laid over both, as `engine.sampler.sample` does.
    """
    made, x, first = task.made, task.noise, None
    for timestep, previous in timestep_pairs(steps):
        alpha_bar = alpha_bar_at(timestep)
        signal, sigma = alpha_bar**0.5, (1.0 - alpha_bar) ** 0.5
        x = torch.where(made > 0, x, signal * task.clean + sigma * task.noise)
        timesteps = torch.full((len(x),), float(timestep), device=x.device)
        with mixed_precision(x.device, mixed):
            v = network(x, timesteps, task.conditions, task.style)
        x_0, noise = signal * x - sigma * v.float(), sigma * x + signal * v.float()
        first = x_0 if first is None else first
        left = alpha_bar_at(previous)
        x = left**0.5 * x_0 + (1.0 - left) ** 0.5 * noise
    assert first is not None
    return torch.where(made > 0, x, task.clean), torch.where(made > 0, first, task.clean)
