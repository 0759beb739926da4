from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import training.denoiser.train as loop
from engine.conditions import CONDITION_CHANNELS, FOLLOWED_GROUPS, LAYOUT
from engine.schedule import ALPHA_BAR
from engine.styles import STYLES
from tests.synthetic_latents import write_songs
from training.common.checkpoint import BEST, LAST, load_checkpoint, save_checkpoint
from training.common.configs import load_config
from training.common.devices import Processes, has_fast_bfloat16
from training.denoiser.config import DenoiserTraining
from training.denoiser.data import batch_generator, make_batch
from training.denoiser.harmony import HARMONY_CHANNELS, DenoiserInTraining, harmony_loss
from training.denoiser.objective import snr_weight, training_tensors, weighted_loss, window_losses
from training.denoiser.songs import LatentStatistics
from training.denoiser.state import TrainingState, averaged_denoiser, fresh_state, resume
from training.denoiser.teacher import Teacher
from training.denoiser.train import Material, load_material, train
from training.denoiser.validation import measure, sampled_window, validation_batches

CONFIGS = Path(__file__).parents[1] / "configs"
STATISTICS = LatentStatistics(np.zeros(64, dtype=np.float32), np.ones(64, dtype=np.float32))
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("latents")
    write_songs(directory, 8, 200)
    return directory


@pytest.fixture(scope="module")
def material(latents: Path) -> Material:
    return load_material(latents)


def tiny(*overrides: str) -> DenoiserTraining:
    return load_config(CONFIGS / "denoiser_tiny.toml", DenoiserTraining, overrides)


@pytest.mark.parametrize("name", ["tiny", "cpu", "gpu", "distil_cpu", "jumps_cpu"])
def test_the_projects_configs_are_read(name: str) -> None:
    config = load_config(CONFIGS / f"denoiser_{name}.toml", DenoiserTraining)
    assert config.data.windows_of(config.data.window_frames[-1]) >= 1


class PerfectNetwork(nn.Module):
    def __init__(self, v: Tensor) -> None:
        super().__init__()
        self.v = v

    def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        return self.v


def test_a_perfect_v_has_no_loss_and_gives_back_x_0(material: Material) -> None:
    batch = make_batch(material.training, tiny().data, batch_generator(0, 0, 0))
    tensors = training_tensors(batch, ALONE.device)
    assert window_losses(PerfectNetwork(tensors.v), tensors).max() == 0.0
    signal, sigma = tensors.alpha_bar.sqrt()[:, None, None], (1.0 - tensors.alpha_bar).sqrt()[:, None, None]
    x_0 = signal * tensors.noisy - sigma * tensors.v
    assert torch.allclose(x_0, torch.from_numpy(batch.clean), atol=1e-4)


def test_the_loss_does_not_see_known_frames(material: Material) -> None:
    batch = make_batch(material.training, tiny().data, batch_generator(0, 0, 3))
    tensors = training_tensors(batch, ALONE.device)
    assert 0.0 < tensors.generated.mean() < 1.0
    wrong_where_known = tensors.v + 100.0 * (1.0 - tensors.generated)
    assert window_losses(PerfectNetwork(wrong_where_known), tensors).max() == 0.0
    wrong_elsewhere = tensors.v + tensors.generated
    assert window_losses(PerfectNetwork(wrong_elsewhere), tensors).numpy() == pytest.approx(1.0, abs=1e-4)


def test_the_weight_is_min_snr_with_a_floor() -> None:
    alpha_bar = torch.tensor(ALPHA_BAR, dtype=torch.float32)
    weight = snr_weight(alpha_bar, 5.0, 0.2)
    snr = ALPHA_BAR / (1.0 - ALPHA_BAR)
    plain = np.minimum(snr, 5.0) / (snr + 1.0)
    assert weight.numpy() == pytest.approx(np.where(snr < 1.0, np.maximum(plain, 0.2), plain), rel=1e-3)
    assert weighted_loss(torch.ones(800), alpha_bar, 5.0, 0.2) == pytest.approx(weight.mean().item())


def test_loss_goes_down_and_a_window_can_be_sampled(material: Material, tmp_path: Path) -> None:
    config = tiny("budget.steps=60", "run.validate_every_steps=1000", "optimiser.learning_rate=4e-3")
    batches = validation_batches(material.training, config.data, 4)
    fresh = fresh_state(config, material.statistics, ALONE.device)
    before = measure(DenoiserInTraining(fresh.network, fresh.heads), batches, ALONE.device, mixed=False)
    state = train(config, material, tmp_path, ALONE, show=False)
    after = measure(DenoiserInTraining(state.average.network, state.heads), batches, ALONE.device, mixed=False)
    assert after.loss < 0.95 * before.loss
    assert after.harmony < 0.6 * before.harmony
    made = sampled_window(state.average.network, material.held_out[0], 64, ALONE.device)
    assert made.shape == (192, 64)
    assert np.isfinite(made).all()


