"""Guidance distilled into the weights (Meng et al. 2023, the first of their two stages).

The student learns at every noise level what its teacher says with guidance, so that one pass does what took two.
Without conditions the two passes of guidance are one and the same, so there the student stays what its teacher is: a
sampler can still guide beyond, or less (`engine.window.sample_window`).

Where the student is to play in few steps, it learns what many of its teacher's lead to (`training.denoiser.jumps`).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.conditions import FOLLOWED_GROUPS, LAYOUT
from training.common.devices import mixed_precision
from training.denoiser.jumps import jump_target, with_own_starts
from training.denoiser.model import Denoiser
from training.denoiser.objective import TrainingTensors


@dataclass(frozen=True, slots=True)
class Teacher:
    """A denoiser whose guided prediction is to be learned.

    Attributes:
        network: the denoiser, on the training's device; it is never changed.
        guidance_scale: of its two passes; at 1 it takes one.
        mixed: whether it runs in bfloat16.
        steps: of the sampler that the student learns to jump in; 0 for guidance alone.
        substeps: of the teacher in each of them.
    """

    network: Denoiser
    guidance_scale: float
    mixed: bool
    steps: int = 0
    substeps: int = 1

    @torch.no_grad()
    def taught(self, tensors: TrainingTensors, student: Denoiser | None = None) -> TrainingTensors:
        """Return `tensors` with the v of this teacher as the target, some begun by the `student` if it is given."""

        def guided(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self.guided(noisy, timestep, tensors.conditions, tensors.style)

        def own(noisy: Tensor, timestep: Tensor) -> Tensor:
            assert student is not None
            with mixed_precision(noisy.device, self.mixed):
                return student(noisy, timestep, tensors.conditions, tensors.style).float()

        if not self.steps:
            return replace(tensors, v=guided(tensors.noisy, tensors.timestep))
        begun = tensors if student is None else with_own_starts(own, tensors, self.steps)
        return replace(begun, v=jump_target(guided, begun, self.steps, self.substeps))

    @torch.no_grad()
    def guided(self, noisy: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        """Return v_unconditional + scale x (v - v_unconditional), one batched call; shapes as in `Denoiser.forward`."""
        if self.guidance_scale == 1.0:
            with mixed_precision(noisy.device, self.mixed):
                return self.network(noisy, timestep, conditions, style).float()
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
