"""What is asked of an accompaniment, and what of an earlier take stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_HOP_SAMPLES, STEMS, frames_covering
from engine.harmony import ChordSpan, Key
from engine.noise import check_seed
from engine.sampler import check_guidance_scale
from engine.schedule import timestep_pairs
from engine.styles import style_index

Array = NDArray[np.float32]

# The accompaniments that were learned from differ little in these curves: songs' means of arousal are 0.58 to 0.69, of
# focus 0.80 to 0.97 (5th to 95th percentile). A fader that is to be heard goes far beyond. Middles are those songs';
# the widths keep drums on the grid and harmony on its chords at both ends, on validation songs.
AROUSAL_MIDDLE, AROUSAL_WIDTH = 0.63, 6.0
FOCUS_MIDDLE, FOCUS_WIDTH = 0.89, 6.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted.

    Attributes:
        style: one of `engine.styles.STYLES`, or None to leave it to the model.
        key: the song's key, if known; else it is read off the vocal.
        arousal: wanted energy in [0, 1], or None to follow the vocal's.
        focus: wanted steadiness in [0, 1], or None to follow the vocal's.
        chords: the song's chords, if known; else they are read off the vocal.
        listen_for_chords: whether key and chords may be read off the vocal, where the bundle can.
        steps: steps of the sampler, 1 to 800.
        guidance_scale: how closely vocal, chords, key and style are followed; what the bundle holds in its weights, or
            1 where it holds none, takes half the time of any other.
        seed: 0 to 2**64 - 1; another seed is another take.
        stems: the stems to return.

    Raises:
        ValueError: a value is unknown or out of range.
    """

    style: str | None = None
    key: Key | None = None
    arousal: float | None = None
    focus: float | None = None
    chords: tuple[ChordSpan, ...] = ()
    listen_for_chords: bool = True
    steps: int = 4
    guidance_scale: float = 2.0
    seed: int = 0
    stems: tuple[str, ...] = STEMS

    def __post_init__(self) -> None:
        """Check each value."""
        if self.style is not None:
            style_index(self.style)
        for name, value in (("arousal", self.arousal), ("focus", self.focus)):
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} {value} is out of range; give 0 to 1, or leave it out to follow the vocal")
        timestep_pairs(self.steps)
        check_guidance_scale(self.guidance_scale)
        check_seed(self.seed)
        _check_stems(self.stems)
        if not self.stems:
            raise ValueError(f"no stems are wanted; give at least one of: {', '.join(STEMS)}")

    @property
    def sets_attention(self) -> bool:
        """Whether arousal or focus is set by the user."""
        return self.arousal is not None or self.focus is not None

    def curves(self, vocal_curves: Array) -> Array:
        """Return the arousal and focus (2, frames) that the model is told: the user's where set, else the vocal's.

        A fader's way is as long as it takes to be heard, so what is told of it may lie outside [0, 1].
        """
        curves = vocal_curves.copy()
        if self.arousal is not None:
            curves[0] = _told(self.arousal, AROUSAL_MIDDLE, AROUSAL_WIDTH)
        if self.focus is not None:
            curves[1] = _told(self.focus, FOCUS_MIDDLE, FOCUS_WIDTH)
        return curves


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier take, and what of it to make anew.

    Attributes:
        stems: stem to (2, samples) float32 audio.
        from_sample: first sample to make anew.
        to_sample: sample after the last to make anew; None for the song's end.
        regenerate: which of the kept stems to make anew within that range; the others stay whole.

    Raises:
        ValueError: a stem is unknown or the range is empty.
    """

    stems: Mapping[str, Array] = field(default_factory=dict)
    from_sample: int = 0
    to_sample: int | None = None
    regenerate: tuple[str, ...] = STEMS

    def __post_init__(self) -> None:
        """Check names and range."""
        _check_stems((*self.stems, *self.regenerate))
        if self.from_sample < 0 or (self.to_sample is not None and self.to_sample <= self.from_sample):
            raise ValueError(
                f"samples {self.from_sample} to {self.to_sample} are no range to make anew; give 0 <= from < to"
            )

    def within(self, samples: int) -> Kept:
        """Return this with its range cut to a song of `samples`.

        Raises:
            ValueError: the range starts after the song's end.
        """
        if self.from_sample >= samples:
            raise ValueError(
                f"the range to make anew starts at sample {self.from_sample}, after the end of a song of {samples}"
            )
        return replace(self, to_sample=min(samples if self.to_sample is None else self.to_sample, samples))

    @property
    def sample_range(self) -> tuple[int, int]:
        """First and end sample to make anew; call `within` first."""
        if self.to_sample is None:
            raise ValueError("the range's end depends on the song; call within(samples) first")
        return self.from_sample, self.to_sample

    @property
    def frame_range(self) -> tuple[int, int]:
        """First and end latent frame that touch the range; call `within` first."""
        start, end = self.sample_range
        return start // LATENT_HOP_SAMPLES, frames_covering(end)

    def new_stems(self, wish: Wish) -> tuple[str, ...]:
        """Return the stems that are made, whole or in part: those wanted that are not kept whole."""
        return tuple(
            stem for stem in STEMS if stem in wish.stems and (stem not in self.stems or stem in self.regenerate)
        )


def _told(fader: float, middle: float, width: float) -> float:
    """Return the curve's value at a place in [0, 1] of a fader, whose way is `width` long."""
    return middle + width * (fader - 0.5)


def _check_stems(stems: tuple[str, ...]) -> None:
    """Raise ValueError unless all of `stems` are stems."""
    for stem in stems:
        if stem not in STEMS:
            raise ValueError(f"stem {stem!r} is not known; expected one of: {', '.join(STEMS)}")
