"""The denoiser's training loop: step after step until the budget is used, resumable after a kill at any moment."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from engine.conditions import LAYOUT
from training.common.devices import Processes, broadcast_value, mixed_precision, replicated
from training.common.progress import TrainingProgress
from training.common.schedules import annealed_rate
from training.denoiser.config import DenoiserTraining
from training.denoiser.data import Batch, BatchStream
from training.denoiser.harmony import DenoiserInTraining, harmony_loss
from training.denoiser.model import parameter_count
from training.denoiser.objective import training_tensors, v_errors, weighted_loss
from training.denoiser.songs import LatentSong, LatentStatistics, hours, load_songs, load_statistics, split_songs
from training.denoiser.sounds import usual_sounds
from training.denoiser.state import TrainingState, fresh_state, resume, save_best, save_last, start_from_weights
from training.denoiser.teacher import Teacher
from training.denoiser.validation import (
    comparison_image,
    measure,
    middle_window,
    sampled_window,
    validation_batches,
)

CURVE_EVERY_STEPS = 20
LARGEST_SKIPPED_STEPS = 20


@dataclass(frozen=True, slots=True)
class Material:
    """The songs of a training.

    Attributes:
        training: songs that the windows are cut from.
        held_out: songs of the held-out loss.
        statistics: the normalisation of the latents.
    """

    training: tuple[LatentSong, ...]
    held_out: tuple[LatentSong, ...]
    statistics: LatentStatistics


def load_material(directory: Path) -> Material:
    """Read all latents of `directory` into memory."""
    statistics = load_statistics(directory)
    training, held_out = split_songs(load_songs(directory, statistics))
    return Material(training, held_out, statistics)


def train(
    config: DenoiserTraining,
    material: Material,
    out: Path,
    processes: Processes,
    weights: dict[str, torch.Tensor] | None = None,
    teacher: Teacher | None = None,
    show: bool = True,
) -> TrainingState:
    """Train until the budget is used or the held-out loss stops falling; return the last state.

    Args:
        config: the settings.
        material: the songs.
        out: folder of checkpoints and curves; a `last.pt` in it is continued.
        processes: this process among those of a `torchrun`.
        weights: a state dictionary to start from instead of random weights; without effect when resuming.
        teacher: whose guided prediction is learned instead of the songs themselves.
        show: whether to show progress.
    """
    state = fresh_state(config, material.statistics, processes.device)
    songs = material.training
    state.style_sounds = usual_sounds([song.style for song in songs], [song.sounds for song in songs])
    if weights is not None:
        start_from_weights(state, weights)
    resumed = resume(out, state)
    data, run = config.data, config.run
    with ExitStack() as stack:
        progress = stack.enter_context(TrainingProgress("denoiser", show=show and processes.is_first))
        stream = BatchStream(material.training, data, run.seed, processes.rank, state.step)
        batches = iter(stack.enter_context(stream))
        report = Report(config, material, out, processes, progress, state.step, teacher)
        stack.callback(report.close)
        progress.note(_opening_line(state, material, resumed))
        _run(config, state, batches, processes, report, teacher)
    return state


def _opening_line(state: TrainingState, material: Material, resumed: bool) -> str:
    size = f"{parameter_count(state.network) / 1e6:.2f} M parameters"
    songs = f"{len(material.training)} songs ({hours(material.training):.2f} h), {len(material.held_out)} held out"
    return f"{size}; {songs}; " + (f"resumed at step {state.step}" if resumed else "from the start")


def _run(
    config: DenoiserTraining,
    state: TrainingState,
    batches: Iterator[Batch],
    processes: Processes,
    report: "Report",
    teacher: Teacher | None,
) -> None:
    network = replicated(DenoiserInTraining(state.network, state.heads), processes)
    skipped = 0
    started = time.monotonic() - state.elapsed_seconds
    while True:
        fraction = broadcast_value(config.budget.fraction(state.step, state.elapsed_seconds), processes)
        if fraction >= 1.0 or broadcast_value(float(state.stopping.should_stop), processes):
            break
        waiting = time.monotonic()
        batch = next(batches)
        waited = time.monotonic() - waiting
        rate = _set_rate(config, state, fraction)
        losses, finite = training_step(network, state, batch, config, processes.device, teacher)
        skipped = 0 if finite else skipped + 1
        if skipped > LARGEST_SKIPPED_STEPS:
            raise FloatingPointError(f"the gradient was not finite for {skipped} steps; lower optimiser.learning_rate")
        state.step += 1
        state.elapsed_seconds = time.monotonic() - started
        report.after_step(state, losses, rate, waited)
    report.at_end(state)


def _set_rate(config: DenoiserTraining, state: TrainingState, fraction: float) -> float:
    rate = annealed_rate(config.optimiser.learning_rate, state.step, fraction, config.optimiser.warm_up_steps)
    for group in (*state.optimiser.param_groups, *state.heads_optimiser.param_groups):
        group["lr"] = rate
    return rate


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The losses of one step, tensors on the device.

    Attributes:
        loss: the weighted v-loss.
        harmony_from_context: chord and key read off the context C.
        harmony_from_bottleneck: chord and key read off the bottleneck.
    """

    loss: torch.Tensor
    harmony_from_context: torch.Tensor
    harmony_from_bottleneck: torch.Tensor


