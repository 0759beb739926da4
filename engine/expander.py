"""A downward expander in the decoder's spectrum: what a model leaves between strokes is made as soft as songs have it.

Few steps give the mean of what might sound, so that the gaps between a drum's strokes hold a wash that no real drum
leaves there. Below a level of its own, each band of each hop falls by more than it lies below it: what rings on under
a kick lies much higher than what is left between two strokes of a cymbal. Without a memory: a hop comes out alike
whatever came before it, so a song decoded in any pieces is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.geometry import AUDIO_CHANNELS, STEMS
from engine.tone import BANDS, Array, Decibels, band_levels_db, bin_factors, tone_factors

MAX_RATIO = 4.0
MOST_DB = 30.0
"""How much a band falls at most: what is that far down is not heard, and no deeper silence is wanted."""


class Expansion(NamedTuple):
    """How the soft parts of one band of a stem fall.

    Attributes:
        below_db: level of the band in dB (a full-scale sine in each of its bins is 0) from which on it falls.
        ratio: decibels that it comes out below that level for each that it lay below, 1 to 4; 1 changes nothing.
    """

    below_db: float
    ratio: float


Expansions = Mapping[str, Sequence[Sequence[float]]]
"""Stem to an `Expansion` for each band."""


def in_all_bands(below_db: float, ratio: float) -> tuple[Expansion, ...]:
    """Return one and the same expansion for each band."""
    return (Expansion(below_db, ratio),) * BANDS


def check_expansions(expansions: Expansions) -> None:
    """Raise ValueError unless `expansions` names stems alone, each band with -120 to 0 dB and a ratio of 1 to 4."""
    for stem, bands in expansions.items():
        if stem not in STEMS or np.shape(bands) != (BANDS, len(Expansion._fields)):
            raise ValueError(
                f"expansion {bands!r} of {stem!r} is not valid; give [below_db, ratio] for each of a stem's {BANDS} "
                "bands, or export the bundle again"
            )
        for below_db, ratio in bands:
            if not (-120.0 <= below_db <= 0.0 and 1.0 <= ratio <= MAX_RATIO):
                raise ValueError(
                    f"expansion {[below_db, ratio]!r} of {stem!r} is out of range; give -120 to 0 dB and 1 to "
                    f"{MAX_RATIO:g}"
                )


class Expander:
    """Expands some rows of spectra, and gives some another tone after that.

    A tone that changes from one hop to the next is faded by the inverse transform's overlapping windows.
    """

    def __init__(
        self,
        expansions: Expansions,
        stems: Sequence[str] = STEMS,
        tones_db: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Prepare for spectra whose rows are `stems`; one with neither of the two stays as it is, to the bit."""
        self._rows = [(row, np.asarray(expansions[stem])) for row, stem in enumerate(stems) if stem in expansions]
        self._tones = [
            (row, tone_factors(tuple(tones_db[stem]))[:, None])
            for row, stem in enumerate(stems)
            if tones_db is not None and np.any(tones_db.get(stem, 0.0))
        ]

    def expand(self, spectrum: Array) -> None:
        """Expand `spectrum` (stems, 2 left/right, hops, SPECTRUM_BINS, 2 re/im) in place; 1 is a full-scale sine."""
        for row, bands in self._rows:
            spectrum[row] *= _factors(spectrum[row], bands)[:, :, None]
        for row, factors in self._tones:
            spectrum[row] *= factors


def fall_db(level_db: Decibels, bands: Decibels | Sequence[Sequence[float]]) -> Decibels:
    """Return by how much levels (hops, BANDS) fall by an `Expansion` for each band."""
    below_db, ratio = np.asarray(bands).T
    fall: Decibels = np.clip((below_db - level_db) * (ratio - 1.0), 0.0, MOST_DB)
    return fall


def _factors(spectrum: Array, bands: Decibels) -> Array:
    """Return (hops, bins) factors for (2, hops, bins, 2)."""
    power = np.square(spectrum).sum(axis=(0, 3)) / np.float32(AUDIO_CHANNELS)
    fall = fall_db(band_levels_db(power), bands)
    return bin_factors(-fall)
