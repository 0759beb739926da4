"""One dark picture a take: drums, bass and harmony below each other, with bar lines and the chord heard in each bar."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.pictures import spectrogram_db
from engine.geometry import SAMPLE_RATE_HZ
from engine.spectra import CONSTANT_Q_BINS_PER_OCTAVE, Array, frames_at, magnitudes, mel_bank
from engine.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

RANGE_DB = 60.0
LEVELS = 12  # of 5 dB each: what the eye tells apart, and what keeps the file small
COLOURS = 16
DRUM_BANDS = 96
DRUM_RANGE_HZ = (40.0, 16_000.0)
OCTAVES = {"bass": (0, 4), "other": (1, 7)}  # above C1, 32.7 Hz
_WINDOW_SAMPLES = 1_024
_HOP_SAMPLES = 512
_SIZE_INCHES, _DOTS_PER_INCH = (10.0, 6.0), 71


def write_take_picture(
    path: Path, title: str, stems: Mapping[str, Array], timeline: Timeline, chords: Sequence[str]
) -> None:
    """Write the picture of a take as a PNG of few colours.

    Args:
        path: the file to write.
        title: above everything.
        stems: `drums`, `bass` and `other`, each (2, samples) at 44.1 kHz; sample 0 the start of bar 0.
        timeline: where the bars lie.
        chords: what was heard in each bar; as many bars are drawn.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    bars = [timeline.sample_at_bar(bar) / SAMPLE_RATE_HZ for bar in range(len(chords) + 1)]
    with style.context("dark_background"), BytesIO() as drawn:
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=11)
        rows = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 4))
        for axes, (name, decibels, ticks) in zip(rows, _panels(stems), strict=True):
            top = float(decibels.max())
            extent = (0.0, stems[name].shape[1] / SAMPLE_RATE_HZ, 0.0, float(len(decibels)))
            axes.imshow(
                decibels, origin="lower", aspect="auto", extent=extent, interpolation="antialiased",
                cmap=_colour_map(), vmin=top - RANGE_DB, vmax=top,
            )  # fmt: skip
            axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
            axes.set_ylabel(name)
            axes.vlines(bars, 0.0, len(decibels), colors="white", linewidth=0.7)
        for start, chord in zip(bars, chords, strict=False):
            rows[2].annotate(
                chord, (start, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -11),
                textcoords="offset points", fontsize=9, color="white",
            )  # fmt: skip
        rows[2].set_xticks(bars[:-1], [str(bar + 1) for bar in range(len(chords))])
        rows[2].set_xlim(bars[0], bars[-1])
        rows[2].set_xlabel("bar")
        figure.savefig(drawn, dpi=_DOTS_PER_INCH, metadata={"Software": None})
        with Image.open(drawn) as image:
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)


def drum_spectrogram_db(audio: Array) -> NDArray[np.float64]:
    """Return (DRUM_BANDS, hops) mel levels in dB of full scale, -120 at least, a hop every 512 samples."""
    mid = audio.mean(axis=0, keepdims=True)
    padded = np.pad(mid, ((0, 0), (_WINDOW_SAMPLES // 2,) * 2))
    starts = np.arange(0, padded.shape[1] - _WINDOW_SAMPLES + 1, _HOP_SAMPLES)
    bank = mel_bank(DRUM_BANDS, *DRUM_RANGE_HZ, _WINDOW_SAMPLES)
    power = np.square(magnitudes(frames_at(padded, starts, _WINDOW_SAMPLES)[0], _WINDOW_SAMPLES)) @ bank.T
    return 10.0 * np.log10(np.maximum(power.T.astype(np.float64), 1e-12))


def _panels(stems: Mapping[str, Array]) -> list[tuple[str, NDArray[np.float64], dict[float, str]]]:
    """Return name, levels (rows, hops) and ticks (row to text) of each of the three pictures."""
    panels = [("drums", drum_spectrogram_db(stems["drums"]), _drum_ticks())]
    for name, (lowest, highest) in OCTAVES.items():
        first, last = lowest * CONSTANT_Q_BINS_PER_OCTAVE, highest * CONSTANT_Q_BINS_PER_OCTAVE
        ticks = {
            float(octave * CONSTANT_Q_BINS_PER_OCTAVE): f"C{lowest + octave + 1}" for octave in range(highest - lowest)
        }
        panels.append((name, spectrogram_db(stems[name])[first:last], ticks))
    return panels


def _drum_ticks() -> dict[float, str]:
    """Return the rows of some frequencies; mel bands lie evenly on the mel scale."""
    lowest, highest = (np.log1p(hz / 700.0) for hz in DRUM_RANGE_HZ)
    ticks = {100: "100 Hz", 500: "500", 2_000: "2 kHz", 8_000: "8 kHz"}
    return {
        float((np.log1p(hz / 700.0) - lowest) / (highest - lowest) * (DRUM_BANDS + 1) - 0.5): text
        for hz, text in ticks.items()
    }


def _colour_map() -> "Colormap":
    from matplotlib import colormaps

    return colormaps["magma"].resampled(LEVELS)
