"""Arousal and focus, the two curves of the attention flow (000, section 2.1.2, which names but does not define them).

Arousal is loudness, onset density and brightness, smoothed over about a second; focus is how much the last second
resembles the four to eight seconds before it. Both lie in [0, 1] and look only into the past.
"""

from dataclasses import dataclass

import numpy as np

from engine.geometry import LATENT_RATE_HZ
from engine.spectra import Array

_SMOOTHING = np.float32(1.0 - np.exp(-1.0 / LATENT_RATE_HZ))
_NEAREST_FRAMES = round(4 * LATENT_RATE_HZ)
_FARTHEST_FRAMES = round(8 * LATENT_RATE_HZ)
_LOUDNESS_RANGE = (0.2, 0.9)  # scaled decibels of the loudest band: -64 to -8 dB
_FLUX_FOR_FULL_DENSITY = 0.05
_SHARE = np.array([0.5, 0.25, 0.25], np.float32)  # loudness, onset density, brightness


@dataclass(frozen=True, slots=True)
class CurveState:
    """Smoothed measures (3,), smoothed timbre and harmony (rows,), and its past 8 s (rows, frames)."""

    measures: Array
    picture: Array
    history: Array

    @staticmethod
    def initial() -> "CurveState":
        """Return the state of silence."""
        return CurveState(np.zeros(3, np.float32), np.zeros(0, np.float32), np.zeros((0, _FARTHEST_FRAMES), np.float32))


def attention_curves(mid: Array, percussive: Array, harmonic: Array, state: CurveState) -> tuple[Array, CurveState]:
    """Return arousal and focus of the next frames.

    Args:
        mid: (hops, bands, frames) scaled decibels.
        percussive: (hops, bands, frames) flux.
        harmonic: (constant-Q bins, frames) scaled decibels.
        state: what the frames before left.

    Returns:
        (2, frames) in [0, 1], and the state.
    """
    frames = mid.shape[2]
    curves = np.zeros((2, frames), np.float32)
    measured = _measures(mid, percussive)
    pictures = np.concatenate([harmonic, mid.mean(axis=0)])
    measures, picture, history = state.measures, state.picture, state.history
    if not picture.size:
        picture = np.zeros(len(pictures), np.float32)
        history = np.zeros((len(pictures), _FARTHEST_FRAMES), np.float32)
    timeline = np.concatenate([history, np.zeros_like(pictures)], axis=1)
    for frame in range(frames):
        measures = measures + _SMOOTHING * (measured[:, frame] - measures)
        picture = picture + _SMOOTHING * (pictures[:, frame] - picture)
        curves[0, frame] = measures @ _SHARE
        curves[1, frame] = _resemblance(picture, timeline[:, frame : frame + _FARTHEST_FRAMES - _NEAREST_FRAMES + 1])
        timeline[:, frame + _FARTHEST_FRAMES] = _unit(picture)
    return curves, CurveState(measures, picture, np.ascontiguousarray(timeline[:, frames:]))


def _measures(mid: Array, percussive: Array) -> Array:
    low, high = _LOUDNESS_RANGE
    loudness = np.clip((mid.max(axis=(0, 1)) - low) / (high - low), 0, 1)
    density = np.clip(percussive.mean(axis=(0, 1)) / _FLUX_FOR_FULL_DENSITY, 0, 1)
    bands = np.linspace(0, 1, mid.shape[1], dtype=np.float32)
    energy = mid.mean(axis=0)
    brightness = np.clip(bands @ energy / (energy.sum(axis=0) + 1e-6) * 2, 0, 1)
    return np.stack([loudness, density, brightness]).astype(np.float32)


def _unit(picture: Array) -> Array:
    centred = picture - picture.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def _resemblance(picture: Array, past: Array) -> float:
    return float(np.clip(np.max(_unit(picture) @ past), 0, 1))
