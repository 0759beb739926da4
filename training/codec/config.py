"""The settings of the codec's training, read from TOML."""

from dataclasses import dataclass, field
from pathlib import Path

from training.codec.decoder import DecoderConfig
from training.codec.encoder import EncoderConfig


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage: how long, how much at once, how fast.

    Attributes:
        minutes: wall-clock minutes over all resumed runs.
        clips: clips in a batch.
        clip_frames: latent frames of a clip.
        learning_rate: the peak.
        warm_up_steps: steps up to the peak.
    """

    minutes: float = 20.0
    clips: int = 64
    clip_frames: int = 32
    learning_rate: float = 1e-3
    warm_up_steps: int = 100


@dataclass(frozen=True, slots=True)
class CodecTrainingConfig:
    """Everything that the codec's training needs to know.

    Attributes:
        prepared: folder of `training.codec.prepare`.
        run: folder of checkpoints and curves.
        adversarial_from: share of the sound stage after which the discriminators join; 1 for never.
        kl_weight: beta of 000, eq. 9.
        partials_weight: how much the second stage's losses count in the third, in which the partials' head then learns
            on from the sound, too; 0 keeps it as it is. Only for a codec that is settled: early on, losses of the
            sound would rather have the bank silent than slightly off.
        latent_noise: standard deviation, in units of the latents' own, of the noise that the decoder learns to bear.
    """

    prepared: Path = Path(".cache/codec")
    run: Path = Path("runs/codec")
    seed: int = 1
    device: str = "auto"
    threads: int = 0
    mixed_precision: bool = True
    checkpoint_minutes: float = 3.0
    kl_weight: float = 2e-3
    partials_weight: float = 0.0
    latent_noise: float = 0.1
    adversarial_from: float = 0.6
    ema_decay: float = 0.998
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    features: StageConfig = field(default_factory=StageConfig)
    partials: StageConfig = field(default_factory=StageConfig)
    sound: StageConfig = field(
        default_factory=lambda: StageConfig(minutes=60.0, clips=16, clip_frames=36, learning_rate=8e-4)
    )
