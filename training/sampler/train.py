"""The sampler's training loop: denoiser and judge by turns until the budget is used, resumable after a kill."""

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engine.geometry import LATENT_CHANNELS, STEMS
from training.common.checkpoint import BEST, LAST, load_checkpoint, remove_partial_files, save_checkpoint
from training.common.configs import config_to_table
from training.common.devices import mixed_precision
from training.common.ema import ExponentialMovingAverage
from training.common.progress import TrainingProgress
from training.common.schedules import annealed_rate
from training.denoiser.data import Batch, BatchStream
from training.denoiser.model import Denoiser
from training.denoiser.songs import LatentSong
from training.denoiser.state import averaged_denoiser
from training.sampler.config import SamplerTraining
from training.sampler.judge import Judge, judge_loss, sampler_loss
from training.sampler.unrolled import Task, sampled

KIND = "sampler"
WARM_UP_STEPS = 50
CURVE_EVERY_STEPS = 20
_BETAS = (0.0, 0.99)


@dataclass(frozen=True, slots=True)
class StepFigures:
    """The losses of one step, tensors on the device.

    Attributes:
        judge: hinge loss of the judge; 2 for one that knows nothing.
        sampler: how far the judge takes for unreal what was made.
        held: mean squared distance to what the weights made before, of stems that are not judged.
        held_judged: the same of those that are.
        spread_real: standard deviation over time of the judged stems' latents, means over 1 s each, in songs.
        spread_made: the same in what was made.
    """

    judge: Tensor
    sampler: Tensor
    held: Tensor
    held_judged: Tensor
    spread_real: Tensor
    spread_made: Tensor


