"""The first stage: encoder and a small head learn to carry the features through 64 numbers a frame.

No sound is made here, so a step is cheap and the latents settle in minutes; the decoder then learns sound from latents
that no longer move, and so may the denoiser, at the same time. An encoder that goes on from a bundle's is turned in the
end to where the bundle's latents lay (`training.codec.alignment`), so that decoder and denoiser go on from theirs.
"""

import itertools
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engine.features import FEATURE_SLICES
from engine.geometry import LATENT_CHANNELS
from training.codec.alignment import align
from training.codec.config import CodecTrainingConfig
from training.codec.data import DRUMS, Clips, PreparedSongs, prefetched
from training.codec.encoder import Encoder, FeatureHead
from training.codec.losses import constant_q_fold, feature_losses, kullback_leibler, square_root_amplitude
from training.common.checkpoint import LAST, load_checkpoint, save_checkpoint
from training.common.devices import mixed_precision, start_processes
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

CHECKPOINT = "features-" + LAST
KIND = "codec-features"
_PREFIX = "encoder."
# What the decoder can get right is what the latents hold: mid's mel bands in decibels first, and pitch. Of the rest it
# needs little: flux follows from mid, and sides are much the same from frame to frame.
_WEIGHTS = {
    "mel": 1.0, "mid": 1.6, "side": 0.4, "harmonic": 3.2, "percussive": 1.6, "pitch": 300.0, "chroma": 1.5,
    "strongest": 6.0,
}  # fmt: skip
_NOISE_SHARE = 0.03  # of each latent's deviation: finer than this nothing is hidden in it
_HEAD_RATE = 3.75  # the head's learning rate over the encoder's
_HEAD_ALONE = (0.12, 0.18)  # of the stage: a bundle's encoder waits for the new head, then gets up its speed
_STRONGEST_JOINS = (0.18, 0.3)  # of the stage: of a spectrum not yet learned, the strongest class is an accident
_PART_NAMES = ("vocals", "drums", "bass", "other")


class FeatureAutoencoder(nn.Module):
    """Encoder and feature head."""

    def __init__(self, config: CodecTrainingConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder)
        self.head = FeatureHead()

    def forward(self, clips: Clips, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, mean and log variance; `noise` is (batch, 64, frames), in the latents' own deviations."""
        state = self.encoder.stack.initial_state(len(clips.features)).to(clips.features.device)
        mean, log_variance, _ = self.encoder(clips.features, clips.curves, state)
        latents = mean + noise * mean.detach().std(dim=(0, 2), keepdim=True)
        return self.head(latents), mean, log_variance


@dataclass(slots=True)
class _Begun:
    """Where the stage stands.

    Attributes:
        step: finished steps.
        elapsed: seconds of training, over all resumed runs.
        reference: the bundle's encoder that this one goes on from, if it does.
    """

    step: int = 0
    elapsed: float = 0.0
    reference: dict[str, Tensor] | None = None


def train_features(config: CodecTrainingConfig) -> None:
    """Train the first stage until its minutes are used; continues from the last checkpoint in `config.run`."""
    stage = config.features
    processes = start_processes(config.device, config.threads)
    torch.manual_seed(config.seed)
    model = FeatureAutoencoder(config).to(processes.device)
    groups = [{"params": model.encoder.parameters()}, {"params": model.head.parameters()}]
    optimiser = torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.8, 0.98), weight_decay=1e-3)
    begun = _begin(config, model, optimiser)
    songs = PreparedSongs(config.prepared, "train")
    if begun.elapsed < 60.0 * stage.minutes:
        _train(config, model, optimiser, begun, songs)
    if begun.reference is not None:
        before = Encoder(config.encoder)
        before.load_state_dict(begun.reference)
        share = align(model.encoder.cpu(), before, songs)
        print(f"codec features: the latents are what they were but for {share:.1%} of their variance")
        save_checkpoint(config.run / CHECKPOINT, encoder_checkpoint(model.encoder, begun.step, begun.elapsed))


def _begin(config: CodecTrainingConfig, model: FeatureAutoencoder, optimiser: torch.optim.Optimizer) -> _Begun:
    """Take up the last checkpoint: this stage's own, or a bundle's encoder, or one that this stage has ended with."""
    path = config.run / CHECKPOINT
    if not path.exists():
        return _Begun()
    saved = load_checkpoint(path, KIND)
    begun = _Begun(saved["step"], saved["elapsed"], saved.get("reference"))
    if "optimiser" in saved:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
    elif begun.elapsed < 60.0 * config.features.minutes:
        begun.reference = _encoder_weights(saved)
        model.encoder.load_state_dict(begun.reference)
    return begun