def test_the_vocal_can_decide_what_is_played() -> None:
    generator = torch.Generator().manual_seed(0)
    network = fresh_state(tiny(), STATISTICS, ALONE.device).network
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    timestep, style = torch.full((16,), 799.0), torch.zeros(16, len(STYLES))
    mixing = torch.randn(192, 2, generator=generator)

    def loss_of(swapped: bool) -> Tensor:
        sung = torch.randn(16, 2, 1, generator=generator).expand(16, 2, 32)
        conditions = torch.zeros(16, CONDITION_CHANNELS, 32)
        conditions[:, LAYOUT.vocal_latents.content] = sung.repeat(1, 32, 1)
        conditions[:, LAYOUT.vocal_latents.flag] = 1.0
        played = mixing @ (sung.roll(1, dims=0) if swapped else sung)
        noise = torch.randn(16, 192, 32, generator=generator)
        return (network(noise, timestep, conditions, style) + played).square().mean()  # at pure noise v = -x_0

    for _ in range(80):
        optimiser.zero_grad()
        loss_of(swapped=False).backward()
        optimiser.step()
    with torch.no_grad():
        assert loss_of(swapped=False) < 0.3 * loss_of(swapped=True)


def weights_of(path: Path) -> dict[str, Tensor]:
    payload = load_checkpoint(path, "denoiser")
    parts = {"network": payload["network"], "average": payload["average"]["network"]}
    return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


def test_the_harmony_loss_is_nothing_for_a_sure_and_right_reading_and_skips_what_is_unknown() -> None:
    harmony = torch.zeros(2, HARMONY_CHANNELS + 1, 16)
    harmony[:, 3], harmony[:, 20], harmony[:, -1] = 1.0, 1.0, 1.0
    right = 40.0 * (harmony[:, :-1, ::4] - 0.5)
    assert harmony_loss(right, harmony) < 1e-6
    assert harmony_loss(-right, harmony) == pytest.approx(20.0)
    harmony[:, -1, 8:] = 0.0
    wrong_where_unknown = torch.cat((right[..., :2], -right[..., 2:]), dim=-1)
    assert harmony_loss(wrong_where_unknown, harmony) < 1e-6


def test_the_harmony_heads_teach_the_vocal_stream(material: Material) -> None:
    state = fresh_state(tiny(), material.statistics, ALONE.device)
    tensors = training_tensors(make_batch(material.training, tiny().data, batch_generator(0, 0, 0)), ALONE.device)
    network = DenoiserInTraining(state.network, state.heads)
    v, *readings = network(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style)
    plain = state.network(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style)
    assert torch.equal(v, plain)
    harmony_loss(readings[0], tensors.harmony).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in state.network.vocal.parameters())


def test_a_training_begun_without_heads_takes_them_up(material: Material, tmp_path: Path) -> None:
    train(tiny("budget.steps=2"), material, tmp_path, ALONE, show=False)
    payload = load_checkpoint(tmp_path / LAST)
    heads = {name: payload.pop(name) for name in ("heads", "heads_optimiser")}
    save_checkpoint(tmp_path / LAST, payload)
    state = fresh_state(tiny(), material.statistics, ALONE.device)
    assert resume(tmp_path, state)
    assert state.step == 2
    assert heads["heads"].keys() == state.heads.state_dict().keys()


class KilledError(Exception):
    pass


