"""Guidance distilled into the weights (Meng et al. 2023, the first of their two stages).

The student learns at every noise level what its teacher says with guidance, so that one pass does what took two.
Without conditions the two passes of guidance are one and the same, so there the student stays what its teacher is: a
sampler can still guide beyond, or less (`engine.window.sample_window`).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.conditions import FOLLOWED_GROUPS, LAYOUT
from training.common.devices import mixed_precision
from training.denoiser.model import Denoiser
from training.denoiser.objective import TrainingTensors


@dataclass(frozen=True, slots=True)
class Teacher:
    """A denoiser whose guided prediction is to be learned.

    Attributes:
        network: the denoiser, on the training's device; it is never changed.
        guidance_scale: of its two passes.
        mixed: whether it runs in bfloat16.
    """

    network: Denoiser
    guidance_scale: float
    mixed: bool

    def taught(self, tensors: TrainingTensors) -> TrainingTensors:
        """Return `tensors` with the guided v of this teacher as the target."""
        return replace(tensors, v=self.guided(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style))

    @torch.no_grad()
    def guided(self, noisy: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        """Return v_unconditional + scale x (v - v_unconditional), one batched call; shapes as in `Denoiser.forward`."""
        unconditional = conditions.clone()
        for name in FOLLOWED_GROUPS:
            unconditional[:, getattr(LAYOUT, name).whole] = 0.0
        with mixed_precision(noisy.device, self.mixed):
            both = self.network(
                torch.cat((noisy, noisy)),
                torch.cat((timestep, timestep)),
                torch.cat((conditions, unconditional)),
                torch.cat((style, torch.zeros_like(style))),
            )
        v, v_unconditional = both.float().chunk(2)
        return v_unconditional + self.guidance_scale * (v - v_unconditional)
