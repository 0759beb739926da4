"""The denoiser: a 1-D U-Net with a stream for the accompaniment, one for the vocal, and soft alignment between them.

Shapes in the comments: B batch, F frames (a multiple of 4), E embedding, X context, W1 W2 W3 the three widths.
The way of the data (001 section IV, 000 section 2.2.3):

    noisy accompaniment + its conditions -> accompaniment stream (F) --queries (F/2)--+
    vocal latents, pitch, timeline       -> vocal stream (F/2) ---keys and values-----+-> context C (F/2)
    accompaniment stream -> down F, F/2, F/4 -> self alignment at F/4 -> up F/2, F -> v
                            every block: FiLM by (timestep, style) and by C; attention flow injected at every level
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.conditions import CONDITION_CHANNELS, LAYOUT
from engine.geometry import ACCOMPANIMENT_CHANNELS
from engine.schedule import ALPHA_BAR, TIMESTEPS
from engine.styles import STYLES
from training.denoiser.attention import SoftAlignmentAttention
from training.denoiser.blocks import (
    GROUPS,
    AttentionFlow,
    AttentionFlowInjection,
    Embedding,
    PlainBlock,
    ResidualBlock,
)
from training.denoiser.sounds import SOUND_CHANNELS

FRAMES_MULTIPLE = 4
VOCAL_GROUPS = (LAYOUT.vocal_latents, LAYOUT.vocal_pitch, LAYOUT.timeline)
VOCAL_CHANNELS = sum(group.channels for group in VOCAL_GROUPS)
ACCOMPANIMENT_START = LAYOUT.timeline.start
SOUNDS_WEIGHT = "embedding.sounds.weight"
"""The weight that a bundle does without."""


@dataclass(frozen=True, slots=True)
class DenoiserConfig:
    """The size of the denoiser.

    Attributes:
        widths: channels at the full, half and quarter rate; multiples of 8.
        blocks: residual blocks at each level, on the way down and again on the way up.
        vocal_width: channels of the vocal stream.
        vocal_blocks: residual blocks of the vocal stream.
        embedding_channels: timestep and style.
        context_channels: the context C.
        flow_channels: the attention features h_A.
    """

    widths: tuple[int, int, int] = (224, 320, 384)
    blocks: int = 2
    vocal_width: int = 192
    vocal_blocks: int = 2
    embedding_channels: int = 256
    context_channels: int = 192
    flow_channels: int = 64

    def __post_init__(self) -> None:
        """Refuse widths that the group norms cannot divide."""
        for width in (*self.widths, self.vocal_width):
            if width <= 0 or width % GROUPS:
                raise ValueError(f"width {width} is not a positive multiple of {GROUPS}")


class Level(nn.Module):
    """The residual blocks of one resolution and the attention flow's injection behind them."""

    def __init__(self, in_channels: tuple[int, ...], width: int, rate: int, config: DenoiserConfig) -> None:
        """Make one block for each of `in_channels`, all giving `width` channels at `rate` times the quarter rate."""
        super().__init__()
        embedding, context = config.embedding_channels, config.context_channels
        self.blocks = nn.ModuleList(ResidualBlock(channels, width, embedding, context) for channels in in_channels)
        self.injection = AttentionFlowInjection(width, config.flow_channels, rate)


