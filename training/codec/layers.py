"""Causal building blocks with explicit state: `forward(x, past) -> (y, past)`, as the exported graphs need them."""

import torch
from torch import Tensor, nn


class CausalConvNeXt(nn.Module):
    """A causal one-dimensional ConvNeXt block (Liu et al. 2022; Siuzdak 2023 for audio).

    Args:
        width: channels.
        kernel: taps of the depthwise convolution, all in the past or now.
        expansion: width of the hidden layer over `width`.
    """

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.past_frames = kernel - 1
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.contract = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (batch, width, frames) and past (batch, width, kernel - 1) to y and the new past."""
        padded = torch.cat([past, x], dim=2)
        hidden = self.norm(self.depthwise(padded).transpose(1, 2))  # (batch, frames, width)
        hidden = self.contract(nn.functional.gelu(self.expand(hidden), approximate="tanh"))
        return x + (hidden * self.scale).transpose(1, 2), padded[:, :, -self.past_frames :]


class CausalStack(nn.Module):
    """Blocks in a row; their pasts travel as one tensor (batch, blocks, width, kernel - 1)."""

    def __init__(self, blocks: int, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CausalConvNeXt(width, kernel, expansion) for _ in range(blocks))
        self.state_shape = (blocks, width, kernel - 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (batch, width, frames) and the state to y and the new state."""
        pasts = []
        for index, block in enumerate(self.blocks):
            x, past = block(x, state[:, index])
            pasts.append(past)
        return x, torch.stack(pasts, dim=1)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first frame: zeros."""
        return torch.zeros(batch, *self.state_shape)


class ChannelAttention(nn.Module):
    """Attention across the C feature channels of each frame (000, section 2.1.1): every channel reads the others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (batch, frames, channels, width) to the same shape."""
        batch, frames, channels, width = tokens.shape
        split = self.query_key_value(self.norm(tokens)).reshape(
            batch, frames, channels, 3, self.heads, width // self.heads
        )
        query, key, value = split.permute(3, 0, 1, 4, 2, 5).unbind(0)  # (batch, frames, heads, channels, depth)
        weights = (query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(dim=-1)
        mixed = (weights @ value).transpose(2, 3).reshape(batch, frames, channels, width)
        return tokens + self.out(mixed)
