"""The encoder: multi-channel features, channel attention, attention flow, four sub-spaces (000, 2.1.1 to 2.1.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.features import FEATURE_CHANNELS, FEATURE_SLICES
from engine.geometry import LATENT_CHANNELS
from training.codec.layers import CausalStack, ChannelAttention

SUBSPACES = ("melody", "rhythm", "harmony", "attention")
SUBSPACE_CHANNELS = LATENT_CHANNELS // len(SUBSPACES)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Sizes of the encoder; widths in channels."""

    token_width: int = 192
    heads: int = 4
    width: int = 384
    blocks: int = 2
    kernel: int = 3
    expansion: int = 2


class AttentionFlow(nn.Module):
    """Turns arousal and focus into h_A, which scales and shifts the encoder's features (000, 2.1.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.curves_in = nn.Linear(2, 32)
        self.modulation = nn.Linear(32, 2 * width)

    def forward(self, features: Tensor, curves: Tensor) -> Tensor:
        """Modulate features (batch, frames, width) by curves (batch, 2, frames)."""
        h_attention = nn.functional.silu(self.curves_in(curves.transpose(1, 2)))
        scale, shift = self.modulation(h_attention).chunk(2, dim=-1)
        return features * (1 + scale) + shift


class Encoder(nn.Module):
    """Features to the mean and log variance of 64 latents, in four heads of 16 (000, eq. 1 and 2).

    A linear path from the features stands beside the network, so that what a projection can keep
    (a constant-Q spectrum keeps its strongest pitch class in 64 components) is kept from the first steps on.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        slices = list(FEATURE_SLICES.values())
        self.embed = nn.ModuleList(nn.Linear(rows.stop - rows.start, config.token_width) for rows in slices)
        self.channel = nn.Parameter(torch.randn(len(slices), config.token_width) * 0.02)
        self.channel_attention = ChannelAttention(config.token_width, config.heads)
        self.mix = nn.Linear(len(slices) * config.token_width, config.width)
        self.attention_flow = AttentionFlow(config.width)
        self.stack = CausalStack(config.blocks, config.width, config.kernel, config.expansion)
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, 2 * SUBSPACE_CHANNELS) for name in SUBSPACES})
        self.linear = nn.Linear(FEATURE_CHANNELS, LATENT_CHANNELS)

    def forward(self, features: Tensor, curves: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode.

        Args:
            features: (batch, FEATURE_CHANNELS, frames).
            curves: (batch, 2, frames), arousal and focus.
            state: (batch, blocks, width, kernel - 1).

        Returns:
            mean and log variance, (batch, 64, frames) each, and the new state.
        """
        by_frame = features.transpose(1, 2)
        tokens = [layer(by_frame[..., rows]) for layer, rows in zip(self.embed, FEATURE_SLICES.values(), strict=True)]
        mixed = self.channel_attention(torch.stack(tokens, dim=2) + self.channel)
        hidden = nn.functional.silu(self.mix(mixed.flatten(2)))
        hidden = self.attention_flow(hidden, curves).transpose(1, 2)
        hidden, state = self.stack(hidden, state)
        heads = [head(hidden.transpose(1, 2)).chunk(2, dim=-1) for head in self.heads.values()]
        mean = torch.cat([mean for mean, _ in heads], dim=-1) + self.linear(by_frame)
        log_variance = torch.cat([log_variance for _, log_variance in heads], dim=-1)
        return mean.transpose(1, 2), log_variance.clamp(-12, 4).transpose(1, 2), state

    @torch.no_grad()
    def turn(self, matrix: Tensor, offset: Tensor) -> None:
        """Map the means m (64,) to m @ matrix + offset from now on, in the last layers' own weights.

        Args:
            matrix: (64, 64).
            offset: (64,).
        """
        heads: list[nn.Linear] = list(self.heads.values())  # type: ignore[arg-type]
        weight = matrix.T @ torch.cat([head.weight[:SUBSPACE_CHANNELS] for head in heads])
        bias = matrix.T @ torch.cat([head.bias[:SUBSPACE_CHANNELS] for head in heads])
        for head, rows, values in zip(heads, weight.chunk(len(heads)), bias.chunk(len(heads)), strict=True):
            head.weight[:SUBSPACE_CHANNELS], head.bias[:SUBSPACE_CHANNELS] = rows, values
        self.linear.weight.copy_(matrix.T @ self.linear.weight)
        self.linear.bias.copy_(matrix.T @ self.linear.bias + offset)


class FeatureHead(nn.Module):
    """A head from the latents, a few frames at once, back to the features: it asks for all from the first step."""

    def __init__(self, width: int = 768, kernel: int = 5) -> None:
        super().__init__()
        self.into = nn.Conv1d(LATENT_CHANNELS, width, kernel, padding=kernel // 2)
        self.hidden = nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, FEATURE_CHANNELS, 1)
        self.linear = nn.Conv1d(LATENT_CHANNELS, FEATURE_CHANNELS, 1)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (batch, 64, frames) to features (batch, FEATURE_CHANNELS, frames)."""
        hidden = nn.functional.gelu(self.into(latents))
        hidden = hidden + nn.functional.gelu(self.hidden(hidden))
        features: Tensor = self.out(hidden) + self.linear(latents)
        return features
