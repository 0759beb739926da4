"""One window of the denoiser: what was heard, the song's timeline and a wish in, normalised latents out.

Offline and live work alike from here on: both say which frames are known and take from the result what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine import codec
from engine.conditions import (
    Conditions,
    attention_conditions,
    chord_conditions,
    key_conditions,
    known_conditions,
    pack,
    position_conditions,
    style_weights,
    timeline_conditions,
    vocal_conditions,
)
from engine.geometry import LATENT_CHANNELS, STEMS
from engine.harmoniser import Harmoniser
from engine.manifest import SamplingFacts
from engine.sampler import Known, sample
from engine.timeline import Timeline
from engine.wish import Wish

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Model(codec.CodecGraphs, Protocol):
    """What making music needs of a bundle: the codec's graphs, and these."""

    @property
    def latent_mean(self) -> Array:
        """(64,) mean of the codec's latents."""

    @property
    def latent_std(self) -> Array:
        """(64,) deviation of the codec's latents."""

    @property
    def sampling(self) -> SamplingFacts:
        """What the denoiser was trained for."""

    @property
    def harmony(self) -> Harmoniser | None:
        """What key and chords are read off a vocal with, if the bundle has it."""

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        """Return v; see `engine.sampler.Denoise`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the conditions are made from.

    Attributes:
        vocal_latents: (64, frames) normalised.
        vocal_pitch: (14, frames) chroma, voicing, energy.
        curves: (2, frames) arousal and focus.
        visible: (frames,) where the vocal is known; None for everywhere.
    """

    vocal_latents: Array
    vocal_pitch: Array
    curves: Array
    visible: Bools | None = None

    def cut(self, columns: slice) -> Heard:
        """Return the part in `columns`."""
        visible = None if self.visible is None else self.visible[columns]
        return Heard(self.vocal_latents[:, columns], self.vocal_pitch[:, columns], self.curves[:, columns], visible)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a window lies.

    Attributes:
        start_frame: absolute frame of the first column.
        timeline: the song's tempos and time signatures.
        song_frames: the song's length; None where nobody knows it, as when playing live.
    """

    start_frame: int
    timeline: Timeline
    song_frames: int | None = None


def window_conditions(heard: Heard, place: Place, wish: Wish, known: Known) -> Array:
    """Return the packed conditions (CONDITION_CHANNELS, frames) of a window."""
    start, frames = place.start_frame, known.mask.shape[1]
    vocal_latents, vocal_pitch = vocal_conditions(heard.vocal_latents, heard.vocal_pitch, heard.visible)
    conditions = Conditions(
        vocal_latents=vocal_latents,
        vocal_pitch=vocal_pitch,
        timeline=timeline_conditions(place.timeline, start, frames),
        chord=chord_conditions(wish.chords, place.timeline, start, frames) if wish.chords else None,
        key=key_conditions(wish.key, frames) if wish.key else None,
        attention=attention_conditions(wish.curves(heard.curves), wish.sets_attention),
        position=position_conditions(start, frames, place.song_frames) if place.song_frames else None,
        known=known_conditions(known.latents.reshape(len(STEMS), LATENT_CHANNELS, frames), known.mask),
    )
    return pack(conditions, frames)


def sample_window(
    model: Model,
    conditions: Array,
    noise: Array,
    wish: Wish,
    known: Known,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """Return the normalised latents (192, frames) of a window; known ones come back bit for bit.

    Args:
        model: the bundle.
        conditions: what `window_conditions` gave.
        noise: (192, frames), see `engine.noise`.
        wish: its style, steps and guidance.
        known: what is there already.
        progress: called after each step; what it raises ends the sampling.
    """
    style = style_weights(wish.style)
    # Guidance in the weights moved the conditioned prediction alone, so the rest of the way is their ratio.
    guidance_scale = wish.guidance_scale / model.sampling.distilled_guidance_scale
    return sample(model.denoise, noise, conditions, style, wish.steps, guidance_scale, known, progress)


def normalised(model: Model, latents: Array) -> Array:
    """Return `latents` (64, frames) as the denoiser sees them."""
    return (latents - model.latent_mean[:, None]) / model.latent_std[:, None]


def raw(model: Model, latents: Array) -> Array:
    """Return `latents` (192, frames) as the codec sees them: (stems, 64, frames)."""
    by_stem = latents.reshape(len(STEMS), LATENT_CHANNELS, -1)
    return by_stem * model.latent_std[:, None] + model.latent_mean[:, None]