class Denoiser(nn.Module):
    """Predicts v from noisy accompaniment latents, the noise level, the conditions and the style."""

    alpha_bar: Tensor

    def __init__(self, config: DenoiserConfig) -> None:
        """Make the network of `config`, with fresh weights from torch's random generator."""
        super().__init__()
        self.config = config
        full, half, quarter = config.widths
        self.register_buffer("alpha_bar", torch.tensor(ALPHA_BAR, dtype=torch.float32), persistent=False)
        self.embedding = Embedding(TIMESTEPS, len(STYLES), SOUND_CHANNELS, config.embedding_channels)
        self.flow = AttentionFlow(LAYOUT.attention.channels, config.flow_channels, config.embedding_channels)

        stream_channels = ACCOMPANIMENT_CHANNELS + CONDITION_CHANNELS - ACCOMPANIMENT_START
        self.accompaniment = nn.Conv1d(stream_channels, full, 5, padding=2)
        self.query = nn.Sequential(_halving(full, half), PlainBlock(half))
        self.vocal = nn.Sequential(
            nn.Conv1d(VOCAL_CHANNELS, config.vocal_width, 5, padding=2),
            PlainBlock(config.vocal_width),
            _halving(config.vocal_width, config.vocal_width),
            *(PlainBlock(config.vocal_width) for _ in range(config.vocal_blocks)),
        )
        self.alignment = SoftAlignmentAttention(half, config.vocal_width, config.context_channels)
        self.vocal_beside = nn.Conv1d(config.vocal_width, config.context_channels, 1)

        self.down_full = Level((full,) * config.blocks, full, 4, config)
        self.to_half = _halving(full, half)
        self.down_half = Level((half,) * config.blocks, half, 2, config)
        self.to_quarter = _halving(half, quarter)
        self.bottleneck = Level((quarter,) * config.blocks, quarter, 1, config)
        self.self_alignment = SoftAlignmentAttention(quarter, quarter, quarter)
        self.from_quarter = nn.Conv1d(quarter, half, 1)
        self.up_half = Level((2 * half,) + (half,) * (config.blocks - 1), half, 2, config)
        self.from_half = nn.Conv1d(half, full, 1)
        self.up_full = Level((2 * full,) + (full,) * (config.blocks - 1), full, 4, config)
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, full), nn.SiLU(), nn.Conv1d(full, ACCOMPANIMENT_CHANNELS, 3, padding=1)
        )

    def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
        """Predict v.

        Args:
            x: noisy normalised latents of drums, bass and other, (batch, 192, frames), frames a multiple of 4.
            timestep: (batch,) float32 in 0 to 799.
            conditions: (batch, CONDITION_CHANNELS, frames), packed by `engine.conditions`.
            style: (batch, styles) weights, in training with those of `training.denoiser.sounds` behind them.

        Returns:
            v, (batch, 192, frames).
        """
        return self.with_features(x, timestep, conditions, style)[0]

    def with_features(
        self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return v, the context C (batch, X, frames / 2) and the bottleneck (batch, W3, frames / 4); see `forward`."""
        alpha_bar = self.alpha_bar[timestep.round().long().clamp(0, TIMESTEPS - 1)]
        time = timestep / TIMESTEPS
        embedding = self.embedding(timestep, style)  # (B, E)
        flow = self.flow(conditions[:, LAYOUT.attention.whole], embedding)  # (B, flow, F/4)
        stream = self.accompaniment(torch.cat((x, conditions[:, ACCOMPANIMENT_START:]), dim=1))  # (B, W1, F)
        context = self._context(stream, conditions, alpha_bar)  # (B, X, F/2)
        contexts = (context.repeat_interleave(2, dim=-1), context, halved(context))

        full = self._level(self.down_full, stream, embedding, contexts[0], flow, time)  # (B, W1, F)
        half = self._level(self.down_half, self.to_half(full), embedding, contexts[1], flow, time)  # (B, W2, F/2)
        hidden = self._level(self.bottleneck, self.to_quarter(half), embedding, contexts[2], flow, time)  # (B, W3, F/4)
        bottleneck = hidden + self.self_alignment(hidden, hidden, alpha_bar)
        hidden = torch.cat((self.from_quarter(bottleneck).repeat_interleave(2, dim=-1), half), dim=1)  # (B, 2 W2, F/2)
        hidden = self._level(self.up_half, hidden, embedding, contexts[1], flow, time)
        hidden = torch.cat((self.from_half(hidden).repeat_interleave(2, dim=-1), full), dim=1)  # (B, 2 W1, F)
        hidden = self._level(self.up_full, hidden, embedding, contexts[0], flow, time)
        return self.out(hidden), context, bottleneck

    def _context(self, stream: Tensor, conditions: Tensor, alpha_bar: Tensor) -> Tensor:
        """Return C (B, X, F/2): what the accompaniment finds in the vocal, beside the vocal of the same moment."""
        vocal = self.vocal(torch.cat([conditions[:, group.whole] for group in VOCAL_GROUPS], dim=1))
        return self.alignment(self.query(stream), vocal, alpha_bar) + self.vocal_beside(vocal)

    @staticmethod
    def _level(level: Level, x: Tensor, embedding: Tensor, context: Tensor, flow: Tensor, time: Tensor) -> Tensor:
        for block in level.blocks:
            x = block(x, embedding, context)
        return level.injection(x, flow, time)


def load_weights(network: Denoiser, weights: Mapping[str, Tensor]) -> None:
    """Give `network` the `weights` of another; those of a bundle or an older training lack the sounds, which count 0.

    Raises:
        RuntimeError: the weights are those of another size of denoiser.
    """
    sounds = network.embedding.sounds.weight
    network.load_state_dict({SOUNDS_WEIGHT: torch.zeros_like(sounds), **weights})


def with_usual_sounds(network: Denoiser, sounds: Tensor) -> Denoiser:
    """Put each style's usual `sounds` (styles, SOUND_CHANNELS) into the style's own weights; return `network`."""
    with torch.no_grad():
        embedding = network.embedding
        embedding.style.weight += embedding.sounds.weight @ sounds.T
        embedding.sounds.weight.zero_()
    return network


def halved(x: Tensor) -> Tensor:
    """Average each two frames of (batch, channels, frames)."""
    return x.unflatten(-1, (-1, 2)).mean(dim=-1)


def _halving(in_channels: int, out_channels: int) -> nn.Conv1d:
    return nn.Conv1d(in_channels, out_channels, 4, stride=2, padding=1)


def parameter_count(network: nn.Module) -> int:
    """Return the number of trained numbers in `network`."""
    return sum(parameter.numel() for parameter in network.parameters())
