"""Which part of a song a call works on, so that a few bars of a long song cost a few bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES
from engine.planner import Chunk

Array = NDArray[np.float32]

WARM_UP_FRAMES = 256  # the slowest feature, focus, looks back 8 s; the oscillators settle sooner
SPAN_STEP_FRAMES = 128  # the decoder's noise repeats after as many, so it is the same wherever a span starts


@dataclass(frozen=True, slots=True)
class Span:
    """The frames of the song that a call works on: all windows, and enough before them to settle the codec."""

    start: int
    end: int

    @classmethod
    def around(cls, chunks: tuple[Chunk, ...], settling_frames: int = 0) -> Span:
        """Return the span of `chunks`, with `settling_frames` after them that the codec looks ahead."""
        settled = max(chunks[0].window_start - WARM_UP_FRAMES, 0)
        return cls(settled // SPAN_STEP_FRAMES * SPAN_STEP_FRAMES, chunks[-1].window_end + settling_frames)

    @property
    def frames(self) -> int:
        """The span's length."""
        return self.end - self.start

    @property
    def start_sample(self) -> int:
        """The song's sample at which the span starts."""
        return self.start * LATENT_HOP_SAMPLES

    def columns(self, frames: slice) -> slice:
        """Return absolute `frames` as columns of the span."""
        return slice(frames.start - self.start, frames.stop - self.start)

    def samples_in(self, samples: int) -> int:
        """Return how many of the span's samples a song of `samples` has."""
        return min(self.frames * LATENT_HOP_SAMPLES, samples - self.start_sample)

    def audio(self, audio: Array) -> Array:
        """Return the span of the song's `audio` (2, samples), with silence after the song's end."""
        cut = audio[:, self.start_sample : self.end * LATENT_HOP_SAMPLES]
        return np.pad(cut, ((0, 0), (0, self.frames * LATENT_HOP_SAMPLES - cut.shape[1])))
