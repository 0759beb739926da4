"""How all that a model makes is finished, so that it sounds as songs do: expander, tone, width, gain, by stem.

What few steps of a sampler make of many songs lies near their mean: a wash between strokes, less width, another
level, in some styles more so. What all songs, or all of a style, lack alike is measured once (`export.expansions`,
`export.levels`) and made good here. Real sound that goes through the codec is not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import codec
from engine.expander import Expander
from engine.geometry import STEMS
from engine.manifest import SamplingFacts
from engine.mixer import apply_gain
from engine.tone import toned
from engine.window import Model, raw

Array = NDArray[np.float32]

KNEE = np.float32(0.7)


def finished(
    model: Model,
    latents: Array,
    samples: int,
    style: str | None,
    stems: Sequence[str] = STEMS,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """Decode `stems` of a song, as they are played.

    Args:
        model: the bundle.
        latents: (192, frames), normalised, of all stems.
        samples: how many to return, at most frames x 2048.
        style: that they were made in.
        stems: the wanted ones.
        progress: called with the share done, in [0, 1].

    Returns:
        (stems, 2, samples).
    """
    facts = model.sampling
    wanted = raw(model, latents)[[STEMS.index(stem) for stem in stems]]
    sound = codec.decode(model, wanted, samples, progress, _expander(facts, style, stems))
    return made_up(sound, facts, stems)


def finished_step(
    model: Model, latents: Array, state: codec.DecoderState, style: str | None
) -> tuple[Array, codec.DecoderState]:
    """Decode the next frames of all stems of a stream, as they are played; see `engine.codec.decode_step`."""
    facts = model.sampling
    sound, after = codec.decode_step(model, raw(model, latents), state, _expander(facts, style))
    return made_up(sound, facts), after


def made_up(audio: Array, facts: SamplingFacts, stems: Sequence[str] = STEMS) -> Array:
    """Return `audio` (stems, 2, samples) with each stem's width and gain; sample by sample, whatever the blocks.

    Rare peaks of drums would leave the range once they are raised, and lower or clip all else: above 0.7 they bend
    towards 1. A stem with neither stays as it is, to the bit.

    Args:
        audio: what the decoder gave.
        facts: `stem_widths_db` and `stem_gains_db`; 0 dB for a stem not named.
        stems: the stem of each row.
    """
    raised = audio.copy()
    for row, stem in enumerate(stems):
        width_db, gain_db = facts.stem_widths_db.get(stem, 0.0), facts.stem_gains_db.get(stem, 0.0)
        if width_db != 0.0 or gain_db != 0.0:
            raised[row] = _bent(apply_gain(_widened(audio[row], width_db), gain_db))
    return raised


def as_made(audio: Array, facts: SamplingFacts, stem: str, style: str | None) -> Array:
    """Return finished `audio` (2, samples) of a stem without its gain, width and tone, as the model knows it."""
    plain = _widened(apply_gain(audio, -facts.stem_gains_db.get(stem, 0.0)), -facts.stem_widths_db.get(stem, 0.0))
    tone_db = facts.tones_of(style).get(stem)
    return plain if tone_db is None else toned(plain, [-gain_db for gain_db in tone_db])


def _expander(facts: SamplingFacts, style: str | None, stems: Sequence[str] = STEMS) -> Expander:
    """Return what spectra of `stems` go through; tones come there, where a change of style is faded."""
    return Expander(facts.stem_expansions, stems, facts.tones_of(style))


def _widened(audio: Array, width_db: float) -> Array:
    """Return `audio` (2, samples) with its sides raised against its middle."""
    if width_db == 0.0:
        return audio
    middle, side = (audio[0] + audio[1]) / 2, apply_gain((audio[0] - audio[1]) / 2, width_db)
    return np.stack([middle + side, middle - side])


def _bent(audio: Array) -> Array:
    """Return `audio` with what lies above the knee bent towards 1, with no corner at the knee."""
    over = np.abs(audio) - KNEE
    peaks = over > 0
    if peaks.any():
        room = np.float32(1.0) - KNEE
        beyond = over[peaks] / room
        audio[peaks] = np.sign(audio[peaks]) * (KNEE + room * beyond / (np.float32(1.0) + beyond))
    return audio
