"""The blocks of the U-Net: timestep embedding, FiLM, residual blocks, and the injection of the attention flow."""

import math

import torch
from torch import Tensor, nn

GROUPS = 8
EMBEDDING_FREQUENCIES = 128


def timestep_features(timestep: Tensor, timesteps: int) -> Tensor:
    """Return sines and cosines of `timestep` (batch,) in [0, timesteps), (batch, 2 * EMBEDDING_FREQUENCIES).

    The frequencies are those of the transformer's position encoding, over timesteps scaled to [0, 1000).
    """
    index = torch.arange(EMBEDDING_FREQUENCIES, device=timestep.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(10_000.0) * index / EMBEDDING_FREQUENCIES)
    angle = (timestep * (1000.0 / timesteps))[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


class Embedding(nn.Module):
    """Timestep, style and, in training, sounds as one vector, which the FiLM of every block reads."""

    def __init__(self, timesteps: int, styles: int, sounds: int, channels: int) -> None:
        """Make the embedding for `timesteps` noise levels, `styles` style weights and `sounds` sound weights."""
        super().__init__()
        self.timesteps = timesteps
        self.timestep = nn.Sequential(
            nn.Linear(2 * EMBEDDING_FREQUENCIES, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.style = nn.Linear(styles, channels, bias=False)
        self.sounds = nn.Linear(sounds, channels, bias=False)
        nn.init.zeros_(self.sounds.weight)

    def forward(self, timestep: Tensor, style: Tensor) -> Tensor:
        """Map timestep (batch,) and style (batch, styles), sounds behind it or not, to (batch, channels)."""
        styles = self.style.in_features
        asked = self.style(style[:, :styles])
        if style.shape[1] > styles:
            asked = asked + self.sounds(style[:, styles:])
        return nn.functional.silu(self.timestep(timestep_features(timestep, self.timesteps)) + asked)


class Film(nn.Module):
    """Feature-wise linear modulation: scale and shift by timestep and style, and frame by frame by the context C."""

    def __init__(self, channels: int, embedding_channels: int, context_channels: int) -> None:
        """Make the two projections; the context's begins at zero, so that training starts from the embedding alone."""
        super().__init__()
        self.embedding = nn.Linear(embedding_channels, 2 * channels)
        self.context = nn.Conv1d(context_channels, 2 * channels, 1, bias=False)
        nn.init.zeros_(self.context.weight)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        """Modulate x (batch, channels, frames) by embedding (batch, e) and context (batch, c, frames)."""
        scale, shift = (self.embedding(embedding)[:, :, None] + self.context(context)).chunk(2, dim=1)
        return x * (1.0 + scale) + shift


class ResidualBlock(nn.Module):
    """GroupNorm, FiLM, SiLU, Conv1d, then GroupNorm, SiLU, Conv1d, beside a straight way."""

    def __init__(self, in_channels: int, out_channels: int, embedding_channels: int, context_channels: int) -> None:
        """Make a block; the last convolution begins at zero, so that the block begins as its straight way."""
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, in_channels)
        self.conv_in = nn.Conv1d(in_channels, out_channels, 3, padding=1)
        self.norm_out = nn.GroupNorm(GROUPS, out_channels)
        self.film = Film(out_channels, embedding_channels, context_channels)
        self.conv_out = nn.Conv1d(out_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(_bias(self.conv_out))
        self.straight = nn.Identity() if in_channels == out_channels else nn.Conv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        """Map x (batch, in_channels, frames) to (batch, out_channels, frames)."""
        hidden = self.conv_in(nn.functional.silu(self.norm_in(x)))
        hidden = nn.functional.silu(self.film(self.norm_out(hidden), embedding, context))
        return self.straight(x) + self.conv_out(hidden)


class PlainBlock(nn.Module):
    """A residual block without FiLM, for the streams before the context exists."""

    def __init__(self, channels: int) -> None:
        """Make a block of two convolutions over 3 frames."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (batch, channels, frames) to the same shape."""
        return x + self.layers(x)


class AttentionFlow(nn.Module):
    """The attention regulation module: arousal and focus curves to the features h_A, at a quarter of the rate."""

    def __init__(self, curve_channels: int, channels: int, embedding_channels: int) -> None:
        """Make the convolutions that read `curve_channels` (curves and their flag)."""
        super().__init__()
        self.curves = nn.Sequential(
            nn.Conv1d(curve_channels, channels, 4, stride=4), nn.SiLU(), nn.Conv1d(channels, channels, 3, padding=1)
        )
        self.embedding = nn.Linear(embedding_channels, channels)

    def forward(self, curves: Tensor, embedding: Tensor) -> Tensor:
        """Map curves (batch, curve_channels, frames) to h_A at time t, (batch, channels, frames / 4)."""
        return self.curves(curves) + self.embedding(embedding)[:, :, None]


class AttentionFlowInjection(nn.Module):
    """Injects h_A into a layer: f = gamma_t phi(z_t) + lambda_t psi(h_A, t) (000 eq. 16 to 20), added to the layer.

    phi(z) = sigmoid(W2 GELU(W1 z + b1) + b2); psi = softmax(Q(h_A) K(h_A)^T / sqrt(d_k)) V(h_A), where h_A already
    carries t; gamma_t = sigmoid(k1 (t - t0)) over t in [0, 1], lambda_t = 1 - gamma_t, k1 and t0 learned. The paper
    makes f the whole denoising function; inside a U-Net layer it is projected (from zero) and added.
    """

    def __init__(self, channels: int, flow_channels: int, rate: int) -> None:
        """Make an injection into a layer of `channels` that runs at `rate` times the rate of h_A."""
        super().__init__()
        self.rate = rate
        self.scale = flow_channels**-0.5
        self.phi = nn.Sequential(
            nn.Conv1d(channels, flow_channels, 1), nn.GELU(), nn.Conv1d(flow_channels, flow_channels, 1), nn.Sigmoid()
        )
        self.query_key_value = nn.Conv1d(flow_channels, 3 * flow_channels, 1)
        self.k1 = nn.Parameter(torch.tensor(6.0))
        self.t0 = nn.Parameter(torch.tensor(0.5))
        self.out = nn.Conv1d(flow_channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(_bias(self.out))

    def forward(self, x: Tensor, flow: Tensor, time: Tensor) -> Tensor:
        """Return the layer with f added.

        Args:
            x: the layer z_t, (batch, channels, frames).
            flow: h_A, (batch, flow_channels, frames / rate).
            time: t / timesteps, (batch,) in [0, 1].
        """
        query, key, value = self.query_key_value(flow).chunk(3, dim=1)
        weights = (query.transpose(1, 2) @ key * self.scale).softmax(dim=-1)
        psi = (value @ weights.to(value.dtype).transpose(1, 2)).repeat_interleave(self.rate, dim=-1)
        gamma = torch.sigmoid(self.k1 * (time - self.t0))[:, None, None]
        return x + self.out(gamma * self.phi(x) + (1.0 - gamma) * psi)


def _bias(layer: nn.Conv1d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
