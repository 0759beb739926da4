"""Soft alignment attention: local detail and global structure, mixed by how noisy the input is (001 section IV-B).

| name here | symbol | meaning |
| --- | --- | --- |
| `alpha_bar` | alpha_bar_t | share of signal power left at timestep t; near 0 at the noisy end |
| `global_context` | Global | attention over all frames, rotary positions in queries and keys |
| `local_context` | Local | attention within a sliding window of 16 frames, projections by convolution |
| the result | C = (1 - alpha_bar_t) Global + alpha_bar_t Local | structure first, detail last |

The formulas are missing from the paper's text; model.md states the mix, and rotary positions are those of Su et al.,
"RoFormer" (2021). No shape decides a branch, so that batch and frames stay dynamic in ONNX.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LOCAL_WINDOW_FRAMES = 16
HEADS = 8
HEAD_CHANNELS = 64
ROTARY_BASE = 10_000.0
MASKED = -1e4


def rotary_angles(frames: int, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the rotary positions, each (frames, channels / 2) float32."""
    index = torch.arange(channels // 2, device=device, dtype=torch.float32)
    frequency = ROTARY_BASE ** (-2.0 * index / channels)
    angle = torch.arange(frames, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair of channels of `x` (..., frames, channels) by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


def split_heads(x: Tensor) -> Tensor:
    """Turn (batch, HEADS * HEAD_CHANNELS, frames) into (batch, HEADS, frames, HEAD_CHANNELS)."""
    return x.unflatten(1, (HEADS, HEAD_CHANNELS)).transpose(2, 3)


def merge_heads(x: Tensor) -> Tensor:
    """Turn (batch, HEADS, frames, HEAD_CHANNELS) back into (batch, HEADS * HEAD_CHANNELS, frames)."""
    return x.transpose(2, 3).flatten(1, 2)


def window_offsets(window: int = LOCAL_WINDOW_FRAMES) -> Tensor:
    """Return key minus query positions in a block, (window queries, 2 window keys); keys begin window / 2 earlier."""
    query = torch.arange(window)[:, None]
    key = torch.arange(2 * window)[None, :] - window // 2
    return key - query


class GlobalAttention(nn.Module):
    """Every query frame looks at every source frame; rotary positions say how far away it is."""

    def __init__(self, query_channels: int, source_channels: int) -> None:
        """Make the projections from `query_channels` and `source_channels` to the heads."""
        super().__init__()
        inner = HEADS * HEAD_CHANNELS
        self.query = nn.Conv1d(query_channels, inner, 1, bias=False)
        self.key_value = nn.Conv1d(source_channels, 2 * inner, 1, bias=False)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Map x (batch, query_channels, frames) and source (batch, source_channels, frames) to (batch, 512, frames)."""
        cosine, sine = rotary_angles(x.shape[-1], HEAD_CHANNELS, x.device)
        key, value = self.key_value(source).chunk(2, dim=1)
        query = rotated(split_heads(self.query(x)), cosine, sine)
        key = rotated(split_heads(key), cosine, sine)
        value = split_heads(value)
        dtype = value.dtype
        return merge_heads(functional.scaled_dot_product_attention(query.to(dtype), key.to(dtype), value))


class LocalAttention(nn.Module):
    """Every query frame looks at the 16 source frames around it: 8 before, itself and 7 after.

    Computed in blocks of 16 queries against the 32 keys that can be in reach, with a band mask and a learned bias for
    each offset and head. Frames need not be a multiple of 16: the rest of the last block is padded and masked.
    """

    offsets: Tensor

    def __init__(self, query_channels: int, source_channels: int) -> None:
        """Make the convolutional projections: depthwise over 3 frames, then pointwise to the heads."""
        super().__init__()
        inner = HEADS * HEAD_CHANNELS
        self.query = _convolutional_projection(query_channels, inner)
        self.key_value = _convolutional_projection(source_channels, 2 * inner)
        self.offset_bias = nn.Parameter(torch.zeros(HEADS, LOCAL_WINDOW_FRAMES))
        self.register_buffer("offsets", window_offsets(), persistent=False)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Map x (batch, query_channels, frames) and source (batch, source_channels, frames) to (batch, 512, frames)."""
        frames = x.shape[-1]
        blocks = (frames + LOCAL_WINDOW_FRAMES - 1) // LOCAL_WINDOW_FRAMES
        key, value = self.key_value(source).chunk(2, dim=1)
        query = _query_blocks(self.query(x), blocks)
        key, value = _key_blocks(key, blocks), _key_blocks(value, blocks)
        scores = query @ key.transpose(-1, -2) * HEAD_CHANNELS**-0.5 + self._bias(blocks, frames).to(query.dtype)
        context = (scores.softmax(dim=-1).to(value.dtype) @ value).flatten(2, 3)
        return merge_heads(context[:, :, :frames])

    def _bias(self, blocks: int, frames: int) -> Tensor:
        """Return what is added to the scores, (HEADS, blocks, 16, 32): offset bias, or MASKED out of reach."""
        half = LOCAL_WINDOW_FRAMES // 2
        reach = (self.offsets >= -half) & (self.offsets < half)
        bias = self.offset_bias[:, (self.offsets + half).clamp(0, LOCAL_WINDOW_FRAMES - 1)]
        banded = torch.where(reach, bias, MASKED)
        start = torch.arange(blocks, device=self.offsets.device)[:, None] * LOCAL_WINDOW_FRAMES - half
        position = start + torch.arange(2 * LOCAL_WINDOW_FRAMES, device=self.offsets.device)
        outside = ((position < 0) | (position >= frames)).to(banded.dtype) * MASKED
        return banded[:, None] + outside[None, :, None, :]


def _convolutional_projection(channels: int, inner: int) -> nn.Sequential:
    depthwise = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(depthwise, nn.Conv1d(channels, inner, 1, bias=False))


def _query_blocks(x: Tensor, blocks: int) -> Tensor:
    """Cut (batch, 512, frames) into (batch, HEADS, blocks, 16, HEAD_CHANNELS), zeros behind the end."""
    heads = split_heads(functional.pad(x, (0, LOCAL_WINDOW_FRAMES)))
    return heads[:, :, : blocks * LOCAL_WINDOW_FRAMES].unflatten(2, (blocks, LOCAL_WINDOW_FRAMES))


def _key_blocks(x: Tensor, blocks: int) -> Tensor:
    """Cut (batch, 512, frames) into overlapping (batch, HEADS, blocks, 32, HEAD_CHANNELS), 8 frames of halo a side."""
    half, window = LOCAL_WINDOW_FRAMES // 2, LOCAL_WINDOW_FRAMES
    heads = split_heads(functional.pad(x, (half, 2 * window)))
    length = blocks * window
    early = heads[:, :, :length].unflatten(2, (blocks, window))
    late = heads[:, :, window : window + length].unflatten(2, (blocks, window))
    return torch.cat((early, late), dim=3)


class SoftAlignmentAttention(nn.Module):
    """Global and local attention from one stream to another, mixed by the noise level, projected to `out_channels`."""

    def __init__(self, query_channels: int, source_channels: int, out_channels: int) -> None:
        """Make both attentions, the norms before them and the projection behind them."""
        super().__init__()
        self.query_norm = nn.GroupNorm(HEADS, query_channels)
        self.source_norm = nn.GroupNorm(HEADS, source_channels)
        self.global_attention = GlobalAttention(query_channels, source_channels)
        self.local_attention = LocalAttention(query_channels, source_channels)
        self.out = nn.Conv1d(HEADS * HEAD_CHANNELS, out_channels, 1)

    def forward(self, x: Tensor, source: Tensor, alpha_bar: Tensor) -> Tensor:
        """Return the context C.

        Args:
            x: queries, (batch, query_channels, frames).
            source: keys and values, (batch, source_channels, frames).
            alpha_bar: (batch,) in [0, 1].

        Returns:
            (batch, out_channels, frames).
        """
        x, source = self.query_norm(x), self.source_norm(source)
        weight = alpha_bar[:, None, None]
        global_context = self.global_attention(x, source)
        local_context = self.local_attention(x, source)
        return self.out((1.0 - weight) * global_context + weight * local_context)
