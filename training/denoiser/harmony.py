"""An auxiliary task in training only: read the song's chords and key off the context C and off the bottleneck.

The v-loss alone asks for harmony late: chords move it by a tenth at the noisiest timesteps, and a melody only hints at
chords. These heads ask the vocal stream and its alignment for harmony from the first step; no bundle holds them.
"""

from torch import Tensor, nn
from torch.nn import functional

from engine.conditions import LAYOUT
from training.denoiser.blocks import GROUPS
from training.denoiser.model import Denoiser, DenoiserConfig

CHORD_CHANNELS = LAYOUT.chord.content_channels
KEY_CHANNELS = LAYOUT.key.content_channels
HARMONY_CHANNELS = CHORD_CHANNELS + KEY_CHANNELS


class HarmonyHeads(nn.Module):
    """Two small heads, from the context C and from the bottleneck to chord and key."""

    def __init__(self, config: DenoiserConfig) -> None:
        """Make heads that fit a denoiser of `config`."""
        super().__init__()
        self.context = _head(config.context_channels)
        self.bottleneck = _head(config.widths[-1])


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv1d(channels, HARMONY_CHANNELS, 3, padding=1))


class DenoiserInTraining(nn.Module):
    """A denoiser with its harmony heads: one module, so that several processes average all gradients."""

    def __init__(self, denoiser: Denoiser, heads: HarmonyHeads) -> None:
        """Hold both."""
        super().__init__()
        self.denoiser = denoiser
        self.heads = heads

    def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return v and logits of chord and key from context and bottleneck, (batch, HARMONY_CHANNELS, frames / 2 or 4).

        The arguments are the denoiser's.
        """
        v, context, bottleneck = self.denoiser.with_features(x, timestep, conditions, style)
        return v, self.heads.context(context), self.heads.bottleneck(bottleneck)


def harmony_loss(logits: Tensor, harmony: Tensor) -> Tensor:
    """Return the binary cross-entropy of chord and key, where the song's chords are known.

    Args:
        logits: (batch, HARMONY_CHANNELS, frames / n).
        harmony: chord, key and flag of the song, (batch, HARMONY_CHANNELS + 1, frames), averaged over each n frames.
    """
    pooled = functional.avg_pool1d(harmony, harmony.shape[-1] // logits.shape[-1])
    target, known = pooled[:, :-1], pooled[:, -1:]
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (entropy * known).mean(dim=1).sum() / known.sum().clamp_min(1.0)
