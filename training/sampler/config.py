"""The settings of a sampler's training, as `configs/sampler_*.toml` write them."""

from dataclasses import dataclass, field

from engine.geometry import STEMS
from engine.schedule import TIMESTEPS
from training.common.schedules import Budget
from training.denoiser.config import DataConfig, RunConfig


@dataclass(frozen=True, slots=True)
class JudgingConfig:
    """What is judged, and how much the judgement counts.

    Attributes:
        steps: of the sampler that is unrolled, 1 to 4: each costs a pass forth and back.
        stems: that the judge hears.
        weight: of the judgement in the loss.
        hold: of the distance to what the weights made before, on stems that are not judged.
        judged_hold: the same on those that are.
        learning_rate: of the denoiser. Far above it, the judge cannot follow.
        judge_learning_rate: of the judge.
        judge_width: channels of the judge.
        judge_alone_steps: steps before the denoiser learns, too.
        judge_noise: standard deviation of noise that the judge hears beside the latents, real or made.
        ema_decay: decay of the averaged weights.
        gradient_clip: largest norm of the denoiser's gradient.
    """

    steps: int = 2
    stems: tuple[str, ...] = ("drums",)
    weight: float = 0.1
    hold: float = 1.0
    judged_hold: float = 0.03
    learning_rate: float = 1.2e-5
    judge_learning_rate: float = 1e-3
    judge_width: int = 192
    judge_alone_steps: int = 60
    judge_noise: float = 0.05
    ema_decay: float = 0.99
    gradient_clip: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        if not self.stems or any(stem not in STEMS for stem in self.stems) or len(set(self.stems)) < len(self.stems):
            raise ValueError(f"judging: stems {list(self.stems)} are not some of {', '.join(STEMS)}")
        if not 1 <= self.steps <= min(4, TIMESTEPS):
            raise ValueError(f"judging: steps {self.steps} are not 1 to 4")


@dataclass(frozen=True, slots=True)
class SamplerTraining:
    """Everything a `configs/sampler_*.toml` may set; what it leaves out has these defaults."""

    budget: Budget
    data: DataConfig = field(default_factory=DataConfig)
    judging: JudgingConfig = field(default_factory=JudgingConfig)
    run: RunConfig = field(default_factory=RunConfig)
