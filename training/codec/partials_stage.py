"""The second stage: the partials' head learns what the bank should play, from the settled latents, without sound."""

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engine.features import FEATURE_SLICES
from engine.geometry import SPECTRA_PER_FRAME
from engine.metrics import PITCH_CLASSES
from training.codec import bank
from training.codec.config import CodecTrainingConfig
from training.codec.data import DRUMS, Clips, PreparedSongs, prefetched
from training.codec.encoder import Encoder
from training.codec.features_stage import frozen_encoder
from training.codec.losses import bank_loss, bank_targets, chroma_loss, semitone_losses
from training.codec.partials_head import PartialsHead
from training.common.checkpoint import LAST, load_checkpoint, save_checkpoint
from training.common.devices import mixed_precision, start_processes
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

CHECKPOINT = "partials-" + LAST
_WEIGHTS = {"bank": 1.0, "offset": 0.1, "chroma": 0.5, "shares": 1.0, "semitones": 2.0, "loudness": 0.5}


def train_partials(config: CodecTrainingConfig) -> None:
    """Train the partials' head until its minutes are used; continues from the last checkpoint in `config.run`."""
    stage, device = config.partials, start_processes(config.device, config.threads).device
    torch.manual_seed(config.seed)
    encoder, head = frozen_encoder(config).to(device), PartialsHead(config.decoder.partials_width).to(device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=1e-3)
    path, step, elapsed = config.run / CHECKPOINT, 0, 0.0
    if path.exists():
        saved = load_checkpoint(path, "codec-partials")
        head.load_state_dict(saved["head"])
        if "optimiser" in saved:  # a bundle's has none
            optimiser.load_state_dict(saved["optimiser"])
        step, elapsed = saved["step"], saved["elapsed"]
    songs, held_out = (PreparedSongs(config.prepared, split) for split in ("train", "validation"))
    rng = np.random.default_rng(config.seed + step)
    budget, writer = Budget(minutes=stage.minutes), SummaryWriter(str(config.run))
    started, saved_at = time.monotonic() - elapsed, time.monotonic()
    with TrainingProgress("codec partials") as progress:
        for clips in prefetched(lambda: songs.clips(rng, stage.clips, stage.clip_frames, with_audio=True)):
            elapsed = time.monotonic() - started
            fraction = budget.fraction(step, elapsed)
            for group in optimiser.param_groups:
                group["lr"] = annealed_rate(stage.learning_rate, step, fraction, stage.warm_up_steps)
            losses = _step(head, encoder, optimiser, clips.to(device), config)
            step += 1
            progress.update(fraction, step, budget.seconds_left(step, elapsed), losses)
            finished = fraction >= 1.0
            if finished or time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
                saved_at = time.monotonic()
                figures = losses | held_out_figures(head, encoder, held_out)
                for name, value in figures.items():
                    writer.add_scalar(f"partials/{name}", value, step)
                progress.note(f"step {step} " + " ".join(f"{name} {value:.3f}" for name, value in figures.items()))
                payload = {"kind": "codec-partials", "head": head.state_dict(), "optimiser": optimiser.state_dict()}
                save_checkpoint(path, {**payload, "step": step, "elapsed": elapsed})
            if finished:
                return


