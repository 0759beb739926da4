"""The last stage: the unrolled sampler is the engine's, the judge hears movement alone, and what is held stays near."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.geometry import LATENT_CHANNELS, STEMS
from engine.sampler import Known, sample
from tests.synthetic_latents import write_songs
from training.common.checkpoint import BEST, LAST, CheckpointError, load_checkpoint
from training.common.configs import load_config
from training.common.devices import Processes
from training.denoiser.config import DenoiserTraining
from training.denoiser.data import batch_generator, make_batch
from training.denoiser.state import averaged_denoiser
from training.denoiser.train import Material, load_material, train
from training.sampler.config import SamplerTraining
from training.sampler.judge import RATES, Judge, judge_loss, sampler_loss
from training.sampler.train import SamplerStage, train_sampler
from training.sampler.unrolled import Task, sampled

CONFIGS = Path(__file__).parents[1] / "configs"
DEVICE = torch.device("cpu")
DRUMS = slice(0, LATENT_CHANNELS)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    directory = tmp_path_factory.mktemp("latents")
    write_songs(directory, 8, 200)
    return load_material(directory)


@pytest.fixture(scope="module")
def denoiser(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("denoiser")
    config = load_config(CONFIGS / "denoiser_tiny.toml", DenoiserTraining)
    train(config, material, out, Processes(0, 1, DEVICE), show=False)
    return out / BEST


def tiny(*overrides: str) -> SamplerTraining:
    return load_config(CONFIGS / "sampler_tiny.toml", SamplerTraining, overrides)


def task(material: Material, step: int = 0) -> Task:
    return Task.of(make_batch(material.training, tiny().data, batch_generator(5, 0, step)), DEVICE)


def test_the_projects_config_is_read() -> None:
    config = load_config(CONFIGS / "sampler_cpu.toml", SamplerTraining)
    assert config.data.windows_of(config.data.window_frames[-1]) >= 1
    assert config.judging.stems == ("drums",)


@pytest.mark.parametrize("wrong", ['judging.stems=["voice"]', "judging.stems=[]", "judging.steps=0", "judging.steps=9"])
def test_what_cannot_be_judged_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="judging"):
        tiny(wrong)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_unrolled_sampler_is_the_engines(material: Material, denoiser: Path, steps: int) -> None:
    network, asked = averaged_denoiser(denoiser)[0], task(material)
    assert 0.0 < float(asked.generated.mean()) < 1.0

    def denoise(x: np.ndarray, timestep: np.ndarray, conditions: np.ndarray, style: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            made: Tensor = network(*(torch.from_numpy(array) for array in (x, timestep, conditions, style)))
        return made.numpy()

    with torch.no_grad():
        ends, _ = sampled(network, asked, steps, mixed=False)
    for row in range(len(asked.clean)):
        known = Known(asked.clean[row].numpy(), asked.generated[row].numpy() < 0.5)
        conditions, style = asked.conditions[row].numpy(), asked.style[row].numpy()
        expected = sample(denoise, asked.noise[row].numpy(), conditions, style, steps, 1.0, known)
        np.testing.assert_allclose(ends[row].numpy(), expected, atol=2e-4)


def test_the_judge_hears_how_its_stems_move_and_nothing_else(material: Material) -> None:
    torch.manual_seed(0)
    judge, asked = Judge(("drums",), 16).eval(), task(material)
    with torch.no_grad():
        judged = judge(asked.clean, asked.conditions, asked.style)
        moved = asked.clean + 3.0 * torch.randn(1, asked.clean.shape[1], 1)
        moved[:, LATENT_CHANNELS:] = 0.0
        same = judge(moved, asked.conditions, asked.style)
        louder = asked.clean.clone()
        louder[:, DRUMS, ::2] *= 2.0
        other = judge(louder, asked.conditions, asked.style)
    assert [one.shape[1] for one in judged] == [64 // rate for rate in RATES]
    for a, b, c in zip(judged, same, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
        assert float((a - c).abs().max()) > 1e-3


def test_known_drums_are_not_judged() -> None:
    judge = Judge(("drums",), 16)
    generated = torch.ones(2, len(STEMS), 64)
    generated[0, STEMS.index("drums")] = 0.0
    generated[1, STEMS.index("drums"), :32] = 0.0
    counted = judge.counted(generated)
    assert [float(one[0].sum()) for one in counted] == [0.0, 0.0, 0.0]
    assert [float(one[1].mean()) for one in counted] == [0.5, 0.5, 0.5]
    unsure = [torch.full_like(one, 7.0) * (1.0 - one) for one in counted]  # what does not count is far off
    assert float(judge_loss(unsure, unsure, counted)) == pytest.approx(2.0)
    assert float(sampler_loss(unsure, counted)) == pytest.approx(0.0)


def test_a_judge_learns_to_tell_real_from_made(material: Material, denoiser: Path) -> None:
    stage = SamplerStage(tiny("judging.judge_alone_steps=1000"), denoiser, DEVICE)
    losses = [
        float(stage.train_step(make_batch(material.training, tiny().data, batch_generator(5, 0, step))).judge)
        for step in range(40)
    ]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    before = stage.before.state_dict()
    assert all(
        torch.allclose(before[name], tensor, atol=1e-6) for name, tensor in stage.network.state_dict().items()
    )  # at the weights before, holding on to them asks for nothing


def test_a_judged_sampler_moves_as_songs_do(material: Material, denoiser: Path) -> None:
    config = tiny("judging.judge_alone_steps=10", "judging.learning_rate=1e-3", "budget.steps=150")
    stage = SamplerStage(config, denoiser, DEVICE)
    figures = [
        stage.train_step(make_batch(material.training, config.data, batch_generator(5, 0, step))) for step in range(150)
    ]

    def away(at: slice) -> float:
        return float(np.mean([abs(float(one.spread_made - one.spread_real)) for one in figures[at]]))

    assert away(slice(-20, None)) < 0.8 * away(slice(0, 10))
    assert figures[-1].held_judged > 0.0


def test_a_stopped_training_continues_and_its_weights_are_a_denoisers(
    material: Material, denoiser: Path, tmp_path: Path
) -> None:
    whole = train_sampler(tiny(), material.training, denoiser, tmp_path / "whole", DEVICE, show=False)
    assert whole.step == 6
    half = train_sampler(tiny("budget.steps=3"), material.training, denoiser, tmp_path / "half", DEVICE, show=False)
    assert half.step == 3
    on = train_sampler(tiny(), material.training, denoiser, tmp_path / "half", DEVICE, show=False)
    assert on.step == 6
    assert load_checkpoint(tmp_path / "half" / LAST, "sampler")["step"] == 6
    network, payload = averaged_denoiser(tmp_path / "half" / BEST)
    assert payload["config"]["judged_steps"] == 6
    assert payload["config"]["judging"]["stems"] == ["drums"]
    assert all(
        torch.equal(tensor, on.average.network.state_dict()[name]) for name, tensor in network.state_dict().items()
    )


def test_a_checkpoint_that_is_no_denoisers_is_refused(denoiser: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.pt").write_bytes(denoiser.read_bytes()[:1000])
    with pytest.raises(CheckpointError):
        SamplerStage(tiny(), tmp_path / "damaged.pt", DEVICE)
