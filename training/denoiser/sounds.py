"""What a song's stems sound like, told to the denoiser in training beside the style: levels and how they vary, by band.

Songs of one style have other kits, basses and mixes, play more or less densely, and nothing in a vocal tells which. A
denoiser that is not told either learns their mean, and few steps of a sampler play that: between soft and loud, between
strokes and none. Told, it learns what each song's sounds are, and plays one kind: a bundle holds each style's usual
sounds in its style embedding (`with_usual_sounds`), so that its graph takes a style and nothing more.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.geometry import STEMS
from engine.sound_sets import BANDS, log_mel_statistics

GROUPS = 6
"""Of `engine.sound_sets.BANDS / GROUPS` bands each: few enough that no song is known by them alone."""
SOUND_CHANNELS = 2 * GROUPS * len(STEMS) + 1
NOISE_STD = 0.3

_MEAN_CENTRE, _MEAN_SPREAD = -6.5, 0.5
_DEVIATION_CENTRE, _DEVIATION_SPREAD = 0.5, 0.3

Floats = NDArray[np.float32]


def sounds_of(stems: Mapping[str, NDArray[np.float32]]) -> Floats:
    """Return (stems, 2 x BANDS): mean and deviation of each band in nepers, as a piece of 1 s has them on average.

    Args:
        stems: stem to (2, samples) at 44.1 kHz.
    """
    return np.stack([log_mel_statistics(stems[stem]).mean(axis=0) for stem in STEMS]).astype(np.float32)


def sound_weights(sounds: NDArray[np.floating] | None) -> Floats:
    """Return the (SOUND_CHANNELS,) weights of what `sounds_of` gave, known flag last; zeros where it is not known."""
    weights = np.zeros(SOUND_CHANNELS, np.float32)
    if sounds is not None:
        groups = np.asarray(sounds, np.float32).reshape(len(STEMS), 2, GROUPS, BANDS // GROUPS).mean(axis=3)
        groups[:, 0] = (groups[:, 0] - _MEAN_CENTRE) / _MEAN_SPREAD
        groups[:, 1] = (groups[:, 1] - _DEVIATION_CENTRE) / _DEVIATION_SPREAD
        weights[:-1], weights[-1] = groups.ravel(), 1.0
    return weights


def usual_sounds(styles: Sequence[NDArray[np.bool_]], sounds: Sequence[Floats]) -> Floats:
    """Return the median weights of each style's songs, (styles, SOUND_CHANNELS); of all songs where a style has none.

    Args:
        styles: of each song, (styles,), true at its style.
        sounds: the `sound_weights` of each song; songs without them do not count.
    """
    of_style, of_song = np.array(styles), np.array(sounds)
    known = of_song[:, -1] > 0.0
    everyone = np.median(of_song[known], axis=0) if known.any() else np.zeros(SOUND_CHANNELS)
    rows = [np.median(of_song[chosen], axis=0) if (chosen := known & has).any() else everyone for has in of_style.T]
    return np.array(rows, np.float32)