def training_step(
    network: nn.Module,
    state: TrainingState,
    batch: Batch,
    config: DenoiserTraining,
    device: torch.device,
    teacher: Teacher | None = None,
) -> tuple[StepLosses, bool]:
    """Take one step of `network`, a `DenoiserInTraining`; return its losses and whether the gradient was finite.

    A step whose gradient is not finite changes nothing.
    """
    settings = config.optimiser
    tensors = training_tensors(batch, device)
    if teacher is not None:
        tensors = teacher.taught(tensors, state.network)
    with mixed_precision(device, config.run.mixed_precision):
        v, *readings = network(tensors.noisy, tensors.timestep, tensors.conditions, tensors.style)
    errors = v_errors(v, tensors)
    loss = weighted_loss(errors, tensors.alpha_bar, settings.snr_gamma, settings.snr_weight_floor)
    harmony = torch.stack([harmony_loss(logits, tensors.harmony) for logits in readings])
    (loss + settings.harmony_weight * harmony.sum()).backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
    finite = bool(torch.isfinite(norm))
    if finite:
        state.optimiser.step()
        state.heads_optimiser.step()
        state.average.update(state.network)
    network.zero_grad(set_to_none=True)
    return StepLosses(loss.detach(), *harmony.detach()), finite


class Report:
    """What the first process does beside the steps: progress, curves, held-out measurements and checkpoints."""

    def __init__(
        self,
        config: DenoiserTraining,
        material: Material,
        out: Path,
        processes: Processes,
        progress: TrainingProgress,
        first_step: int,
        teacher: Teacher | None,
    ) -> None:
        """Prepare the held-out batches, and the curves' file from `first_step` on."""
        self._teacher = teacher
        self._config, self._out, self._processes, self._progress = config, out, processes, progress
        self._song = max(material.held_out, key=lambda song: song.frames) if material.held_out else None
        count = config.run.validation_batches if material.held_out and processes.is_first else 0
        self._batches = validation_batches(material.held_out, config.data, count)
        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=first_step) if processes.is_first else None
        self._saved_at = time.monotonic()
        self._figures: dict[str, float] = {}

    def close(self) -> None:
        """Close the curves' file."""
        if self._writer is not None:
            self._writer.close()

    def after_step(self, state: TrainingState, losses: StepLosses, rate: float, waited_seconds: float) -> None:
        """Show, measure and save what is due after a step."""
        if self._writer is None:
            return
        if state.step % CURVE_EVERY_STEPS == 0:
            self._curves(state, losses, rate, waited_seconds)
        if state.step % self._config.run.validate_every_steps == 0:
            self._validate(state)
        if time.monotonic() - self._saved_at >= 60.0 * self._config.run.checkpoint_minutes:
            self._save(state)

    def at_end(self, state: TrainingState) -> None:
        """Measure once more and save."""
        if self._writer is None:
            return
        if state.step % self._config.run.validate_every_steps:
            self._validate(state)
        self._save(state)
        self._progress.note(f"finished at step {state.step}; checkpoints in {self._out}")

    def _save(self, state: TrainingState) -> None:
        save_last(self._out, state, self._config)
        self._saved_at = time.monotonic()

    def _curves(self, state: TrainingState, losses: StepLosses, rate: float, waited_seconds: float) -> None:
        budget = self._config.budget
        values = {name: getattr(losses, name).item() for name in StepLosses.__slots__}
        for name, value in values.items():
            self._figures[name] = 0.9 * self._figures.get(name, value) + 0.1 * value
        values |= {"learning_rate": rate, "waited_seconds": waited_seconds}
        self._scalars({f"train/{name}": value for name, value in values.items()}, state)
        fraction = budget.fraction(state.step, state.elapsed_seconds)
        left = budget.seconds_left(state.step, state.elapsed_seconds)
        self._progress.update(fraction, state.step, left, self._figures)

    def _validate(self, state: TrainingState) -> None:
        if not self._batches or self._song is None:
            return
        device, network = self._processes.device, state.average.network
        both = DenoiserInTraining(network, state.heads)
        held_out = measure(both, self._batches, device, self._config.run.mixed_precision, self._teacher)
        self._scalars({f"held_out/{name}": value for name, value in dataclasses.asdict(held_out).items()}, state)
        self._figures["held out"] = held_out.loss
        best = state.stopping.best
        state.stopping = state.stopping.after(held_out.loss)
        if held_out.loss < best:
            save_best(self._out, state, self._config, held_out.loss)
        self._image(state, network)
        self._progress.note(
            f"step {state.step}: held out {held_out.loss:.4f} (noisy half {held_out.noisy:.4f}, with another song's "
            f"vocal {held_out.mismatched:.4f}; clean half {held_out.clean:.4f}), harmony {held_out.harmony:.3f}"
        )

    def _image(self, state: TrainingState, network: nn.Module) -> None:
        assert self._song is not None
        assert self._writer is not None
        frames = self._config.data.window_frames[0]
        real = middle_window(self._song, frames)[LAYOUT.known.content]
        made = sampled_window(network, self._song, frames, self._processes.device)
        self._writer.add_image("held_out/real_above_made", comparison_image(real, made), state.step)

    def _scalars(self, values: dict[str, float], state: TrainingState) -> None:
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(name, value, state.step)
