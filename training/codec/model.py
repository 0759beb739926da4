"""The codec's graphs as a bundle holds them: inputs, outputs and states of docs/contracts.md."""

import torch
from torch import Tensor, nn

from engine.features import FEATURE_CHANNELS
from engine.geometry import LATENT_CHANNELS, SPECTRA_PER_FRAME, SPECTRUM_BINS
from training.codec.decoder import Decoder
from training.codec.encoder import Encoder


class EncoderGraph(nn.Module):
    """Features to the latents' means: inference takes no sample."""

    input_names = ("features", "curves", "state")
    output_names = ("latents", "state_out")

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor, curves: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (batch, FEATURE_CHANNELS, frames), curves (batch, 2, frames) to latents (batch, 64, frames)."""
        mean, _, state = self.encoder(features, curves, state)
        return mean, state

    def example_inputs(self, batch: int, frames: int) -> tuple[Tensor, ...]:
        """Return random inputs for export and parity."""
        features, curves = torch.rand(batch, FEATURE_CHANNELS, frames), torch.rand(batch, 2, frames)
        return features, curves, torch.randn(batch, *self.encoder.stack.state_shape)


class DecoderGraph(nn.Module):
    """Latents and noise to the spectrum of left and right."""

    input_names = ("latents", "noise", "held", "slow", "fast", "phase")
    output_names = ("spectrum", "held_out", "slow_out", "fast_out", "phase_out")

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, latents: Tensor, noise: Tensor, held: Tensor, slow: Tensor, fast: Tensor, phase: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Map latents (batch, 64, frames) and noise (2, 2, hops, bins) to a spectrum (batch, 2, hops, bins, 2)."""
        outputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = self.decoder(latents, noise, held, slow, fast, phase)
        return outputs

    def example_inputs(self, batch: int, frames: int) -> tuple[Tensor, ...]:
        """Return random inputs for export and parity."""
        held, slow, fast, phase = self.decoder.initial_state(batch)
        noise = torch.randn(2, 2, SPECTRA_PER_FRAME * frames, SPECTRUM_BINS)
        states = torch.randn_like(held), torch.randn_like(slow), torch.randn_like(fast), torch.rand_like(phase)
        return torch.randn(batch, LATENT_CHANNELS, frames), noise, *states
