"""How much of a wash a bundle leaves between strokes: `python -m export.expansions --bundle B --songs DIR [--write]`.

For each stem, the levels that its bands reach for a tenth, a quarter, ... of the time are compared between the songs'
own accompaniments and what is generated to the same vocals, at the same loudness, through each downward expander
(`engine.expander`) of a grid. `--write` puts the best ones into the bundle's manifest as `stem_expansions`; measure
`export.levels` afterwards. Measure on train songs; a few minutes.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.accompany import accompany
from engine.bundle import Bundle, BundleError
from engine.expander import Expansion, band_levels_db
from engine.geometry import SPECTRUM_HOP_SAMPLES, SPECTRUM_WINDOW_SAMPLES, STEMS
from engine.runtime import GraphError
from engine.spectra import Array, frames_at, magnitudes
from export.levels import active_rms_db, change_manifest, measuring_parser, song_folders, song_task
from training.corpus.folder import VOCALS

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
"""Parts of the time of which levels are compared."""
FLOOR_DB = -75.0
"""Softer than that is not heard, and counts as that."""
BELOW_DB = (-65.0, -60.0, -55.0, -50.0, -45.0, -40.0)
RATIOS = (1.5, 2.0, 3.0)
NONE = Expansion(0.0, 1.0)
CHOICES = (NONE, *(Expansion(below_db, ratio) for ratio in RATIOS for below_db in BELOW_DB))
LEAST_GAIN_DB = 0.3
"""An expander that brings levels no nearer than that is not worth having."""

Floats = NDArray[np.float64]


def level_shares(audio: Array) -> Floats:
    """Return the level in dB below which each band of (2, samples) is for each of `SHARES`: (shares, bands)."""
    starts = np.arange(0, audio.shape[1] - SPECTRUM_WINDOW_SAMPLES + 1, SPECTRUM_HOP_SAMPLES)
    power = np.square(magnitudes(frames_at(audio, starts, SPECTRUM_WINDOW_SAMPLES), SPECTRUM_WINDOW_SAMPLES))
    return np.quantile(band_levels_db(power.mean(axis=0)), SHARES, axis=0)


def distance_db(real: Floats, generated: Floats) -> float:
    """Return how far generated levels are off on average.

    What one song is off by is its own drum kit's, which nobody could know: only what all songs are off by counts.

    Args:
        real: (songs, shares, bands) of songs' own stems.
        generated: the same of what was made for them.
    """
    wanted = np.maximum(real, FLOOR_DB).mean(axis=0)
    return float(np.abs(np.maximum(generated, FLOOR_DB).mean(axis=0) - wanted).mean())


def best(distances_db: Mapping[Expansion, float]) -> Expansion:
    """Return the expansion with which levels are off the least; `NONE` where none is much better."""
    found = min(distances_db, key=lambda expansion: distances_db[expansion])
    return found if distances_db[NONE] - distances_db[found] >= LEAST_GAIN_DB else NONE


def measured(bundle: Bundle, folders: Sequence[Path], seconds: float) -> dict[str, dict[Expansion, float]]:
    """Return stem to each of `CHOICES` to how far it leaves the levels off.

    Raises:
        ValueError: a stem or song.json is missing or damaged.
    """
    real: dict[str, list[Floats]] = {stem: [] for stem in STEMS}
    made: dict[str, dict[Expansion, list[Floats]]] = {stem: {choice: [] for choice in CHOICES} for stem in STEMS}
    for seed, folder in enumerate(folders):
        audio, timeline, wish = song_task(bundle, folder, seconds, seed)
        for choice in CHOICES:
            played = accompany(_with_expansion(bundle, choice), audio[VOCALS], timeline, wish)
            for stem in STEMS:
                made[stem][choice].append(level_shares(played[stem]) + _gain_db(audio[stem], played[stem]))
        for stem in STEMS:
            real[stem].append(level_shares(audio[stem]))
    return {
        stem: {choice: distance_db(np.stack(real[stem]), np.stack(levels)) for choice, levels in made[stem].items()}
        for stem in STEMS
    }


def _gain_db(real: Array, made: Array) -> float:
    """Return what brings `made` to the level of `real` where they sound, as in `export.levels`; 0 if one is silent."""
    gain_db = active_rms_db(real) - active_rms_db(made)
    return gain_db if np.isfinite(gain_db) else 0.0


def _with_expansion(bundle: Bundle, expansion: Expansion) -> Bundle:
    """Return the bundle with the same expansion of all stems, and neither width nor gain after it."""
    sampling = dataclasses.replace(
        bundle.sampling, stem_expansions=dict.fromkeys(STEMS, expansion), stem_widths_db={}, stem_gains_db={}
    )
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, sampling=sampling))


def write_expansions(bundle: Path, expansions: Mapping[str, Expansion]) -> None:
    """Put the expansions into the manifest of the bundle in the folder `bundle`; all else in it stays."""
    change_manifest(bundle, ("sampling", "stem_expansions"), {stem: list(one) for stem, one in expansions.items()})


def main() -> int:
    """Measure, print and, if asked, write; return the exit code."""
    options = measuring_parser("expansions", __doc__, "train", 12, 15.0).parse_args()
    try:
        folders = song_folders(options.songs, options.split, options.count)
        distances = measured(Bundle.load(options.bundle), folders, options.seconds)
        found = {stem: best(of_stem) for stem, of_stem in distances.items()}
        expansions = {stem: one for stem, one in found.items() if one != NONE}
        if options.write:
            write_expansions(options.bundle, expansions)
    except (OSError, KeyError, ValueError, BundleError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for stem, of_stem in distances.items():
        print(f"{stem:<8}levels off by {of_stem[NONE]:.1f} dB as they are, by {min(of_stem.values()):.1f} dB at best")
    shown = json.dumps({stem: list(one) for stem, one in expansions.items()})
    print(f"stem_expansions: {shown}" + (f", written to {options.bundle}" if options.write else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
