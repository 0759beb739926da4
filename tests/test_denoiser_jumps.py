"""Many steps of a teacher in one of the student's: against the engine's own sampler."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.conditions import LAYOUT
from engine.sampler import ddim_step
from engine.schedule import timestep_pairs
from tests.test_denoiser_training import ALONE, latents, material, tiny
from training.common.checkpoint import save_checkpoint
from training.common.configs import config_to_table
from training.denoiser.__main__ import _teacher
from training.denoiser.harmony import DenoiserInTraining
from training.denoiser.jumps import jump_target, next_edges, with_own_starts
from training.denoiser.objective import TrainingTensors, training_tensors
from training.denoiser.state import KIND, fresh_state
from training.denoiser.teacher import Teacher
from training.denoiser.train import Material, train
from training.denoiser.validation import measure, validation_batches

__all__ = ["latents", "material"]
EDGE = timestep_pairs(2)[0][1]


def curved(x: Tensor, timestep: Tensor) -> Tensor:
    """Say a v that bends with x and timestep, so that many steps end elsewhere than one."""
    return torch.tanh(2.0 * x) + (timestep / 800.0)[:, None, None] * x


def batch_at(material: Material, timesteps: list[int]) -> TrainingTensors:
    data = tiny("data.windows_per_batch=4").data
    batch = validation_batches(material.training, data, 1)[0]
    return training_tensors(replace(batch, timestep=np.array(timesteps)), ALONE.device)


def clean_and_noise(tensors: TrainingTensors) -> tuple[Tensor, Tensor]:
    signal, sigma = tensors.alpha_bar.sqrt()[:, None, None], (1.0 - tensors.alpha_bar).sqrt()[:, None, None]
    return signal * tensors.noisy - sigma * tensors.v, sigma * tensors.noisy + signal * tensors.v


def all_generated(tensors: TrainingTensors) -> TrainingTensors:
    return replace(tensors, generated=torch.ones_like(tensors.generated))


def test_the_next_edge_is_the_one_below() -> None:
    assert next_edges(torch.tensor([799.0, EDGE + 1, EDGE, 5.0, 0.0]), 2).tolist() == [EDGE, EDGE, -1, -1, -1]
    assert next_edges(torch.tensor([799.0, 10.0]), 1).tolist() == [-1, -1]


def test_one_step_to_the_target_ends_where_many_of_the_engines_end(material: Material) -> None:
    tensors = all_generated(batch_at(material, [799, EDGE, 560, 40]))
    target = jump_target(curved, tensors, steps=2, substeps=4)
    for row, (timestep, end) in enumerate([(799, EDGE), (EDGE, -1), (560, EDGE), (40, -1)]):
        x = tensors.noisy[row].numpy()
        once = ddim_step(x, target[row].numpy(), timestep, end)
        edges = np.round(timestep + (end - timestep) * np.arange(5) / 4).astype(int)
        for here, there in pairwise(edges):
            v = curved(torch.from_numpy(x)[None], torch.tensor([float(here)]))[0].numpy()
            x = ddim_step(x, v, int(here), int(there))
        np.testing.assert_allclose(once, x, atol=2e-4)
        at_once = curved(tensors.noisy, tensors.timestep)[row].numpy()
        straight = ddim_step(tensors.noisy[row].numpy(), at_once, timestep, end)
        assert np.abs(straight - x).max() > 0.01


def test_what_is_known_lies_over_every_substep(material: Material) -> None:
    tensors = batch_at(material, [799] * 4)
    generated = tensors.generated.clone()
    generated[:, :64] = 0.0
    tensors = replace(tensors, generated=generated)
    clean, _ = clean_and_noise(tensors)
    seen: list[Tensor] = []

    def watched(x: Tensor, timestep: Tensor) -> Tensor:
        seen.append(x[:, :64])
        return curved(x, timestep)

    jump_target(watched, tensors, steps=1, substeps=4)
    torch.testing.assert_close(seen[0], tensors.noisy[:, :64])
    apart = [(x - clean[:, :64]).square().mean().item() for x in seen]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.3 * apart[0]


def test_windows_at_an_inner_edge_may_begin_where_the_students_own_step_ends(material: Material) -> None:
    tensors = all_generated(batch_at(material, [799, EDGE, EDGE, 40]))
    torch.manual_seed(3)
    drawn = [with_own_starts(curved, tensors, 2).noisy for _ in range(8)]
    moved = torch.stack([(noisy != tensors.noisy).flatten(1).any(dim=1) for noisy in drawn])
    assert moved.any(dim=0).tolist() == [False, True, True, False]
    assert not moved[:, 1:3].all()
    _, noise = clean_and_noise(tensors)
    start = noise[1]  # at 799 next to nothing is left of the songs
    v = curved(start[None], torch.tensor([799.0]))[0].numpy()
    own = next(noisy[1] for noisy, has in zip(drawn, moved, strict=True) if has[1])
    np.testing.assert_allclose(own.numpy(), ddim_step(start.numpy(), v, 799, EDGE), atol=0.02)


class Curved(torch.nn.Module):
    def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        return curved(x, timestep) + conditions[:, LAYOUT.chord.content].mean(dim=(1, 2), keepdim=True)


def test_a_student_learns_to_jump(material: Material, tmp_path: Path) -> None:
    teacher = Teacher(Curved(), 1.0, mixed=False, steps=2, substeps=4)  # type: ignore[arg-type]
    config = tiny("optimiser.harmony_weight=0.0", "optimiser.gradient_clip=100.0", "budget.steps=60")
    batches = validation_batches(material.held_out, config.data, 2)
    state = fresh_state(config, material.statistics, ALONE.device)
    before = measure(DenoiserInTraining(state.average.network, state.heads), batches, ALONE.device, False, teacher).loss
    state = train(config, material, tmp_path, ALONE, teacher=teacher, show=False)
    after = measure(DenoiserInTraining(state.average.network, state.heads), batches, ALONE.device, False, teacher).loss
    assert after < 0.8 * before


@pytest.mark.parametrize(("held", "scale"), [(None, 2.0), (2.0, 1.0)])
def test_a_teacher_guides_only_beyond_what_its_weights_hold(
    material: Material, tmp_path: Path, held: float | None, scale: float
) -> None:
    asked = tiny("distillation.guidance_scale=2.0", "distillation.steps=2", "distillation.substeps=3")
    state = fresh_state(asked, material.statistics, ALONE.device)
    table: dict[str, object] = {"model": config_to_table(asked)["model"]}
    if held is not None:
        table["distillation"] = {"guidance_scale": held}
    average = {"average": state.average.state_dict()}
    save_checkpoint(tmp_path / "teacher.pt", {"kind": KIND, "config": table, **average})
    teacher = _teacher(tmp_path / "teacher.pt", asked, ALONE.device)
    assert (teacher.guidance_scale, teacher.steps, teacher.substeps) == (scale, 2, 3)
