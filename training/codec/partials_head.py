"""From latents to the oscillator bank: trained on its own, many frames a step, so that pitch comes first."""

import torch
from torch import Tensor, nn

from engine.geometry import LATENT_CHANNELS, SPECTRA_PER_FRAME
from training.codec import bank

CONTEXT_FRAMES = 3  # the frame before, the frame, the frame after


class PartialsHead(nn.Module):
    """Three latent frames to compressed amplitudes at four hops, and to offsets, of every oscillator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(CONTEXT_FRAMES * LATENT_CHANNELS, width),
            nn.GELU(approximate="tanh"),
            nn.Linear(width, width),
            nn.GELU(approximate="tanh"),
            nn.Linear(width, (SPECTRA_PER_FRAME + 1) * bank.OSCILLATORS),
        )

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Read the bank off latents.

        Args:
            latents: (batch, 64, frames + 2), one frame before the first and one after the last.

        Returns:
            amplitudes before the ramp and offsets before the tanh, (batch, 4 x frames, OSCILLATORS) each.
        """
        by_frame = latents.transpose(1, 2)
        context = torch.cat([by_frame[:, :-2], by_frame[:, 1:-1], by_frame[:, 2:]], dim=2)
        rows = self.layers(context)
        amplitude, offset = rows.split((SPECTRA_PER_FRAME * bank.OSCILLATORS, bank.OSCILLATORS), dim=2)
        hops = amplitude.unflatten(2, (SPECTRA_PER_FRAME, bank.OSCILLATORS)).flatten(1, 2)
        return hops, offset.repeat_interleave(SPECTRA_PER_FRAME, dim=1)
