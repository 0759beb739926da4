"""Gains and sums of stems: gains in decibels, ramps by absolute sample, so that any block of a song comes out alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.geometry import STEMS

SILENCE_DB = -120.0
MAX_STEM_GAIN_DB = 24.0
Array = NDArray[np.float32]


def gain_from_db(gain_db: float) -> float:
    """Return the amplitude factor of `gain_db`; at -120 dB and below it is exactly 0."""
    return 0.0 if gain_db <= SILENCE_DB else float(10.0 ** (gain_db / 20.0))


@dataclass(frozen=True, slots=True)
class GainCurve:
    """A gain over the song: points `(sample, gain_db)` in rising order, linear in amplitude between them.

    Before the first point its gain holds, after the last the last's.

    Raises:
        ValueError: there is no point, or the points do not rise.
    """

    points: Sequence[tuple[int, float]]

    def __post_init__(self) -> None:
        """Check the points' order."""
        samples = [sample for sample, _ in self.points]
        if not samples or any(after <= before for before, after in pairwise(samples)):
            raise ValueError(f"gain points at samples {samples} must be at least one and rise; sort and merge them")

    @classmethod
    def constant(cls, gain_db: float) -> GainCurve:
        """Return the curve of one gain."""
        return cls(((0, gain_db),))

    @classmethod
    def ramp(cls, from_db: float, to_db: float, start_sample: int, ramp_samples: int) -> GainCurve:
        """Return a curve that goes from one gain to another in `ramp_samples` (at least 1) from `start_sample`."""
        return cls(((start_sample, from_db), (start_sample + ramp_samples, to_db)))

    def factors(self, start_sample: int, samples: int) -> Array:
        """Return (samples,) float32 amplitude factors from the absolute sample `start_sample` on."""
        positions = [sample for sample, _ in self.points]
        gains = [gain_from_db(gain_db) for _, gain_db in self.points]
        return np.interp(np.arange(start_sample, start_sample + samples), positions, gains).astype(np.float32)


def apply_gain(audio: Array, gain: GainCurve | float, start_sample: int = 0) -> Array:
    """Return `audio` (channels, samples), which starts at `start_sample`, times a curve or a gain in decibels."""
    if isinstance(gain, GainCurve):
        return audio * gain.factors(start_sample, audio.shape[-1])
    return audio * np.float32(gain_from_db(gain))


def check_stem_gains(gains_db: Mapping[str, float], what: str = "gain") -> None:
    """Raise ValueError unless `gains_db` (`what`) names stems alone, each with -24 to 24 dB."""
    for stem, gain_db in gains_db.items():
        if stem not in STEMS or not abs(gain_db) <= MAX_STEM_GAIN_DB:
            raise ValueError(
                f"{what} of {gain_db!r} dB for stem {stem!r} is not valid; give -{MAX_STEM_GAIN_DB:g} to "
                f"{MAX_STEM_GAIN_DB:g} dB for any of: {', '.join(STEMS)}"
            )


def mix(parts: Iterable[Array]) -> Array:
    """Return the sum of `parts`, each (channels, samples) float32 of one shape.

    Raises:
        ValueError: there are no parts, or their shapes differ.
    """
    listed = list(parts)
    if not listed or any(part.shape != listed[0].shape for part in listed):
        shapes = [part.shape for part in listed]
        raise ValueError(f"cannot mix parts of shapes {shapes}; give at least one, all of one length")
    total = listed[0].copy()
    for part in listed[1:]:
        total += part
    return total
