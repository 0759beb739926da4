"""What the tests of the live engine share: the factory bundle, a watch on what its denoiser sees, and vocals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bridge.bounce import factory_bundle
from engine.bundle import Bundle
from engine.codec import States
from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.harmoniser import Harmoniser
from engine.manifest import SamplingFacts

Array = NDArray[np.float32]


@cache
def factory_model() -> Bundle:
    """Return the factory bundle, loaded once, as a live session loads it."""
    return Bundle.load(factory_bundle(), threads=1, offline=False)


@dataclass
class WatchedModel:
    """The factory bundle, with a note of each call of its denoiser; `harmony` None: chords are not read.

    Attributes:
        conditions: (passes, channels, frames) of each call.
        spoil: what to make of each v, to break it on purpose.
    """

    bundle: Bundle = field(default_factory=factory_model)
    harmony: Harmoniser | None = None
    conditions: list[Array] = field(default_factory=list)
    spoil: Callable[[Array], Array] | None = None

    @property
    def latent_mean(self) -> Array:
        return self.bundle.latent_mean

    @property
    def latent_std(self) -> Array:
        return self.bundle.latent_std

    @property
    def sampling(self) -> SamplingFacts:
        return self.bundle.sampling

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        self.conditions.append(conditions)
        v = self.bundle.denoise(x, timestep, conditions, style)
        return v if self.spoil is None else self.spoil(v)

    def run_encoder(self, features: Array, curves: Array, states: States) -> tuple[Array, States]:
        return self.bundle.run_encoder(features, curves, states)

    def run_decoder(self, latents: Array, noise: Array, states: States) -> tuple[Array, States]:
        return self.bundle.run_decoder(latents, noise, states)

    def encoder_states(self, batch: int) -> States:
        return self.bundle.encoder_states(batch)

    def decoder_states(self, batch: int) -> States:
        return self.bundle.decoder_states(batch)


def sung(frames: int, pitch_hz: float = 220.0, seed: int = 0) -> Array:
    """Return a vocal (2, samples) of `frames` latent frames: a voice of some harmonics, syllables, and a little air."""
    time = np.arange(frames * LATENT_HOP_SAMPLES) / SAMPLE_RATE_HZ
    syllables = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * 2.5 * time))
    phase = 2 * np.pi * pitch_hz * time + 0.3 * np.sin(2 * np.pi * 5.0 * time)
    tone = sum(np.sin(number * phase) / number for number in range(1, 6))
    air = np.random.default_rng(seed).standard_normal((2, len(time)))
    return (0.1 * syllables * tone + 0.005 * air).astype(np.float32)


def db(error: Array, signal: Array) -> float:
    """Return the level of `error` against `signal` in dB, -300 for none."""
    ratio = float(np.sqrt(np.mean(np.square(error, dtype=np.float64)) / np.mean(np.square(signal, dtype=np.float64))))
    return float(20.0 * np.log10(max(ratio, 1e-15)))
