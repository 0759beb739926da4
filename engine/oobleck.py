"""A codec whose graphs go from audio to latents and back, such as Stable Audio Open's, over signals of any length.

Such graphs keep no state. A long signal runs in pieces of frames, each with a margin on both sides that is thrown away:
pieces equal the whole, and the memory is that of one piece.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from engine.geometry import AUDIO_CHANNELS, LATENT_CHANNELS, LATENT_HOP_SAMPLES, frames_covering
from engine.spectra import Array

PIECE_FRAMES = 64  # 3 s; at 128 channels and the audio's rate, 1 MB a frame and layer


@runtime_checkable
class AudioGraphs(Protocol):
    """What this codec needs of a bundle."""

    @property
    def encoder_margin_frames(self) -> int:
        """Frames on either side that a frame of latents depends on, at most."""

    @property
    def decoder_margin_frames(self) -> int:
        """Frames on either side that a frame of audio depends on, at most."""

    def latents_of(self, audio: Array) -> Array:
        """Map audio (1, 2, 2048 x frames) to latents (1, 64, frames)."""

    def audio_of(self, latents: Array) -> Array:
        """Map latents (1, 64, frames) to audio (1, 2, 2048 x frames)."""


def margin_frames(lookahead_frames: int) -> int:
    """Return the margin that covers the receptive field of a graph that looks `lookahead_frames` ahead of a frame.

    Kernels are symmetric, so a frame reads as far back from its first sample as ahead of its last one; the declared
    look-ahead is in whole frames from the first sample, so the way back can take one frame more.
    """
    return lookahead_frames + 1


def encode_audio(graphs: AudioGraphs, audio: Array) -> Array:
    """Return the latents (64, frames) of audio (2, samples): as many frames as cover the samples."""
    frames = frames_covering(audio.shape[1])
    latents = np.empty((LATENT_CHANNELS, frames), np.float32)
    for new, context in _pieces(frames, graphs.encoder_margin_frames):
        cut = audio[:, context.start * LATENT_HOP_SAMPLES : context.stop * LATENT_HOP_SAMPLES]
        missing = (context.stop - context.start) * LATENT_HOP_SAMPLES - cut.shape[1]
        piece = graphs.latents_of(np.pad(cut, ((0, 0), (0, missing)))[None])[0]
        latents[:, new] = piece[:, new.start - context.start : new.stop - context.start]
    return latents


def decode_audio(
    graphs: AudioGraphs, latents: Array, samples: int, progress: Callable[[float], None] | None = None
) -> Array:
    """Return the audio (stems, 2, samples) of latents (stems, 64, frames), one stem after another.

    Args:
        graphs: a bundle.
        latents: (stems, 64, frames).
        samples: how many samples to return, at most frames x 2048.
        progress: called with the share done, in [0, 1].
    """
    stems, _, frames = latents.shape
    audio = np.empty((stems, AUDIO_CHANNELS, frames * LATENT_HOP_SAMPLES), np.float32)
    for stem in range(stems):
        for new, context in _pieces(frames, graphs.decoder_margin_frames):
            piece = graphs.audio_of(latents[stem : stem + 1, :, context])[0]
            first = (new.start - context.start) * LATENT_HOP_SAMPLES
            into = slice(new.start * LATENT_HOP_SAMPLES, new.stop * LATENT_HOP_SAMPLES)
            audio[stem, :, into] = piece[:, first : first + into.stop - into.start]
            if progress is not None:
                progress((stem * frames + new.stop) / (stems * frames))
    return audio[:, :, :samples]


def _pieces(frames: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield the new frames of each piece, in order, and these with their margins, as far as the signal goes."""
    for start in range(0, frames, PIECE_FRAMES):
        end = min(start + PIECE_FRAMES, frames)
        yield slice(start, end), slice(max(start - margin, 0), min(end + margin, frames))
