"""The codec at run time: streaming encoder and decoder around a bundle's graphs, and their whole-signal forms.

Both work in steps `(x, state) -> (y, state)`; a whole signal is the same steps over pieces that fit the cache, so what
is streamed equals what is made at once. The decoder's graph gives a
zero-phase spectrum; the inverse transform is numpy's. A bundle whose codec goes from audio to latents and back has the
whole-signal forms alone: they hand over to `engine.oobleck`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from engine.expander import Expander
from engine.features import LOOKAHEAD_SAMPLES, FeatureState, features_of, features_step
from engine.geometry import (
    LATENT_CHANNELS,
    LATENT_HOP_SAMPLES,
    SPECTRA_PER_FRAME,
    SPECTRUM_BINS,
    SPECTRUM_HOP_SAMPLES,
    SPECTRUM_WINDOW_SAMPLES,
    frames_covering,
)
from engine.oobleck import AudioGraphs, decode_audio, encode_audio
from engine.spectra import Array, hann

PIECE_FRAMES = 16
DECODER_LOOKAHEAD_FRAMES = 2  # one in the network, one for the overlap of the inverse transform
NETWORK_LOOKAHEAD_FRAMES = 1
_ENCODER_PIECE_SAMPLES = 256 * LATENT_HOP_SAMPLES  # bounds the memory of a long song
_OVERLAP_GAIN = 1.5  # squared Hann windows at a quarter of their length add up to this
_EDGE_SAMPLES = SPECTRUM_WINDOW_SAMPLES // 2 - SPECTRUM_HOP_SAMPLES // 2
_NOISE_SEED = 0x6E6F6973
_NOISE_HOPS = 512  # about 6 s until the noise repeats

States = Mapping[str, Array]


class CodecGraphs(Protocol):
    """What the codec needs of a bundle: its graphs as functions, and the shapes of their states."""

    def run_encoder(self, features: Array, curves: Array, states: States) -> tuple[Array, States]:
        """Map features (1, FEATURE_CHANNELS, frames) and curves (1, 2, frames) to latents (1, 64, frames)."""
        ...

    def run_decoder(self, latents: Array, noise: Array, states: States) -> tuple[Array, States]:
        """Map latents (batch, 64, frames) and noise (2, 2, hops, bins) to a spectrum (batch, 2, hops, bins, 2)."""
        ...

    def encoder_states(self, batch: int) -> States:
        """Return the encoder's state before the first frame."""
        ...

    def decoder_states(self, batch: int) -> States:
        """Return the decoder's state before the first frame."""
        ...