def test_a_killed_training_continues_bit_equal(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("budget.steps=12", "run.validate_every_steps=5", "run.checkpoint_minutes=0.0")
    whole = train(config, material, tmp_path / "whole", ALONE, show=False)
    assert whole.step == 12

    step = loop.training_step

    def dies_in_step_8(network, state, *rest):  # type: ignore[no-untyped-def]
        if state.step == 7:
            raise KilledError
        return step(network, state, *rest)

    monkeypatch.setattr(loop, "training_step", dies_in_step_8)
    with pytest.raises(KilledError):
        train(config, material, tmp_path / "parts", ALONE, show=False)
    monkeypatch.undo()
    state = fresh_state(config, material.statistics, ALONE.device)
    assert resume(tmp_path / "parts", state)
    assert state.step == 7
    train(config, material, tmp_path / "parts", ALONE, show=False)
    expected, found = weights_of(tmp_path / "whole" / LAST), weights_of(tmp_path / "parts" / LAST)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_early_stopping_ends_a_training_and_the_best_is_kept(material: Material, tmp_path: Path) -> None:
    config = tiny("budget.steps=500", "optimiser.learning_rate=0.0", "run.validate_every_steps=2", "run.patience=2")
    state = train(config, material, tmp_path, ALONE, show=False)
    assert state.step < 20
    network, payload = averaged_denoiser(tmp_path / BEST)
    assert payload["held_out_loss"] == state.stopping.best
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert list((tmp_path / "tensorboard").iterdir())


def test_resuming_another_model_or_other_latents_is_refused(material: Material, tmp_path: Path) -> None:
    train(tiny("budget.steps=1"), material, tmp_path, ALONE, show=False)
    other = fresh_state(tiny("model.blocks=2"), material.statistics, ALONE.device)
    with pytest.raises(ValueError, match="another model size"):
        resume(tmp_path, other)
    same = fresh_state(tiny(), material.statistics, ALONE.device)
    same.statistics.std[0] += 1.0
    with pytest.raises(ValueError, match="other latents"):
        resume(tmp_path, same)
    same.statistics.std[0] -= 1.0


def test_a_training_may_start_from_given_weights(material: Material, tmp_path: Path) -> None:
    weights = fresh_state(tiny("run.seed=99"), material.statistics, ALONE.device).network.state_dict()
    state = train(tiny("budget.steps=1", "optimiser.learning_rate=0.0"), material, tmp_path, ALONE, weights, show=False)
    assert all(torch.equal(weights[name], tensor) for name, tensor in state.network.state_dict().items())
    with pytest.raises(ValueError, match="do not fit"):
        train(tiny("model.blocks=2"), material, tmp_path / "other", ALONE, weights, show=False)


class Linear(nn.Module):
    """Says of each window the mean of its conditions: with and without them two different things."""

    def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        return x + 3.0 * conditions.mean(dim=(1, 2), keepdim=True) + style.sum(dim=1)[:, None, None]


def test_what_is_learned_of_a_teacher_is_its_guided_prediction(material: Material) -> None:
    teacher = Teacher(Linear(), 3.0, mixed=False)  # type: ignore[arg-type]  # any module of that form
    tensors = training_tensors(validation_batches(material.training, tiny().data, 1)[0], ALONE.device)
    unfollowed = tensors.conditions.clone()
    for name in FOLLOWED_GROUPS:
        unfollowed[:, getattr(LAYOUT, name).whole] = 0.0
    with_all, without = (
        Linear()(tensors.noisy, tensors.timestep, conditions, style)
        for conditions, style in ((tensors.conditions, tensors.style), (unfollowed, 0.0 * tensors.style))
    )
    taught = teacher.taught(tensors)
    torch.testing.assert_close(taught.v, without + 3.0 * (with_all - without))
    assert taught.noisy is tensors.noisy
    assert not torch.equal(taught.v, tensors.v)


def test_a_student_comes_near_its_teachers_guided_prediction(material: Material, tmp_path: Path) -> None:
    teacher = Teacher(Linear(), 2.0, mixed=False)  # type: ignore[arg-type]
    config = tiny("optimiser.harmony_weight=0.0", "optimiser.gradient_clip=100.0", "budget.steps=60")
    batches = validation_batches(material.held_out, config.data, 2)

    def distance(state: TrainingState) -> float:
        network = DenoiserInTraining(state.average.network, state.heads)
        return measure(network, batches, ALONE.device, False, teacher).loss

    before = distance(fresh_state(config, material.statistics, ALONE.device))
    assert distance(train(config, material, tmp_path, ALONE, teacher=teacher, show=False)) < 0.8 * before


def test_mixed_precision_is_close_to_float32(material: Material) -> None:
    config = tiny()
    fresh = fresh_state(config, material.statistics, ALONE.device)
    network = DenoiserInTraining(fresh.network, fresh.heads)
    batches = validation_batches(material.training, config.data, 2)
    exact, mixed = (measure(network, batches, ALONE.device, flag).loss for flag in (False, True))
    assert mixed == pytest.approx(exact, rel=0.02)
    assert (mixed != exact) == has_fast_bfloat16(ALONE.device)
    assert LAYOUT.known.content_channels == batches[0].clean.shape[1]
