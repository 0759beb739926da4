"""Many steps of a sampler in one: from any timestep the jump to the next edge of a sampler with few steps.

A network that has learned the songs says at pure noise the mean of all that may be played, and two steps play that
mean: a stroke that half of the songs have is half a stroke. Many steps decide. What they decide, a student can learn to
say at once: the target of progressive distillation (Salimans and Ho 2022), taken over the whole of each step of the
student as in multistep consistency models (Heek, Hoogeboom and Salimans 2024).

| name here | meaning |
| --- | --- |
| edges | timesteps at which the steps of the student's sampler end, the last one clean |
| jump | from x_t at `timestep` to x_s at the next edge `s` below it |
| delta | angle between the two: signal is cos, noise is sin; x_s = cos(delta) x_t - sin(delta) v |
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from engine.schedule import ALPHA_BAR, timestep_pairs
from training.denoiser.objective import TrainingTensors

Predict = Callable[[Tensor, Tensor], Tensor]
"""`(x_t, timestep) -> v` of a whole batch."""

OWN_SHARE = 0.5  # of the windows at an inner edge that begin where the student's own step before ends

_ANGLES = torch.cat((torch.zeros(1), torch.from_numpy(ALPHA_BAR.copy()).sqrt().acos().float()))


def next_edges(timestep: Tensor, steps: int) -> Tensor:
    """Return the edge below each `timestep` (batch,) of a sampler of `steps` steps, -1 below the last."""
    edges = torch.tensor([previous for _, previous in timestep_pairs(steps)], device=timestep.device)
    below = edges[None] < timestep[:, None]
    return torch.where(below, edges[None], -1).amax(dim=1)


def deltas(timestep: Tensor, previous: Tensor) -> Tensor:
    """Return the angles (batch, 1, 1) between two noise levels; `previous` -1 is clean."""
    angles = _ANGLES.to(timestep.device)
    return (angles[timestep.long() + 1] - angles[previous.long() + 1])[:, None, None]


def stepped(x: Tensor, v: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return `x`, whose noise level is that of `start`, at that of `end`: `engine.sampler.ddim_step` by window.

    With the `v` of its own noise it is the same song and noise at any other level, cleaner or noisier.
    """
    delta = deltas(start, end)
    return delta.cos() * x - delta.sin() * v


def jump_target(predict: Predict, tensors: TrainingTensors, steps: int, substeps: int) -> Tensor:
    """Return the v whose one step ends where `substeps` steps of `predict` end, at the next edge; like `tensors.v`.

    What is known lies over the noisy latents at every substep, as in the sampler.
    """
    start, end = tensors.timestep, next_edges(tensors.timestep, steps)
    x = tensors.noisy
    for step in range(substeps):
        here, there = (torch.round(start + (end - start) * done / substeps) for done in (step, step + 1))
        x = _over_known(x, tensors, here)
        x = stepped(x, predict(x, here), here, there)
    delta = deltas(start, end)
    return (delta.cos() * tensors.noisy - x) / delta.sin()


def with_own_starts(predict: Predict, tensors: TrainingTensors, steps: int) -> TrainingTensors:
    """Return `tensors` with some windows at an inner edge where the student's own step before it ends.

    There a sampler asks it, and not at songs with noise.

    Args:
        predict: the student.
        tensors: a batch.
        steps: of the student's sampler.
    """
    above = {end: start for start, end in timestep_pairs(steps) if end >= 0}
    before = torch.tensor([above.get(int(here), -1) for here in tensors.timestep], device=tensors.timestep.device)
    own = (before >= 0) & (torch.rand(len(before), device=before.device) < OWN_SHARE)
    if not own.any():
        return tensors
    before = torch.where(own, before, tensors.timestep.long()).to(tensors.timestep.dtype)
    x = stepped(tensors.noisy, tensors.v, tensors.timestep, before)
    x = _over_known(stepped(x, predict(x, before), before, tensors.timestep), tensors, tensors.timestep)
    return replace(tensors, noisy=torch.where(own[:, None, None], x, tensors.noisy))


def _over_known(x: Tensor, tensors: TrainingTensors, timestep: Tensor) -> Tensor:
    """Return `x` with what is known over it, at the noise level of `timestep`."""
    known = stepped(tensors.noisy, tensors.v, tensors.timestep, timestep)
    return torch.where(tensors.generated > 0.0, x, known)