def _step(
    head: PartialsHead, encoder: Encoder, optimiser: torch.optim.Optimizer, clips: Clips, config: CodecTrainingConfig
) -> dict[str, float]:
    latents = noisy_latents(encoder, clips, config.latent_noise)
    with mixed_precision(latents.device, config.mixed_precision):
        raw_amplitude, raw_offset = head(nn.functional.pad(latents, (1, 1)))
    losses = partials_losses(bank.ramp(raw_amplitude.float()), torch.tanh(raw_offset.float()), clips)
    optimiser.zero_grad()
    weighted(losses).backward()
    nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimiser.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def partials_losses(compressed: Tensor, offset: Tensor, clips: Clips) -> dict[str, Tensor]:
    """Return how far the bank is from what it should play, by name.

    Args:
        compressed: (batch, hops, OSCILLATORS) compressed amplitudes from the clips' start on, in whole frames.
        offset: the same of offsets in [-1, 1].
        clips: with audio.
    """
    hops = compressed.shape[1]
    targets = bank_targets(clips.partials, clips.audio.mean(dim=1))
    amplitude, target_offset = (target[:, :hops] for target in targets)
    losses = dict[str, Tensor]()
    losses["bank"], losses["offset"] = bank_loss(compressed, offset, amplitude, target_offset)
    tonal = clips.part != DRUMS
    harmonic = clips.features[tonal, FEATURE_SLICES["harmonic"], : hops // SPECTRA_PER_FRAME]
    losses["chroma"] = chroma_loss(compressed[tonal], harmonic)
    spread = semitone_losses(compressed[tonal], amplitude[tonal])
    return losses | dict(zip(("shares", "semitones", "loudness"), spread, strict=True))


def weighted(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of `partials_losses` as they count beside each other."""
    return torch.stack([_WEIGHTS[name] * value for name, value in losses.items()]).sum()


@torch.no_grad()
def noisy_latents(encoder: Encoder, clips: Clips, latent_noise: float) -> Tensor:
    """Return the latents (batch, 64, frames) of clips, each clip with up to `latent_noise` of their own deviation."""
    state = encoder.stack.initial_state(len(clips.features)).to(clips.features.device)
    mean, _, _ = encoder(clips.features, clips.curves, state)
    spread = mean.std(dim=(0, 2), keepdim=True)
    return mean + torch.randn_like(mean) * spread * latent_noise * torch.rand(len(mean), 1, 1, device=mean.device)


@torch.no_grad()
def held_out_figures(head: PartialsHead, encoder: Encoder, songs: PreparedSongs) -> dict[str, float]:
    """Return what the bank gets right and wrong on held-out clips, by part.

    `pitch`: the share of the hops above -40 dB in which its strongest pitch class is right. `false`: its energy on the
    semitones that hold less than a ten thousandth of the clip's, in dB below the whole.
    """
    if not songs.songs:
        return {}
    clips = songs.clips(np.random.default_rng(7), 64, 16, with_audio=True).to(next(head.parameters()).device)
    amplitude, _ = head(nn.functional.pad(noisy_latents(encoder, clips, 0.0), (1, 1)))
    target, _ = bank_targets(clips.partials, clips.audio.mean(dim=1))
    estimate = bank.ramp(amplitude) ** (1 / bank.AMPLITUDE_POWER)
    figures: dict[str, float] = {}
    for part, name in ((0, "vocals"), (2, "bass"), (3, "other")):
        own, wanted = estimate[clips.part == part] ** 2, target[clips.part == part] ** 2
        figures[f"{name} pitch"] = _pitch_share(own, wanted)
        figures[f"{name} false"] = _false_partials_db(own, wanted)
    return figures


def _pitch_share(estimate: Tensor, target: Tensor) -> float:
    fold = torch.from_numpy(bank.pitch_class_fold(PITCH_CLASSES)).to(target.device)
    level = target.sum(dim=2)
    heard = level > level.amax(dim=1, keepdim=True) * 1e-4
    right = ((estimate @ fold.T).argmax(dim=2) == (target @ fold.T).argmax(dim=2)) & heard
    return float(right.sum() / heard.sum().clamp(min=1))


def _false_partials_db(estimate: Tensor, target: Tensor) -> float:
    fold = torch.from_numpy(bank.semitone_fold()).to(target.device)
    made, wanted = ((energy @ fold.T).mean(dim=1) for energy in (estimate, target))
    whole = wanted.sum(dim=1, keepdim=True)
    false = (made * (wanted < 1e-4 * whole)).sum(dim=1)
    return float(10.0 * torch.log10(false.sum() / whole.sum().clamp(min=1e-9) + 1e-12))
