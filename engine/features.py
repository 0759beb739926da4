"""What the codec's encoder and the conditions read off audio, in numpy, the same for training and inference.

Per latent frame (2048 samples) the features hold four channels (000, section 2.1.1):

| channel | rows | content |
| --- | --- | --- |
| mid, side | 4 x 96 each | mel-warped magnitudes of the four 512-sample hops, in scaled decibels |
| harmonic | 252 | constant-Q spectrum of mid over 8192 samples: smooth in time, resolves semitones |
| percussive | 4 x 96 | half-wave rectified flux of mid from hop to hop |

A frame reads `LOOKAHEAD_SAMPLES` beyond its end, two latent frames at most.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from engine.attention_curves import CurveState, attention_curves
from engine.geometry import LATENT_HOP_SAMPLES, SPECTRA_PER_FRAME, SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES
from engine.spectra import (
    CONSTANT_Q_BINS,
    CONSTANT_Q_WINDOW_SAMPLES,
    Array,
    constant_q,
    frames_at,
    magnitudes,
    mel_bank,
    scaled_decibels,
)
from engine.vocal_pitch import vocal_pitch

MEL_BANDS = 96
MEL_ROWS = SPECTRA_PER_FRAME * MEL_BANDS
FEATURE_SLICES = {
    "mid": slice(0, MEL_ROWS),
    "side": slice(MEL_ROWS, 2 * MEL_ROWS),
    "harmonic": slice(2 * MEL_ROWS, 2 * MEL_ROWS + CONSTANT_Q_BINS),
    "percussive": slice(2 * MEL_ROWS + CONSTANT_Q_BINS, 3 * MEL_ROWS + CONSTANT_Q_BINS),
}
FEATURE_CHANNELS = 3 * MEL_ROWS + CONSTANT_Q_BINS

# A long window is centred on its frame, a short one on its hop; one more hop before the first gives its flux.
_PAST_SAMPLES = CONSTANT_Q_WINDOW_SAMPLES // 2 - LATENT_HOP_SAMPLES // 2
LOOKAHEAD_SAMPLES = _PAST_SAMPLES
LOOKAHEAD_FRAMES = -(-LOOKAHEAD_SAMPLES // LATENT_HOP_SAMPLES)
_SHORT_OFFSET_SAMPLES = SPECTRUM_HOP_SAMPLES // 2 - SPECTRUM_WINDOW_SAMPLES // 2
PITCH_ROWS, CURVE_ROWS = 14, 2
_PIECE_FRAMES = 64  # keeps the transforms inside the cache


@dataclass(frozen=True, slots=True)
class Features:
    """What was read off a run of latent frames.

    Attributes:
        packed: (FEATURE_CHANNELS, frames), rows as in `FEATURE_SLICES`.
        pitch: (14, frames): chroma 12 (summing to the voicing), voicing, energy, all in [0, 1].
        curves: (2, frames): arousal and focus in [0, 1].
    """

    packed: Array
    pitch: Array
    curves: Array


@dataclass(frozen=True, slots=True)
class FeatureState:
    """What a stream of audio leaves behind between two blocks.

    Attributes:
        pending: (2, samples) audio not yet used up, the past of the next frame first.
        curves: state of the arousal and focus curves.
    """

    pending: Array
    curves: CurveState

    @staticmethod
    def initial() -> "FeatureState":
        """Return the state before the first sample, silence in the past."""
        return FeatureState(np.zeros((2, _PAST_SAMPLES), np.float32), CurveState.initial())


def features_step(audio: Array, state: FeatureState) -> tuple[Features, FeatureState]:
    """Read features off the next block of a stream; they come `LOOKAHEAD_SAMPLES` late.

    Args:
        audio: (2, samples) float32 in [-1, 1], any number of samples.
        state: what the block before left.

    Returns:
        The frames that are complete now, perhaps none, and the state for the next block.
    """
    pending = np.concatenate([state.pending, audio], axis=1)
    frames = max(0, (pending.shape[1] - _PAST_SAMPLES - LOOKAHEAD_SAMPLES) // LATENT_HOP_SAMPLES)
    if frames == 0:
        nothing = [np.zeros((rows, 0), np.float32) for rows in (FEATURE_CHANNELS, PITCH_ROWS, CURVE_ROWS)]
        return Features(*nothing), FeatureState(pending, state.curves)
    pieces = [np.zeros((FEATURE_CHANNELS, 0), np.float32)]
    starts = range(0, frames, _PIECE_FRAMES)
    pieces += [_packed(pending, first, min(_PIECE_FRAMES, frames - first)) for first in starts]
    packed = np.concatenate(pieces, axis=1)
    curves, curve_state = attention_curves(
        packed[FEATURE_SLICES["mid"]].reshape(SPECTRA_PER_FRAME, MEL_BANDS, frames),
        packed[FEATURE_SLICES["percussive"]].reshape(SPECTRA_PER_FRAME, MEL_BANDS, frames),
        packed[FEATURE_SLICES["harmonic"]],
        state.curves,
    )
    pitch = vocal_pitch(packed[FEATURE_SLICES["harmonic"]])
    rest = np.ascontiguousarray(pending[:, frames * LATENT_HOP_SAMPLES :])
    return Features(packed, pitch, curves), FeatureState(rest, curve_state)


def features_of(audio: Array) -> Features:
    """Read features off a whole signal, silence before and after it.

    Args:
        audio: (2, samples) float32 in [-1, 1].

    Returns:
        Features of as many frames as cover the samples.
    """
    samples = audio.shape[1]
    frames = -(-samples // LATENT_HOP_SAMPLES)
    padding = frames * LATENT_HOP_SAMPLES - samples + LOOKAHEAD_SAMPLES
    return features_step(np.pad(audio, ((0, 0), (0, padding))), FeatureState.initial())[0]


@cache
def _mel() -> Array:
    return mel_bank(MEL_BANDS, 25.0, 20_000.0, SPECTRUM_WINDOW_SAMPLES)


def _packed(pending: Array, first: int, frames: int) -> Array:
    """Return (FEATURE_CHANNELS, frames) from frame `first` on; `pending` starts `_PAST_SAMPLES` before frame 0."""
    mid_side = np.stack([pending[0] + pending[1], pending[0] - pending[1]]) * np.float32(0.5)
    starts = (first + np.arange(frames)) * LATENT_HOP_SAMPLES
    harmonic = constant_q(frames_at(mid_side[:1], starts, CONSTANT_Q_WINDOW_SAMPLES)[0])
    hops = frames * SPECTRA_PER_FRAME
    short_start = _PAST_SAMPLES + first * LATENT_HOP_SAMPLES + _SHORT_OFFSET_SAMPLES - SPECTRUM_HOP_SAMPLES
    short_starts = short_start + np.arange(hops + 1) * SPECTRUM_HOP_SAMPLES
    power = magnitudes(frames_at(mid_side, short_starts, SPECTRUM_WINDOW_SAMPLES), SPECTRUM_WINDOW_SAMPLES) ** 2
    mel = scaled_decibels(np.sqrt(power @ _mel().T))  # (2, hops + 1, bands)
    flux = np.maximum(np.diff(mel[0], axis=0), 0.0)
    rows = [_by_frame(mel[0, 1:]), _by_frame(mel[1, 1:]), scaled_decibels(harmonic), _by_frame(flux)]
    return np.concatenate(rows, axis=1).T


def _by_frame(hops: Array) -> Array:
    return hops.reshape(-1, MEL_ROWS)
