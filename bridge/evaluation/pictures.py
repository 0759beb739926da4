"""Spectrograms for the docs: log frequency, so that pitch can be seen where it lies."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES, SAMPLE_RATE_HZ
from engine.spectra import (
    CONSTANT_Q_BINS,
    CONSTANT_Q_BINS_PER_OCTAVE,
    CONSTANT_Q_WINDOW_SAMPLES,
    Array,
    constant_q,
    frames_at,
)

RANGE_DB = 70.0
_DOTS_PER_INCH = 60
_PIECE_FRAMES = 64


def write_spectrograms(path: Path, title: str, signals: Mapping[str, Array]) -> None:
    """Write one picture with a constant-Q spectrogram of each signal, 33 Hz to 4 kHz, below each other.

    Args:
        path: the PNG file to write.
        title: above all of them.
        signals: name to (2, samples) at 44.1 kHz.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.0 * len(signals) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    rows = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, audio) in zip(rows, signals.items(), strict=True):
        decibels = spectrogram_db(audio)
        seconds = audio.shape[1] / SAMPLE_RATE_HZ
        octaves = CONSTANT_Q_BINS / CONSTANT_Q_BINS_PER_OCTAVE
        top = decibels.max()
        limits = {"vmin": top - RANGE_DB, "vmax": top}
        axes.imshow(
            decibels, origin="lower", aspect="auto", extent=(0.0, seconds, 0.0, octaves), cmap="magma", **limits
        )
        axes.set_yticks(range(0, 8, 2), [f"C{octave + 1}" for octave in range(0, 8, 2)])
        axes.set_ylabel(name)
    rows[-1].set_xlabel("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})


def spectrogram_db(audio: Array) -> NDArray[np.float64]:
    """Return (CONSTANT_Q_BINS, frames) in dB of full scale, -120 at least, a frame every quarter of a latent hop."""
    hop = LATENT_HOP_SAMPLES // 4
    mid = np.pad(audio.mean(axis=0, keepdims=True), ((0, 0), (CONSTANT_Q_WINDOW_SAMPLES // 2,) * 2))
    frames = max((mid.shape[1] - CONSTANT_Q_WINDOW_SAMPLES) // hop, 1)
    pieces = []
    for first in range(0, frames, _PIECE_FRAMES):
        starts = np.arange(first, min(first + _PIECE_FRAMES, frames)) * hop
        pieces.append(constant_q(frames_at(mid, starts, CONSTANT_Q_WINDOW_SAMPLES)[0]))
    return 20.0 * np.log10(np.maximum(np.concatenate(pieces).T.astype(np.float64), 1e-6))
