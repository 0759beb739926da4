"""How the parts of the evaluation that ask for many takes of one song ask for them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from bridge.evaluation.songs import VOCALS, Excerpt
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.geometry import STEMS
from engine.spectra import Array
from engine.wish import Kept, Wish

Stems = Mapping[str, Array]


class Band(Protocol):
    """What plays to a vocal."""

    def __call__(self, excerpt: Excerpt, wish: Wish, kept: Kept | None = None, /) -> Stems:
        """Return stem to (2, samples), as long as the excerpt, for its vocal and timeline."""
        ...


def band(bundle: Bundle) -> Band:
    """Return what plays with `bundle` to an excerpt's vocal on its timeline.

    Steps and guidance of a wish are replaced by those that the bundle works well with.
    """
    steps, guidance_scale = bundle.sampling.steps, bundle.sampling.guidance_scale

    def play(excerpt: Excerpt, wish: Wish, kept: Kept | None = None) -> Stems:
        asked = replace(wish, steps=steps, guidance_scale=guidance_scale)
        return accompany(bundle, excerpt.audio[VOCALS], excerpt.timeline, asked, kept)

    return play


def mixed(stems: Stems) -> Array:
    """Return the sum (2, samples) of drums, bass and harmony; the voice, where there is one, is left out."""
    total: Array = np.sum([stems[stem] for stem in STEMS], axis=0, dtype=np.float32)
    return total


def fitted(audio: Array, samples: int) -> Array:
    """Return `audio` (channels, samples) cut to `samples`, or repeated from its start until it is as long."""
    repeats = -(-samples // audio.shape[1])
    return np.ascontiguousarray(np.tile(audio, (1, repeats))[:, :samples])


def rank_correlation(setting: tuple[float, ...], measured: list[float]) -> float:
    """Return Spearman's rank correlation of a control's settings with what was measured at each, in [-1, 1].

    0 where the measure does not move at all: a control without effect is not followed. NaN where one is not a number.
    """
    from scipy.stats import spearmanr

    values = np.array(measured, np.float64)
    if np.isnan(values).any():
        return float("nan")
    if np.ptp(np.nan_to_num(values, neginf=-200.0)) == 0.0:
        return 0.0
    return float(spearmanr(setting, values).statistic)
