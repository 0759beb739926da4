"""What the codec alone does to stems that it never saw."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bridge.evaluation.songs import Excerpt
from engine import codec
from engine.bundle import Bundle
from engine.metrics import PitchCount, log_mel_distance, multi_resolution_stft_distance, strongest_pitch_class_count
from engine.spectra import Array

CODEC_STEMS = ("vocals", "drums", "bass", "other")
NEPER_IN_DB = 20.0 / np.log(10.0)
_SILENT_RMS = 10 ** (-60 / 20)

NO_FRAMES = PitchCount(0, 0)
Reconstruct = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class StemFigures:
    """One stem's reconstruction, or the sum over several songs.

    Attributes:
        pitch: in how many frames the strongest pitch class was right.
        log_mel_neper: log-mel distance, summed over songs.
        stft: multi-resolution STFT distance, summed over songs.
        songs: how many were added up.
    """

    pitch: PitchCount = NO_FRAMES
    log_mel_neper: float = 0.0
    stft: float = 0.0
    songs: int = 0

    def __add__(self, other: "StemFigures") -> "StemFigures":
        return StemFigures(
            self.pitch + other.pitch,
            self.log_mel_neper + other.log_mel_neper,
            self.stft + other.stft,
            self.songs + other.songs,
        )

    @property
    def mean_log_mel_db(self) -> float:
        """Return the mean log-mel distance in dB; NaN for no song."""
        return float(self.log_mel_neper * NEPER_IN_DB / self.songs) if self.songs else float("nan")

    @property
    def mean_stft(self) -> float:
        """Return the mean multi-resolution STFT distance; NaN for no song."""
        return self.stft / self.songs if self.songs else float("nan")


def reconstruction(bundle: Bundle) -> Reconstruct:
    """Return what turns (2, samples) into its reconstruction by the engine's own encoder and decoder."""

    def reconstruct(audio: Array) -> Array:
        return codec.decode(bundle, codec.encode(bundle, audio).latents[None], audio.shape[1])[0]

    return reconstruct


def stem_figures(reference: Array, estimate: Array) -> StemFigures:
    """Measure one reconstruction, (2, samples) each; a stem that is silent in this excerpt gives no figure."""
    if np.sqrt(np.square(reference, dtype=np.float64).mean()) < _SILENT_RMS:
        return StemFigures()
    return StemFigures(
        strongest_pitch_class_count(reference, estimate),
        log_mel_distance(reference, estimate),
        multi_resolution_stft_distance(reference, estimate),
        1,
    )


def codec_figures(
    reconstruct: Reconstruct, excerpts: Iterable[Excerpt], tell: Callable[[], None]
) -> Mapping[str, StemFigures]:
    """Measure the codec on every stem of every excerpt.

    Args:
        reconstruct: from `reconstruction`.
        excerpts: songs that the codec never saw.
        tell: called after each song.

    Returns:
        Figures by stem, the vocals among them.
    """
    figures = dict.fromkeys(CODEC_STEMS, StemFigures())
    for excerpt in excerpts:
        for stem in CODEC_STEMS:
            audio = excerpt.audio[stem]
            figures[stem] += stem_figures(audio, reconstruct(audio))
        tell()
    return figures
