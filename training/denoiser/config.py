"""The settings of a denoiser training, as `configs/denoiser_*.toml` write them."""

from dataclasses import dataclass, field
from pathlib import Path

from training.common.schedules import Budget
from training.denoiser.model import FRAMES_MULTIPLE, DenoiserConfig


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which latents, cut into which windows.

    Attributes:
        latents: folder of `<song>.npz` files and `statistics.npz`.
        window_frames: lengths of the windows, shortest first, each a multiple of 4.
        window_shares: how often each length is drawn, relative to each other.
        windows_per_batch: windows of the shortest length in a batch (of one process); longer ones come in
            proportionally fewer, so that every batch has about as many frames.
        vocal_noise: largest standard deviation of the noise added to the vocal's normalised latents.
        prefetch: batches made ahead of the step.
        sampler_steps: where not empty, three windows in four have a timestep at which a sampler of one of these numbers
            of steps asks the network; the others have any.
    """

    latents: Path = Path(".cache/latents")
    window_frames: tuple[int, ...] = (256, 512, 1024)
    window_shares: tuple[float, ...] = (0.7, 0.2, 0.1)
    windows_per_batch: int = 8
    vocal_noise: float = 0.4
    prefetch: int = 4
    sampler_steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse windows that the denoiser cannot take."""
        if not self.window_frames or len(self.window_frames) != len(self.window_shares):
            raise ValueError("data: window_frames and window_shares must be lists of one length, not empty")
        if any(frames % FRAMES_MULTIPLE or frames <= 0 for frames in self.window_frames):
            raise ValueError(f"data: window_frames {list(self.window_frames)} are not all multiples of 4")
        if list(self.window_frames) != sorted(self.window_frames):
            raise ValueError(f"data: window_frames {list(self.window_frames)} do not begin with the shortest")

    def windows_of(self, frames: int) -> int:
        """Return how many windows of `frames` frames make a batch."""
        return max(1, self.windows_per_batch * self.window_frames[0] // frames)


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """AdamW, its warm-up and annealing, and the weighting of the loss.

    Attributes:
        learning_rate: the highest rate.
        warm_up_steps: steps over which the rate rises.
        betas: decay of the first and second moment.
        weight_decay: decay of the weights with two or more dimensions; norms, biases and scalars have none.
        gradient_clip: largest norm of the gradient.
        ema_decay: decay of the averaged weights.
        snr_gamma: largest signal-to-noise ratio that counts in the loss weight (min-SNR).
        snr_weight_floor: least loss weight below SNR 1; min-SNR alone ignores pure noise, where a sampler starts.
        harmony_weight: weight of the auxiliary harmony loss.
    """

    learning_rate: float = 4e-4
    warm_up_steps: int = 300
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    snr_gamma: float = 5.0
    snr_weight_floor: float = 0.5
    harmony_weight: float = 0.1


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Where and how the training runs.

    Attributes:
        seed: of the weights and of every batch.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        threads: CPU threads of torch; 0 for its default.
        mixed_precision: bfloat16 in the forward pass.
        checkpoint_minutes: minutes between checkpoints.
        validate_every_steps: steps between held-out measurements.
        validation_batches: batches of each measurement, always the same ones.
        patience: measurements without a better held-out loss after which training stops; 0 for never.
    """

    seed: int = 1
    device: str = "auto"
    threads: int = 0
    mixed_precision: bool = True
    checkpoint_minutes: float = 3.0
    validate_every_steps: int = 1000
    validation_batches: int = 8
    patience: int = 0


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """What is learned of a teacher, where there is one.

    Attributes:
        guidance_scale: guidance of the teacher that goes into the weights; the bundle's manifest keeps it.
        steps: of the sampler whose every step the student learns to take as `substeps` of its teacher's; 0 for none.
        substeps: of the teacher in each of them.
    """

    guidance_scale: float = 2.0
    steps: int = 0
    substeps: int = 8


@dataclass(frozen=True, slots=True)
class DenoiserTraining:
    """Everything a `configs/denoiser_*.toml` may set; what it leaves out has these defaults."""

    budget: Budget
    model: DenoiserConfig = field(default_factory=DenoiserConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)
    distillation: DistillationConfig | None = None