def _train(
    config: CodecTrainingConfig,
    model: FeatureAutoencoder,
    optimiser: torch.optim.Optimizer,
    begun: _Begun,
    songs: PreparedSongs,
) -> None:
    stage, device = config.features, next(model.parameters()).device
    held_out = PreparedSongs(config.prepared, "validation")
    rng = np.random.default_rng(config.seed + begun.step)
    batches = prefetched(lambda: songs.clips(rng, stage.clips, stage.clip_frames, with_audio=False))
    budget, writer = Budget(minutes=stage.minutes), SummaryWriter(str(config.run))
    started, saved_at = time.monotonic() - begun.elapsed, time.monotonic()
    with TrainingProgress("codec features") as progress:
        for clips in batches:
            begun.elapsed = time.monotonic() - started
            fraction = budget.fraction(begun.step, begun.elapsed)
            rate = annealed_rate(stage.learning_rate, begun.step, fraction, stage.warm_up_steps)
            waits = begun.reference is not None
            encoder_share = float(np.interp(fraction, _HEAD_ALONE, (0.0, 1.0))) if waits else 1.0
            for group, share in zip(optimiser.param_groups, (encoder_share, _HEAD_RATE), strict=True):
                group["lr"] = rate * share
            strongest_share = float(np.interp(fraction, _STRONGEST_JOINS, (0.0, 1.0)))
            losses = _step(model, optimiser, clips.to(device), config, strongest_share)
            begun.step += 1
            progress.update(fraction, begun.step, budget.seconds_left(begun.step, begun.elapsed), losses)
            finished = fraction >= 1.0
            if finished or time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
                saved_at = time.monotonic()
                songs.refresh()
                held_out.refresh()
                figures = pitch_shares(model, held_out)
                progress.note(f"step {begun.step}: " + " ".join(f"{k} {v:.3f}" for k, v in figures.items()))
                for name, value in itertools.chain(losses.items(), figures.items()):
                    writer.add_scalar(f"features/{name}", value, begun.step)
                payload = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                save_checkpoint(config.run / CHECKPOINT, {"kind": KIND, **payload, **asdict(begun)})
            if finished:
                return


def encoder_checkpoint(encoder: Encoder, step: int = 0, elapsed: float = 0.0) -> dict[str, Any]:
    """Return a checkpoint of this stage that holds an encoder alone: a bundle's, or one turned to where it began."""
    model = {f"{_PREFIX}{name}": weight for name, weight in encoder.state_dict().items()}
    return {"kind": KIND, "model": model, "step": step, "elapsed": elapsed}


def frozen_encoder(config: CodecTrainingConfig) -> Encoder:
    """Return the first stage's encoder, its weights fixed."""
    encoder = Encoder(config.encoder)
    encoder.load_state_dict(_encoder_weights(load_checkpoint(config.run / CHECKPOINT, KIND)))
    return encoder.eval().requires_grad_(False)


def _encoder_weights(saved: dict[str, Any]) -> dict[str, Tensor]:
    model: dict[str, Tensor] = saved["model"]
    return {name.removeprefix(_PREFIX): weight for name, weight in model.items() if name.startswith(_PREFIX)}


def _step(
    model: FeatureAutoencoder,
    optimiser: torch.optim.Optimizer,
    clips: Clips,
    config: CodecTrainingConfig,
    strongest_share: float,
) -> dict[str, float]:
    shape = len(clips.features), LATENT_CHANNELS, clips.features.shape[2]
    noise = _NOISE_SHARE * torch.randn(shape, device=clips.features.device)
    with mixed_precision(clips.features.device, config.mixed_precision):
        features, mean, log_variance = model(clips, noise)
    losses = feature_losses(features.float(), clips.features, clips.part != DRUMS)
    divergence = kullback_leibler(mean.float(), log_variance.float())
    weights = _WEIGHTS | {"strongest": strongest_share * _WEIGHTS["strongest"]}
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum() + config.kl_weight * divergence
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
    features, mean, _ = model(batch, torch.zeros(clips, LATENT_CHANNELS, 32, device=device))
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
