"""The network that reads chords and key: attention over a song's units, which finds the bars that came before."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.chord_classes import CHORD_CLASSES
from engine.chord_reader import UNIT_CHANNELS
from engine.harmony_tables import MODES

FURTHEST_UNITS = 64
_FAR_BELOW = -1e4


class ChordNetwork(nn.Module):
    """From what is sung in each unit to the chord of each unit, and to how well the song suits the signature.

    Args:
        width: channels throughout.
        layers: how many times units hear each other.
        heads: of each attention; they share `width`.
        dropout: share of what is left out in training.
    """

    def __init__(self, width: int = 80, layers: int = 4, heads: int = 4, dropout: float = 0.1) -> None:
        """Make the layers."""
        super().__init__()
        self.inputs = nn.Linear(UNIT_CHANNELS, width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.outputs = nn.Linear(width, len(MODES) * CHORD_CLASSES)
        self.where_key_shows = nn.Linear(width, heads)
        self.keys = nn.Linear(heads * width, len(MODES))

    def forward(self, units: Tensor, beyond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits of the chords (batch, units, MODES, CHORD_CLASSES) and of the keys (batch, MODES).

        The keys are the major and the minor one of the signature that channel 0 is the tonic of; their logits are
        comparable between signatures in which one song is seen. The chords are those that suit either.

        Args:
            units: (batch, units, UNIT_CHANNELS) from `engine.chord_reader.unit_channels`.
            beyond: (batch, units) true where a song of the batch has ended.
        """
        x = self.inputs(units)
        for layer in self.layers:
            x = layer(x, beyond)
        x = self.norm(x)
        attention = self.where_key_shows(x)
        if beyond is not None:
            attention = attention.masked_fill(beyond[..., None], _FAR_BELOW)
        heard = torch.softmax(attention, dim=1).transpose(1, 2) @ x
        chords = self.outputs(x).unflatten(2, (len(MODES), CHORD_CLASSES))
        return chords, self.keys(heard.flatten(1))


class _Layer(nn.Module):
    """Attention with a bias for each distance, neighbours by convolution, and a step for each unit alone."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.near_norm, self.alone_norm = (nn.LayerNorm(width) for _ in range(3))
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(torch.zeros(heads, 2 * FURTHEST_UNITS + 1))
        self.near = nn.Conv1d(width, width, 5, padding=2)
        self.alone = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, beyond: Tensor | None) -> Tensor:
        x = x + self.dropout(self._attend(self.attention_norm(x), beyond))
        near = self.near_norm(x)
        if beyond is not None:
            near = near.masked_fill(beyond[..., None], 0.0)
        x = x + self.dropout(functional.gelu(self.near(near.transpose(1, 2)).transpose(1, 2)))
        return x + self.dropout(self.alone(self.alone_norm(x)))

    def _attend(self, x: Tensor, beyond: Tensor | None) -> Tensor:
        batch, units, width = x.shape
        mixed = self.queries_keys_values(x).reshape(batch, units, 3, self.heads, width // self.heads)
        queries, keys, values = mixed.permute(2, 0, 3, 1, 4)
        place = torch.arange(units, device=x.device)
        distance = (place[None] - place[:, None]).clamp(-FURTHEST_UNITS, FURTHEST_UNITS) + FURTHEST_UNITS
        bias = self.distance_bias[:, distance][None]
        if beyond is not None:
            bias = bias.masked_fill(beyond[:, None, None, :], _FAR_BELOW)
        weights = torch.softmax(queries @ keys.transpose(-1, -2) / math.sqrt(width // self.heads) + bias, dim=-1)
        return self.attended((weights @ values).transpose(1, 2).reshape(batch, units, width))
