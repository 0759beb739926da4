"""The networks of a bundle in eager torch, behind the interface that the engine expects of one."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from engine.geometry import LATENT_CHANNELS
from engine.manifest import SamplingFacts
from engine.spectra import Array
from training.codec.decoder import Decoder, DecoderConfig
from training.codec.encoder import Encoder, EncoderConfig
from training.codec.model import DecoderGraph, EncoderGraph
from training.denoiser.model import Denoiser, DenoiserConfig

States = Mapping[str, Array]


class EagerBundle:
    """Networks of the factory bundle's sizes with fresh weights: speed does not depend on what they learned."""

    def __init__(self, threads: int) -> None:
        """Build the networks and let torch use `threads` threads."""
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.encoder = EncoderGraph(Encoder(EncoderConfig())).eval()
        self.decoder = DecoderGraph(Decoder(DecoderConfig())).eval()
        self.denoiser = Denoiser(DenoiserConfig()).eval()
        self.latent_mean = np.zeros(LATENT_CHANNELS, np.float32)
        self.latent_std = np.ones(LATENT_CHANNELS, np.float32)
        self.sampling = SamplingFacts()
        self.harmony = None

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        """Return v (batch, 192, frames)."""
        (v,) = _run(self.denoiser, x, timestep, conditions, style)
        return v

    def run_encoder(self, features: Array, curves: Array, states: States) -> tuple[Array, States]:
        """Return latents (1, 64, frames) and the state."""
        latents, state = _run(self.encoder, features, curves, *states.values())
        return latents, {"state": state}

    def run_decoder(self, latents: Array, noise: Array, states: States) -> tuple[Array, States]:
        """Return the spectrum (batch, 2, hops, bins, 2) and the states."""
        spectrum, *after = _run(self.decoder, latents, noise, *states.values())
        return spectrum, dict(zip(states, after, strict=True))

    def encoder_states(self, batch: int) -> States:
        """Return the encoder's state before the first frame."""
        return {"state": self.encoder.encoder.stack.initial_state(batch).numpy()}

    def decoder_states(self, batch: int) -> States:
        """Return the decoder's states before the first frame."""
        states = self.decoder.decoder.initial_state(batch)
        return {name: state.numpy() for name, state in zip(("held", "slow", "fast", "phase"), states, strict=True)}


@torch.inference_mode()
def _run(network: nn.Module, *inputs: Array) -> tuple[Array, ...]:
    outputs = network(*(torch.from_numpy(np.ascontiguousarray(value)) for value in inputs))
    return tuple(output.numpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs))