def settling_frames(graphs: CodecGraphs) -> int:
    """Return the frames that a part of a song needs after it beyond what its last window sees, to be coded as a whole.

    The spectral codec's few are within the windows; an audio codec's are those that its manifest declares.
    """
    if isinstance(graphs, AudioGraphs):
        return graphs.encoder_margin_frames + graphs.decoder_margin_frames
    return 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A signal as the model sees it.

    Attributes:
        latents: (64, frames), as the encoder gives them.
        pitch: (14, frames): chroma 12, voicing, energy.
        curves: (2, frames): arousal, focus.
    """

    latents: Array
    pitch: Array
    curves: Array


@dataclass(frozen=True, slots=True)
class EncoderState:
    """What a stream of audio leaves in the encoder."""

    features: FeatureState
    graph: States

    @staticmethod
    def initial(graphs: CodecGraphs) -> "EncoderState":
        """Return the state before the first sample."""
        return EncoderState(FeatureState.initial(), graphs.encoder_states(1))


def encode_step(graphs: CodecGraphs, audio: Array, state: EncoderState) -> tuple[Encoded, EncoderState]:
    """Encode the next block of a stream, (2, samples) of any length; frames come two latent frames late at most."""
    features, feature_state = features_step(audio, state.features)
    graph_state, pieces = state.graph, [np.zeros((LATENT_CHANNELS, 0), np.float32)]
    if features.packed.shape[1]:
        latents, graph_state = graphs.run_encoder(features.packed[None], features.curves[None], state.graph)
        pieces.append(latents[0])
    encoded = Encoded(np.concatenate(pieces, axis=1), features.pitch, features.curves)
    return encoded, EncoderState(feature_state, graph_state)


def encode(graphs: CodecGraphs, audio: Array) -> Encoded:
    """Encode a whole signal.

    Args:
        graphs: a bundle.
        audio: (2, samples) float32 in [-1, 1] at 44.1 kHz.

    Returns:
        As many frames as cover the samples.
    """
    if isinstance(graphs, AudioGraphs):
        heard = features_of(audio)
        return Encoded(encode_audio(graphs, audio), heard.pitch, heard.curves)
    samples = audio.shape[1]
    padding = frames_covering(samples) * LATENT_HOP_SAMPLES - samples + LOOKAHEAD_SAMPLES
    padded = np.pad(audio, ((0, 0), (0, padding)))
    state, pieces = EncoderState.initial(graphs), []
    for first in range(0, padded.shape[1], _ENCODER_PIECE_SAMPLES):
        piece, state = encode_step(graphs, padded[:, first : first + _ENCODER_PIECE_SAMPLES], state)
        pieces.append(piece)
    names = [field.name for field in fields(Encoded)]
    return Encoded(*(np.concatenate([getattr(piece, name) for piece in pieces], axis=1) for name in names))


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What a stream of latents leaves in the decoder.

    Attributes:
        graph: the graph's own states.
        frame: latent frames taken in so far.
        overlap: (batch, 2, 1536 samples) of frames begun but not finished; audio before it has been given out.
        pending: (batch, 2, samples) finished audio that does not fill a latent frame yet.
    """

    graph: States
    frame: int
    overlap: Array
    pending: Array

    @staticmethod
    def initial(graphs: CodecGraphs, batch: int) -> "DecoderState":
        """Return the state before the first latent frame."""
        overlap = np.zeros((batch, 2, SPECTRUM_WINDOW_SAMPLES - SPECTRUM_HOP_SAMPLES), np.float32)
        return DecoderState(graphs.decoder_states(batch), 0, overlap, np.zeros((batch, 2, 0), np.float32))

    @staticmethod
    def after_silence(graphs: CodecGraphs, batch: int, frame: int) -> "DecoderState":
        """Return the state before latent frame `frame` as if nothing had sounded before it.

        Raises:
            ValueError: `frame` is under 2, where a stream begins with `initial`.
        """
        if frame < DECODER_LOOKAHEAD_FRAMES:
            raise ValueError(f"frame {frame} is too early to start in the middle; start at frame 0 with initial()")
        state = DecoderState.initial(graphs, batch)
        pending = np.zeros((batch, 2, LATENT_HOP_SAMPLES - _EDGE_SAMPLES), np.float32)
        return DecoderState(state.graph, frame, state.overlap, pending)


def decode_step(
    graphs: CodecGraphs, latents: Array, state: DecoderState, expander: Expander | None = None
) -> tuple[Array, DecoderState]:
    """Decode the next latent frames of a stream.

    Args:
        graphs: a bundle.
        latents: (batch, 64, frames), frames at least 1.
        state: what the frames before left.
        expander: what the spectrum goes through; None for the decoder's own sound.

    Returns:
        (batch, 2, samples) in whole latent frames, `DECODER_LOOKAHEAD_FRAMES` late, and the state.
    """
    frames = latents.shape[2]
    noise = noise_of_hops((state.frame - NETWORK_LOOKAHEAD_FRAMES) * SPECTRA_PER_FRAME, frames * SPECTRA_PER_FRAME)
    spectrum, graph = graphs.run_decoder(latents, noise, state.graph)
    if expander is not None:
        expander.expand(spectrum)
    early = max(0, NETWORK_LOOKAHEAD_FRAMES - state.frame) * SPECTRA_PER_FRAME
    finished, overlap = _overlap_add(spectrum[:, :, early:], state.overlap)
    if state.frame <= NETWORK_LOOKAHEAD_FRAMES < state.frame + frames:
        finished = finished[:, :, _EDGE_SAMPLES:]  # the first hop's window begins before the first sample
    ready = np.concatenate([state.pending, finished], axis=2)
    whole = ready.shape[2] // LATENT_HOP_SAMPLES * LATENT_HOP_SAMPLES
    return ready[:, :, :whole], DecoderState(graph, state.frame + frames, overlap, ready[:, :, whole:])