class SamplerStage:
    """Denoiser, judge, their optimisers and the weights before: one object, so that a checkpoint is one call."""

    def __init__(self, config: SamplerTraining, start: Path, device: torch.device) -> None:
        """Begin with the averaged weights of the denoiser's checkpoint `start`.

        Raises:
            CheckpointError: the file is missing, damaged or of another kind.
        """
        torch.manual_seed(config.run.seed)
        self.config, self.device = config, device
        before, self._facts = averaged_denoiser(start)
        self.before: Denoiser = before.to(device)
        self.network = copy.deepcopy(self.before).train().requires_grad_(True)
        self.average = ExponentialMovingAverage(self.network, config.judging.ema_decay)
        self.judge = Judge(config.judging.stems, config.judging.judge_width).to(device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.judging.learning_rate, betas=_BETAS, weight_decay=0.0
        )
        self.judge_optimiser = torch.optim.AdamW(
            self.judge.parameters(), lr=config.judging.judge_learning_rate, betas=_BETAS, weight_decay=0.0
        )
        judged = torch.tensor([stem in config.judging.stems for stem in STEMS], device=device)
        self._judged = judged.repeat_interleave(LATENT_CHANNELS)[:, None]
        self.step = 0
        self.elapsed_seconds = 0.0

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        parts = ("network", "average", "judge", "optimiser", "judge_optimiser", "before")
        return {
            "kind": KIND, "step": self.step, "elapsed_seconds": self.elapsed_seconds,
            **{name: getattr(self, name).state_dict() for name in parts},
        }  # fmt: skip

    def load(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`, made by `state`."""
        for name in ("network", "average", "judge", "optimiser", "judge_optimiser", "before"):
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.elapsed_seconds = int(saved["step"]), float(saved["elapsed_seconds"])

    def denoiser_checkpoint(self) -> dict[str, Any]:
        """Return the averaged weights as a denoiser's checkpoint, for `export` and `export.average`."""
        facts = dict(self._facts["config"], judging=config_to_table(self.config.judging), judged_steps=self.step)
        return {**self._facts, "config": facts, "average": self.average.state_dict()}

    def train_step(self, batch: Batch) -> StepFigures:
        """Let the judge learn, then the denoiser, once the judge has had its steps alone."""
        judging, mixed = self.config.judging, self.config.run.mixed_precision
        task = Task.of(batch, self.device)
        with torch.no_grad():
            before, first_before = sampled(self.before, task, judging.steps, mixed)
        made, first = sampled(self.network, task, judging.steps, mixed)
        counted = self.judge.counted(task.generated)
        learned = judge_loss(self._heard(task.clean, task), self._heard(made.detach(), task), counted)
        self.judge_optimiser.zero_grad()
        learned.backward()
        self.judge_optimiser.step()
        self.judge.requires_grad_(False)
        unreal = sampler_loss(self._heard(made, task), counted)
        self.judge.requires_grad_(True)
        away = (made - before).square() + (first - first_before).square()
        hold = torch.where(self._judged, judging.judged_hold, judging.hold)
        weight = judging.weight if self.step >= judging.judge_alone_steps else 0.0
        (weight * unreal + (hold * away).mean()).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), judging.gradient_clip)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self.average.update(self.network)
        self.network.zero_grad(set_to_none=True)
        self.step += 1
        distance = (made - before).detach().square().mean(dim=(0, 2))[:, None]
        spreads = (self._spread(latents) for latents in (task.clean, made.detach()))
        return StepFigures(
            learned.detach(), unreal.detach(), distance[~self._judged].mean(), distance[self._judged].mean(), *spreads
        )

    def _heard(self, latents: Tensor, task: Task) -> list[Tensor]:
        with mixed_precision(self.device, self.config.run.mixed_precision):
            judged: list[Tensor] = self.judge(latents, task.conditions, task.style, self.config.judging.judge_noise)
        return judged

    def _spread(self, latents: Tensor) -> Tensor:
        seconds = nn.functional.avg_pool1d(latents[:, self._judged[:, 0]], min(22, latents.shape[-1]))
        return seconds.var(dim=2, unbiased=False).mean().sqrt()


def train_sampler(
    config: SamplerTraining, songs: tuple[LatentSong, ...], start: Path, out: Path, device: torch.device, *, show: bool
) -> SamplerStage:
    """Train until the budget is used; return the stage.

    Args:
        config: the settings.
        songs: to learn from.
        start: checkpoint of the denoiser to begin with.
        out: folder of `best.pt` (a denoiser's checkpoint), `last.pt` (which is continued) and curves.
        device: to train on.
        show: whether to show progress.
    """
    stage = SamplerStage(config, start, device)
    remove_partial_files(out)
    if (out / LAST).is_file():
        stage.load(load_checkpoint(out / LAST, KIND))
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=stage.step)
    started, saved_at = time.monotonic() - stage.elapsed_seconds, time.monotonic()
    shown: dict[str, float] = {}
    with (
        TrainingProgress("sampler", show=show) as progress,
        BatchStream(songs, config.data, config.run.seed, 0, stage.step) as stream,
    ):
        batches = iter(stream)
        while (fraction := config.budget.fraction(stage.step, stage.elapsed_seconds)) < 1.0:
            _set_rate(stage, fraction)
            figures = stage.train_step(next(batches))
            stage.elapsed_seconds = time.monotonic() - started
            if stage.step % CURVE_EVERY_STEPS == 0:
                for name in StepFigures.__slots__:
                    value = getattr(figures, name).item()
                    shown[name] = 0.8 * shown.get(name, value) + 0.2 * value
                    writer.add_scalar(f"sampler/{name}", value, stage.step)
                left = config.budget.seconds_left(stage.step, stage.elapsed_seconds)
                progress.update(fraction, stage.step, left, shown)
            if time.monotonic() - saved_at >= 60.0 * config.run.checkpoint_minutes:
                saved_at = time.monotonic()
                _save(stage, out)
        _save(stage, out)
        progress.note(f"finished at step {stage.step}; checkpoints in {out}")
    writer.close()
    return stage


def _set_rate(stage: SamplerStage, fraction: float) -> None:
    rate = annealed_rate(stage.config.judging.learning_rate, stage.step, fraction, WARM_UP_STEPS)
    for group in stage.optimiser.param_groups:
        group["lr"] = rate


def _save(stage: SamplerStage, out: Path) -> None:
    save_checkpoint(out / LAST, stage.state())
    save_checkpoint(out / BEST, stage.denoiser_checkpoint())
