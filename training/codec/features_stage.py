"""The first stage: encoder and a small head learn to carry the features, pitch before all, through 64 numbers a frame.

No sound is made here, so a step is cheap and the latents settle in minutes; the decoder then learns sound from latents
that no longer move, and so may the denoiser, at the same time.
"""

import itertools
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engine.features import FEATURE_SLICES
from training.codec import bank
from training.codec.config import CodecTrainingConfig
from training.codec.data import DRUMS, Clips, PreparedSongs, prefetched
from training.codec.encoder import Encoder, FeatureHead
from training.codec.losses import constant_q_fold, feature_losses, kullback_leibler, square_root_amplitude
from training.common.checkpoint import LAST, load_checkpoint, save_checkpoint
from training.common.devices import mixed_precision, start_processes
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

CHECKPOINT = "features-" + LAST
_WEIGHTS = {"mid": 8.0, "side": 2.0, "harmonic": 16.0, "percussive": 8.0, "pitch": 10.0, "partials": 0.6}
_PART_NAMES = ("vocals", "drums", "bass", "other")


class FeatureAutoencoder(nn.Module):
    """Encoder, feature head and a head for partials."""

    def __init__(self, config: CodecTrainingConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder)
        self.head = FeatureHead()
        self.partials = nn.Sequential(nn.Linear(64, 768), nn.GELU(), nn.Linear(768, bank.OSCILLATORS))

    def forward(self, clips: Clips, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features, compressed partials, mean and log variance; `noise` is (batch, 64, frames)."""
        state = self.encoder.stack.initial_state(len(clips.features)).to(clips.features.device)
        mean, log_variance, _ = self.encoder(clips.features, clips.curves, state)
        latents = mean + noise * torch.exp(0.5 * log_variance)
        return self.head(latents), self.partials(latents.transpose(1, 2)), mean, log_variance


def train_features(config: CodecTrainingConfig) -> None:
    """Train the first stage until its minutes are used; continues from the last checkpoint in `config.run`."""
    stage = config.features
    processes = start_processes(config.device, config.threads)
    torch.manual_seed(config.seed)
    model = FeatureAutoencoder(config).to(processes.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=1e-3)
    path, step, elapsed = config.run / CHECKPOINT, 0, 0.0
    if path.exists():
        saved = load_checkpoint(path, "codec-features")
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step, elapsed = saved["step"], saved["elapsed"]
    songs = PreparedSongs(config.prepared, "train")
    held_out = PreparedSongs(config.prepared, "validation")
    rng = np.random.default_rng(config.seed + step)
    batches = prefetched(lambda: songs.clips(rng, stage.clips, stage.clip_frames, with_audio=False))
    budget = Budget(minutes=stage.minutes)
    writer = SummaryWriter(str(config.run))
    started, saved_at = time.monotonic() - elapsed, time.monotonic()
    with TrainingProgress("codec features") as progress:
        for clips in batches:
            elapsed = time.monotonic() - started
            fraction = budget.fraction(step, elapsed)
            for group in optimiser.param_groups:
                group["lr"] = annealed_rate(stage.learning_rate, step, fraction, stage.warm_up_steps)
            losses = _step(model, optimiser, clips.to(processes.device), config)
            step += 1
            progress.update(fraction, step, budget.seconds_left(step, elapsed), losses)
            finished = fraction >= 1.0
            if finished or time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
                saved_at = time.monotonic()
                songs.refresh()
                held_out.refresh()
                figures = pitch_shares(model, held_out)
                progress.note(
                    f"step {step} songs {len(songs.songs)} " + " ".join(f"{k} {v:.3f}" for k, v in figures.items())
                )
                for name, value in itertools.chain(losses.items(), figures.items()):
                    writer.add_scalar(f"features/{name}", value, step)
                payload = {"kind": "codec-features", "model": model.state_dict(), "optimiser": optimiser.state_dict()}
                save_checkpoint(path, {**payload, "step": step, "elapsed": elapsed})
            if finished:
                return


def frozen_encoder(config: CodecTrainingConfig) -> Encoder:
    """Return the first stage's encoder, its weights fixed."""
    saved = load_checkpoint(config.run / CHECKPOINT, "codec-features")["model"]
    encoder, prefix = Encoder(config.encoder), "encoder."
    weights = {name.removeprefix(prefix): weight for name, weight in saved.items() if name.startswith(prefix)}
    encoder.load_state_dict(weights)
    return encoder.eval().requires_grad_(False)


def _step(
    model: FeatureAutoencoder, optimiser: torch.optim.Optimizer, clips: Clips, config: CodecTrainingConfig
) -> dict[str, float]:
    noise = torch.randn(len(clips.features), 64, clips.features.shape[2], device=clips.features.device)
    with mixed_precision(clips.features.device, config.mixed_precision):
        features, compressed, mean, log_variance = model(clips, noise)
    losses = feature_losses(features.float(), clips.features)
    target = clips.partials[:, :, 0].clamp(min=0) ** bank.AMPLITUDE_POWER
    tonal = (clips.part != DRUMS).float()[:, None, None]
    losses["partials"] = (tonal * (compressed.float() - target) ** 2).sum(dim=2).mean() / 10
    divergence = kullback_leibler(mean.float(), log_variance.float())
    total = (
        torch.stack([_WEIGHTS[name] * value for name, value in losses.items()]).sum() + config.kl_weight * divergence
    )
    optimiser.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return {name: float(value.detach()) for name, value in {"loss": total, "kl": divergence, **losses}.items()}


@torch.no_grad()
def pitch_shares(model: FeatureAutoencoder, songs: PreparedSongs, clips: int = 96) -> dict[str, float]:
    """Return the share of held-out frames above -40 dB whose strongest pitch class the features head keeps, by part."""
    if not songs.songs:
        return {}
    device = next(model.parameters()).device
    batch = songs.clips(np.random.default_rng(7), clips, 32, with_audio=False).to(device)
    features, _, mean, _ = model(batch, torch.zeros(clips, 64, 32, device=device))
    rows = FEATURE_SLICES["harmonic"]
    estimate, target = (square_root_amplitude(x[:, rows].float()) ** 4 for x in (features, batch.features))
    fold = constant_q_fold().to(device)
    strongest = [(fold @ energy).argmax(dim=1) for energy in (estimate, target)]
    level = target.sum(dim=1)
    heard = level > level.amax(dim=1, keepdim=True) * 1e-4
    right = (strongest[0] == strongest[1]) & heard
    shares = {
        name: float(right[batch.part == i].sum() / heard[batch.part == i].sum()) for i, name in enumerate(_PART_NAMES)
    }
    return {**shares, "latent std": float(mean.std())}
