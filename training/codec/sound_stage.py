"""The third stage: the decoder learns sound from settled latents; discriminators join when plain losses are low."""

import time
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engine.codec import NETWORK_LOOKAHEAD_FRAMES
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ, SPECTRA_PER_FRAME, SPECTRUM_BINS
from engine.metrics import strongest_pitch_class_count
from training.codec.config import CodecTrainingConfig
from training.codec.data import Clips, PreparedSongs, prefetched
from training.codec.decoder import Decoder, SpectrumParts
from training.codec.discriminators import Discriminators, discriminator_loss, generator_losses
from training.codec.features_stage import frozen_encoder
from training.codec.losses import (
    STFT_WINDOWS,
    SoundLosses,
    left_right,
    mid_side,
    stft_loss,
    stft_magnitude,
)
from training.codec.partials_stage import CHECKPOINT as PARTIALS_CHECKPOINT
from training.codec.partials_stage import noisy_latents, partials_losses, weighted
from training.codec.synthesis import inverse_stft
from training.common.checkpoint import LAST, load_checkpoint, save_checkpoint
from training.common.configs import config_to_table
from training.common.devices import mixed_precision, start_processes
from training.common.ema import ExponentialMovingAverage
from training.common.progress import TrainingProgress
from training.common.schedules import Budget, annealed_rate

CHECKPOINT = "sound-" + LAST
EARLY_CHECKPOINT = "sound-tenth.pt"  # after a tenth of the stage: what the rest of it is measured against
_EARLY_SHARE = 0.1
_WARM_UP_FRAMES = 3  # the decoder's past is empty at a clip's start: no loss there
_WEIGHTS = {
    "stft": 1.0, "mel": 1.4, "mid_mel": 3.5, "pitch": 120.0, "chroma": 12.0, "strongest": 2.0,
    "adversarial": 0.1, "matching": 1.0,
}  # fmt: skip


