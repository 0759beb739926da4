"""A downward expander in the decoder's spectrum: what a model leaves between strokes is made as soft as songs have it.

Few steps give the mean of what might sound, so that the gaps between a drum's strokes hold a wash that no real drum
leaves there. Below a level, each band of each hop falls by more than it lies below it. Without a memory: a hop comes
out alike whatever came before it, so a song decoded in any pieces is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.geometry import AUDIO_CHANNELS, STEMS
from engine.tone import Array, Decibels, band_levels_db, bin_factors, tone_factors

MAX_RATIO = 4.0
MOST_DB = 30.0
"""How much a band falls at most: what is that far down is not heard, and no deeper silence is wanted."""


class Expansion(NamedTuple):
    """How the soft parts of one stem fall.

    Attributes:
        below_db: level of a band in dB (a full-scale sine in each of its bins is 0) from which on it falls.
        ratio: decibels that it comes out below that level for each that it lay below, 1 to 4; 1 changes nothing.
    """

    below_db: float
    ratio: float


def check_expansions(expansions: Mapping[str, Sequence[float]]) -> None:
    """Raise ValueError unless `expansions` names stems alone, each with a level under 0 dB and a ratio of 1 to 4."""
    for stem, values in expansions.items():
        if stem not in STEMS or len(values) != len(Expansion._fields):
            raise ValueError(f"expansion {values!r} of {stem!r} is not valid; give [below_db, ratio] for a stem")
        below_db, ratio = values
        if not (-120.0 <= below_db <= 0.0 and 1.0 <= ratio <= MAX_RATIO):
            raise ValueError(
                f"expansion {values!r} of {stem!r} is out of range; give -120 to 0 dB and 1 to {MAX_RATIO:g}"
            )


class Expander:
    """Expands some rows of spectra, and gives some another tone after that.

    A tone that changes from one hop to the next is faded by the inverse transform's overlapping windows.
    """

    def __init__(
        self,
        expansions: Mapping[str, Sequence[float]],
        stems: Sequence[str] = STEMS,
        tones_db: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Prepare for spectra whose rows are `stems`; one with neither of the two stays as it is, to the bit."""
        self._rows = [(row, Expansion(*expansions[stem])) for row, stem in enumerate(stems) if stem in expansions]
        self._tones = [
            (row, tone_factors(tuple(tones_db[stem]))[:, None])
            for row, stem in enumerate(stems)
            if tones_db is not None and np.any(tones_db.get(stem, 0.0))
        ]

    def expand(self, spectrum: Array) -> None:
        """Expand `spectrum` (stems, 2 left/right, hops, SPECTRUM_BINS, 2 re/im) in place; 1 is a full-scale sine."""
        for row, expansion in self._rows:
            spectrum[row] *= _factors(spectrum[row], expansion)[:, :, None]
        for row, factors in self._tones:
            spectrum[row] *= factors


def fall_db(level_db: Decibels, expansion: Expansion) -> Decibels:
    """Return by how much bands of such levels fall."""
    fall: Decibels = np.clip((expansion.below_db - level_db) * (expansion.ratio - 1.0), 0.0, MOST_DB)
    return fall


def _factors(spectrum: Array, expansion: Expansion) -> Array:
    """Return (hops, bins) factors for (2, hops, bins, 2)."""
    power = np.square(spectrum).sum(axis=(0, 3)) / np.float32(AUDIO_CHANNELS)
    fall = fall_db(band_levels_db(power), expansion)
    return bin_factors(-fall)
