"""How far a training is, what its learning rate is there, and when it has stopped getting better."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a training lasts: a number of steps, or wall-clock minutes summed over all its resumed runs.

    Exactly one of the two is set. The learning rate anneals over the fraction used, so every run ends annealed.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Refuse a budget of neither or both."""
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("budget: set either steps or minutes, not both and not neither")
        if (self.steps or self.minutes or 0) <= 0:
            raise ValueError(f"budget: steps or minutes must be above 0, got {self.steps or self.minutes}")

    def fraction(self, step: int, elapsed_seconds: float) -> float:
        """Return how much of the budget `step` finished steps and `elapsed_seconds` have used, in [0, 1]."""
        used = step / self.steps if self.steps else elapsed_seconds / (60.0 * (self.minutes or 1.0))
        return min(1.0, used)

    def seconds_left(self, step: int, elapsed_seconds: float) -> float | None:
        """Return the seconds of training still ahead, or None before the first step."""
        if self.minutes:
            return max(0.0, 60.0 * self.minutes - elapsed_seconds)
        fraction = self.fraction(step, elapsed_seconds)
        return elapsed_seconds * (1.0 - fraction) / fraction if fraction > 0.0 else None


def annealed_rate(peak: float, step: int, fraction: float, warm_up_steps: int, final_share: float = 0.02) -> float:
    """Return the learning rate: a linear warm-up in steps, under a half cosine in the fraction of the budget.

    Args:
        peak: the highest rate.
        step: finished steps.
        fraction: used share of the budget, in [0, 1].
        warm_up_steps: the steps over which the rate rises from near 0; 0 for none.
        final_share: the rate at the end, as a share of the peak.
    """
    warm_up = min(1.0, (step + 1) / (warm_up_steps + 1))
    cosine = 0.5 * (1.0 + math.cos(math.pi * fraction))
    return peak * warm_up * (final_share + (1.0 - final_share) * cosine)


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """The best held-out loss so far, and for how many measurements it has not been beaten.

    Attributes:
        patience: measurements without a better loss after which training stops; 0: never.
    """

    patience: int
    best: float = math.inf
    stale: int = 0

    def after(self, loss: float) -> "EarlyStopping":
        """Return the state after one more measurement."""
        if loss < self.best:
            return EarlyStopping(self.patience, loss, 0)
        return EarlyStopping(self.patience, self.best, self.stale + 1)

    @property
    def should_stop(self) -> bool:
        """Whether the loss has not fallen for `patience` measurements."""
        return self.patience > 0 and self.stale >= self.patience