class SoundTraining:
    """Decoder, discriminators, their optimisers and what is fixed: one object, so that a checkpoint is one call."""

    def __init__(self, config: CodecTrainingConfig) -> None:
        self.config = config
        self.device = start_processes(config.device, config.threads).device
        torch.manual_seed(config.seed)
        self.encoder = frozen_encoder(config).to(self.device)
        self.decoder = Decoder(config.decoder).to(self.device)
        self._head = load_checkpoint(config.run / PARTIALS_CHECKPOINT)["head"]
        self.decoder.partials.load_state_dict(self._head)
        self.partials_learned = config.partials_weight > 0.0
        self.decoder.partials.requires_grad_(self.partials_learned)
        self.average = ExponentialMovingAverage(self.decoder, config.ema_decay)
        self.discriminators = Discriminators().to(self.device)
        self.losses = SoundLosses().to(self.device)
        rate = config.sound.learning_rate
        self.optimiser = torch.optim.AdamW(self.decoder.parameters(), lr=rate, betas=(0.8, 0.98), weight_decay=1e-3)
        self.judge_optimiser = torch.optim.AdamW(self.discriminators.parameters(), lr=2e-4, betas=(0.8, 0.98))
        self.step = 0
        self.elapsed = 0.0

    def state(self) -> dict[str, object]:
        """Return everything that a resumed run needs."""
        parts = ("encoder", "decoder", "average", "discriminators", "optimiser", "judge_optimiser")
        return {
            "kind": "codec-sound", "step": self.step, "elapsed": self.elapsed, "config": config_to_table(self.config),
            "partials_learned": self.partials_learned,
            **{name: getattr(self, name).state_dict() for name in parts},
        }  # fmt: skip

    def load(self, saved: dict[str, object]) -> None:
        """Continue from `saved`, made by `state`; or from a bundle's codec, which has neither optimisers nor judges.

        The encoder is the first stage's, which may have gone on since.
        """
        for name in ("decoder", "average", "discriminators", "optimiser", "judge_optimiser"):
            if name in saved:
                getattr(self, name).load_state_dict(saved[name])
        self.partials_learned |= bool(saved.get("partials_learned"))
        if not saved.get("partials_learned"):
            for decoder in (self.decoder, self.average.network):
                decoder.partials.load_state_dict(self._head)  # the second stage may have gone on, too
        self.step, self.elapsed = int(saved["step"]), float(saved["elapsed"])  # type: ignore[call-overload, arg-type]

    def decode(self, decoder: Decoder, latents: Tensor) -> tuple[Tensor, SpectrumParts]:
        """Decode clips without a past: (batch, 64, frames) to (batch, 2, (frames - 1) x 2048), and what makes it."""
        initial = decoder.initial_state(len(latents))
        held, slow, fast, phase = (state.to(self.device) for state in initial)
        with mixed_precision(self.device, self.config.mixed_precision):
            raw, _, _, _ = decoder.parts(latents, held, slow, fast)
        skipped = SPECTRA_PER_FRAME * NETWORK_LOOKAHEAD_FRAMES
        parts = SpectrumParts(*(getattr(raw, field.name)[:, skipped:].float() for field in fields(raw)))
        noise = torch.randn(2, 2, parts.offset.shape[1], SPECTRUM_BINS, device=self.device) * 0.5**0.5
        spectrum, _ = decoder.spectrum(parts, noise, torch.rand_like(phase))
        return inverse_stft(spectrum), parts

    def train_step(self, clips: Clips, adversarial: bool) -> dict[str, float]:
        """Take one step; returns the losses by name."""
        latents = noisy_latents(self.encoder, clips, self.config.latent_noise)
        sound, parts = self.decode(self.decoder, latents)
        frames = sound.shape[2] // LATENT_HOP_SAMPLES
        span = slice(_WARM_UP_FRAMES * LATENT_HOP_SAMPLES, (frames - 1) * LATENT_HOP_SAMPLES)
        estimate, target = sound[:, :, span], clips.audio[:, :, span]
        losses = self._plain_losses(estimate, target)
        if adversarial:
            losses |= self._adversarial_losses(estimate, target)
        total = torch.stack([_WEIGHTS[name] * value for name, value in losses.items()]).sum()
        if self.config.partials_weight > 0.0:
            own = partials_losses(parts.compressed_amplitude, parts.offset, clips)
            total, losses = total + self.config.partials_weight * weighted(own), losses | own
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.decoder)
        self.step += 1
        return {name: float(value.detach()) for name, value in {"loss": total, **losses}.items()}

    def _plain_losses(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        view = (mid_side, left_right)[self.step % 2]
        window = STFT_WINDOWS[int(torch.randint(len(STFT_WINDOWS), ()))]
        pitch, chroma, strongest = self.losses.pitch_losses(estimate, target)
        return {
            "stft": stft_loss(view(estimate), view(target), window),
            "mel": self.losses.mel_loss(view(estimate), view(target)),
            "mid_mel": self.losses.mid_mel_loss(estimate, target),
            "pitch": pitch,
            "chroma": chroma,
            "strongest": strongest,
        }

    def _adversarial_losses(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        chosen = torch.randperm(len(estimate))[: max(1, len(estimate) // 2)]  # half of the clips: half of the time
        estimate, target = estimate[chosen], target[chosen]
        with mixed_precision(self.device, self.config.mixed_precision):
            judged = discriminator_loss(self.discriminators(target), self.discriminators(estimate.detach()))
        self.judge_optimiser.zero_grad()
        judged.backward()
        self.judge_optimiser.step()
        with mixed_precision(self.device, self.config.mixed_precision):
            adversarial, matching = generator_losses(self.discriminators(target), self.discriminators(estimate))
        return {"adversarial": adversarial, "matching": matching}


def train_sound(config: CodecTrainingConfig) -> None:
    """Train the second stage until its minutes are used; continues from the last checkpoint in `config.run`."""
    training = SoundTraining(config)
    path = config.run / CHECKPOINT
    if path.exists():
        training.load(load_checkpoint(path, "codec-sound"))
    songs, held_out = (PreparedSongs(config.prepared, split) for split in ("train", "validation"))
    rng = np.random.default_rng(config.seed + training.step)
    stage = config.sound
    budget, writer = Budget(minutes=stage.minutes), SummaryWriter(str(config.run))
    started, saved_at = time.monotonic() - training.elapsed, time.monotonic()
    with TrainingProgress("codec sound") as progress:
        for clips in prefetched(lambda: songs.clips(rng, stage.clips, stage.clip_frames, with_audio=True)):
            training.elapsed = time.monotonic() - started
            fraction = budget.fraction(training.step, training.elapsed)
            for group in training.optimiser.param_groups:
                group["lr"] = annealed_rate(stage.learning_rate, training.step, fraction, stage.warm_up_steps)
            figures = training.train_step(clips.to(training.device), fraction >= config.adversarial_from)
            progress.update(fraction, training.step, budget.seconds_left(training.step, training.elapsed), figures)
            if fraction >= _EARLY_SHARE and not (config.run / EARLY_CHECKPOINT).exists():
                save_checkpoint(config.run / EARLY_CHECKPOINT, training.state())
            finished = fraction >= 1.0
            if finished or time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
                saved_at = time.monotonic()
                save_checkpoint(path, training.state())
                figures |= held_out_figures(training, held_out, writer)
                songs.refresh()
                held_out.refresh()
                for name, value in figures.items():
                    writer.add_scalar(f"sound/{name}", value, training.step)
                progress.note(f"step {training.step}: " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
            if finished:
                return


@torch.no_grad()
def held_out_figures(training: SoundTraining, songs: PreparedSongs, writer: SummaryWriter) -> dict[str, float]:
    """Decode held-out clips with the averaged weights: pitch and log-mel distance by part; sound to TensorBoard."""
    if not songs.songs:
        return {}
    clips = songs.clips(np.random.default_rng(11), 32, 2 * training.config.sound.clip_frames, with_audio=True).to(
        training.device
    )
    sound, _ = training.decode(training.average.network, noisy_latents(training.encoder, clips, 0.0))
    span = slice(_WARM_UP_FRAMES * LATENT_HOP_SAMPLES, sound.shape[2] - LATENT_HOP_SAMPLES)
    estimate, target = sound[:, :, span], clips.audio[:, :, span]
    figures: dict[str, float] = {}
    for index, name in enumerate(("vocals", "drums", "bass", "other")):
        chosen = clips.part == index
        if not chosen.any():
            continue
        figures[f"{name} mel"] = float(training.losses.mel_loss(mid_side(estimate[chosen]), mid_side(target[chosen])))
        if index > 1:
            pairs = zip(target[chosen].cpu().numpy(), estimate[chosen].cpu().numpy(), strict=True)
            counts = [strongest_pitch_class_count(reference, made) for reference, made in pairs]
            figures[f"{name} pitch"] = sum(c.right for c in counts) / max(1, sum(c.frames for c in counts))
        both = torch.cat([target[chosen][0], estimate[chosen][0]], dim=1).mean(dim=0).cpu()
        writer.add_audio(f"sound/{name}, original then decoded", both.clamp(-1, 1), training.step, SAMPLE_RATE_HZ)
        writer.add_image(f"sound/{name}, 0 to 2.7 kHz, original then decoded", spectrogram(both), training.step)
    return figures


def spectrogram(mid: Tensor, bins: int = 256) -> Tensor:
    """Return a picture (1, bins, frames) in [0, 1] of (samples,), low notes at the bottom: pitch shows only there."""
    decibels = 20 * torch.log10(stft_magnitude(mid[None], 4_096, 1_024)[0, :bins] + 1e-5)
    return (1 + decibels / 100).clamp(0, 1).flip(0)[None]
