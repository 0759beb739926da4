"""What a denoiser training carries from step to step, and how it is kept on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.styles import STYLES
from training.common.checkpoint import BEST, LAST, load_checkpoint, remove_partial_files, save_checkpoint
from training.common.configs import config_from_table, config_to_table
from training.common.ema import ExponentialMovingAverage
from training.common.schedules import EarlyStopping
from training.denoiser.config import DenoiserTraining, OptimiserConfig
from training.denoiser.harmony import HarmonyHeads
from training.denoiser.model import Denoiser, DenoiserConfig, load_weights
from training.denoiser.songs import LatentStatistics
from training.denoiser.sounds import SOUND_CHANNELS

KIND = "denoiser"


@dataclass(slots=True)
class TrainingState:
    """The moving parts of a training.

    Attributes:
        network: the weights in training.
        heads: the harmony heads beside it.
        average: their moving average.
        optimiser: AdamW with its moments.
        heads_optimiser: that of the heads, apart, so that a training may take them up later.
        statistics: the normalisation of the latents.
        style_sounds: (styles, SOUND_CHANNELS), each style's usual sounds, for the export.
        step: finished steps.
        elapsed_seconds: seconds of training, over all resumed runs.
        stopping: the best held-out loss and for how long it was not beaten.
    """

    network: Denoiser
    heads: HarmonyHeads
    average: ExponentialMovingAverage[Denoiser]
    optimiser: torch.optim.Optimizer
    heads_optimiser: torch.optim.Optimizer
    statistics: LatentStatistics
    style_sounds: NDArray[np.float32]
    step: int = 0
    elapsed_seconds: float = 0.0
    stopping: EarlyStopping = field(default_factory=lambda: EarlyStopping(0))


def fresh_state(config: DenoiserTraining, statistics: LatentStatistics, device: torch.device) -> TrainingState:
    """Return the state before the first step, its weights drawn from the config's seed."""
    torch.manual_seed(config.run.seed)
    network = Denoiser(config.model).to(device)
    heads = HarmonyHeads(config.model).to(device)
    return TrainingState(
        network=network,
        heads=heads,
        average=ExponentialMovingAverage(network, config.optimiser.ema_decay),
        optimiser=make_optimiser(network, config.optimiser),
        heads_optimiser=make_optimiser(heads, config.optimiser),
        statistics=statistics,
        style_sounds=np.zeros((len(STYLES), SOUND_CHANNELS), np.float32),
        stopping=EarlyStopping(config.run.patience),
    )


def make_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Return AdamW; only weights with two or more dimensions decay."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def start_from_weights(state: TrainingState, weights: dict[str, torch.Tensor]) -> None:
    """Give network and average the `weights` of another training or of a bundle.

    Raises:
        ValueError: the weights are those of another size of denoiser.
    """
    try:
        load_weights(state.network, weights)
        load_weights(state.average.network, weights)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the config's model: {error}") from error


def save_last(directory: Path, state: TrainingState, config: DenoiserTraining) -> None:
    """Write all of `state` to `last.pt`, from which training resumes."""
    moving = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "heads": state.heads.state_dict(),
        "heads_optimiser": state.heads_optimiser.state_dict(),
        "stopping": {"best": state.stopping.best, "stale": state.stopping.stale},
    }
    save_checkpoint(directory / LAST, {**_facts(state, config), **moving})


def save_best(directory: Path, state: TrainingState, config: DenoiserTraining, held_out_loss: float) -> None:
    """Write the averaged weights to `best.pt`, from which the export reads."""
    average = {"average": state.average.state_dict(), "held_out_loss": held_out_loss}
    save_checkpoint(directory / BEST, {**_facts(state, config), **average})


def _facts(state: TrainingState, config: DenoiserTraining) -> dict[str, Any]:
    return {
        "kind": KIND,
        "config": config_to_table(config),
        "step": state.step,
        "elapsed_seconds": state.elapsed_seconds,
        "latent_mean": torch.from_numpy(state.statistics.mean),
        "latent_std": torch.from_numpy(state.statistics.std),
        "style_sounds": torch.from_numpy(state.style_sounds),
    }


def resume(directory: Path, state: TrainingState) -> bool:
    """Continue from `last.pt` in `directory`, if there is one; return whether there was.

    Raises:
        CheckpointError: the file is damaged.
        ValueError: it is of another size of denoiser, or of other latents.
    """
    remove_partial_files(directory)
    if not (directory / LAST).is_file():
        return False
    payload = load_checkpoint(directory / LAST, KIND)
    if not np.array_equal(payload["latent_std"].numpy(), state.statistics.std):
        raise ValueError(f"{directory / LAST} was trained on other latents; begin anew in another folder (--out)")
    try:
        state.network.load_state_dict(payload["network"])
    except RuntimeError as error:
        raise ValueError(f"{directory / LAST} is of another model size; begin anew in another folder") from error
    state.average.load_state_dict(payload["average"])
    state.optimiser.load_state_dict(payload["optimiser"])
    if "heads" in payload:  # a training begun before there were heads takes them up fresh
        state.heads.load_state_dict(payload["heads"])
        state.heads_optimiser.load_state_dict(payload["heads_optimiser"])
    state.step, state.elapsed_seconds = int(payload["step"]), float(payload["elapsed_seconds"])
    state.stopping = EarlyStopping(state.stopping.patience, **payload["stopping"])
    return True


def averaged_denoiser(path: Path) -> tuple[Denoiser, dict[str, Any]]:
    """Return the averaged network of a checkpoint, ready to run, and the checkpoint's payload.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    payload = load_checkpoint(path, KIND)
    network = Denoiser(config_from_table(payload["config"]["model"], DenoiserConfig))
    load_weights(network, payload["average"]["network"])
    return network.eval().requires_grad_(False), payload


def distilled_guidance(training: Mapping[str, Any]) -> float:
    """Return the guidance that a denoiser's weights hold; 1 where none was distilled into them.

    Args:
        training: a checkpoint, or what a bundle's manifest tells of one.
    """
    return float(training["config"].get("distillation", {}).get("guidance_scale", 1.0))