def decode(
    graphs: CodecGraphs,
    latents: Array,
    samples: int,
    progress: Callable[[float], None] | None = None,
    expander: Expander | None = None,
) -> Array:
    """Decode whole stems in pieces that fit the cache, all stems in one call of the graph.

    Args:
        graphs: a bundle.
        latents: (stems, 64, frames).
        samples: how many samples to return, at most frames x 2048.
        progress: called with the share done, in [0, 1].
        expander: see `decode_step`; without effect on a codec that gives audio at once.

    Returns:
        (stems, 2, samples) float32.
    """
    if isinstance(graphs, AudioGraphs):
        return decode_audio(graphs, latents, samples, progress)
    batch, _, frames = latents.shape
    flushed = np.concatenate([latents, np.repeat(latents[:, :, -1:], DECODER_LOOKAHEAD_FRAMES, axis=2)], axis=2)
    sound = np.empty((batch, 2, frames * LATENT_HOP_SAMPLES), np.float32)
    state, written = DecoderState.initial(graphs, batch), 0
    for first in range(0, flushed.shape[2], PIECE_FRAMES):
        piece, state = decode_step(graphs, flushed[:, :, first : first + PIECE_FRAMES], state, expander)
        kept = min(piece.shape[2], sound.shape[2] - written)
        sound[:, :, written : written + kept] = piece[:, :, :kept]
        written += kept
        if progress is not None:
            progress(min(1.0, (first + PIECE_FRAMES) / flushed.shape[2]))
    return sound[:, :, :samples]


def noise_of_hops(first: int, hops: int) -> Array:
    """Return the decoder's noise for absolute hops: (2 mid/side, 2 re/im, hops, SPECTRUM_BINS), unit variance.

    It is a fixed table that repeats, so it depends on nothing but the hop's number.
    """
    return _noise_table()[:, :, np.arange(first, first + hops) % _NOISE_HOPS]


_table: list[Array] = []


def _noise_table() -> Array:
    if not _table:
        rng = np.random.default_rng(_NOISE_SEED)
        noise = rng.standard_normal((2, 2, _NOISE_HOPS, SPECTRUM_BINS), np.float32)
        _table.append(noise * np.float32(0.5**0.5))
    return _table[0]


def _overlap_add(spectrum: Array, overlap: Array) -> tuple[Array, Array]:
    """Turn spectra (batch, 2, hops, bins, 2) into sound; returns finished samples and the new overlap."""
    batch, channels, hops = spectrum.shape[:3]
    window = hann(SPECTRUM_WINDOW_SAMPLES)
    gain = np.float32(window.sum() / (2 * _OVERLAP_GAIN))
    zero_phase = np.ascontiguousarray(spectrum).view(np.complex64)[..., 0]
    frames = np.fft.irfft(zero_phase, SPECTRUM_WINDOW_SAMPLES).astype(np.float32, copy=False)
    half = SPECTRUM_WINDOW_SAMPLES // 2
    shifted = np.concatenate([frames[..., half:], frames[..., :half]], axis=-1) * (window * gain)
    total = np.zeros((batch, channels, hops + 3, SPECTRUM_HOP_SAMPLES), np.float32)
    total[:, :, :3] = overlap.reshape(batch, channels, 3, SPECTRUM_HOP_SAMPLES)
    quarters = shifted.reshape(batch, channels, hops, 4, SPECTRUM_HOP_SAMPLES)
    for quarter in range(4):
        total[:, :, quarter : quarter + hops] += quarters[:, :, :, quarter]
    finished = total[:, :, :hops].reshape(batch, channels, hops * SPECTRUM_HOP_SAMPLES)
    return finished, total[:, :, hops:].reshape(batch, channels, 3 * SPECTRUM_HOP_SAMPLES)
