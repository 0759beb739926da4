"""How much of a wash a bundle leaves between strokes: `python -m export.expansions --bundle B --songs DIR [--write]`.

Through each downward expander (`engine.expander`) of a grid, what is generated to a song's vocal is compared with the
song's own stem at the same loudness: by the Fréchet distances of their log-mel statistics and of their latents, the
geometric mean of both and over songs, so that neither of the two nor one song with an unusual kit decides. `--write`
puts the best ones into the bundle's manifest as `stem_expansions`; measure `export.levels` afterwards. Measure on train
songs; ten minutes.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.accompany import take_latents
from engine.bundle import Bundle, BundleError
from engine.expander import Expansion
from engine.finish import finished
from engine.geometry import STEMS
from engine.mixer import apply_gain
from engine.runtime import GraphError
from engine.sound_sets import Moments, frechet_distance, latent_vectors, log_mel_statistics
from export.levels import active_rms_db, change_manifest, measuring_parser, song_folders, song_task
from training.corpus.folder import VOCALS

BELOW_DB = (-60.0, -55.0, -50.0, -45.0, -40.0)
RATIOS = (1.25, 1.5, 2.0, 3.0)
NONE = Expansion(0.0, 1.0)
CHOICES = (NONE, *(Expansion(below_db, ratio) for ratio in RATIOS for below_db in BELOW_DB))
LEAST_DISTANCE = 1e-3
LEAST_GAIN = 0.05
"""An expander that brings sounds nearer by no more than this share of the distance is not worth having."""


def best(distances: Mapping[Expansion, float]) -> Expansion:
    """Return the expansion with the least distance; `NONE` where none is much less."""
    found = min(distances, key=lambda expansion: distances[expansion])
    return found if distances[found] <= (1.0 - LEAST_GAIN) * distances[NONE] else NONE


def measured(bundle: Bundle, folders: Sequence[Path], seconds: float) -> dict[str, dict[Expansion, float]]:
    """Return stem to each of `CHOICES` to how far from the songs' own it leaves what is made; no stem that is silent.

    Raises:
        ValueError: a stem or song.json is missing or damaged.
    """
    found: dict[str, dict[Expansion, list[float]]] = {stem: {choice: [] for choice in CHOICES} for stem in STEMS}
    embeddings = log_mel_statistics, latent_vectors(bundle)
    for seed, folder in enumerate(folders):
        audio, timeline, wish = song_task(bundle, folder, seconds, seed)
        sounding = {stem: level for stem in STEMS if np.isfinite(level := active_rms_db(audio[stem]))}
        real = {stem: [Moments.of(embed(audio[stem])) for embed in embeddings] for stem in sounding}
        latents = take_latents(bundle, audio[VOCALS], timeline, wish)
        for choice in CHOICES:
            sound = finished(_with_expansion(bundle, choice), latents, audio[VOCALS].shape[1], wish.style)
            for stem, made in zip(STEMS, sound, strict=True):
                if stem in sounding:
                    as_loud = apply_gain(made, _finite(sounding[stem] - active_rms_db(made)))
                    sets = [Moments.of(embed(as_loud)) for embed in embeddings]
                    distances = [frechet_distance(*pair) for pair in zip(sets, real[stem], strict=True)]
                    found[stem][choice].append(_typical(distances))
    return {
        stem: {choice: _typical(distances) for choice, distances in of_stem.items()}
        for stem, of_stem in found.items()
        if of_stem[NONE]
    }


def _typical(distances: Sequence[float]) -> float:
    """Return the geometric mean; what is nearer than `LEAST_DISTANCE` is as good as there."""
    return float(np.exp(np.log(np.maximum(distances, LEAST_DISTANCE)).mean()))


def _finite(gain_db: float) -> float:
    return gain_db if np.isfinite(gain_db) else 0.0


def _with_expansion(bundle: Bundle, expansion: Expansion) -> Bundle:
    """Return the bundle with the same expansion of all stems, and neither tone nor width nor gain after it."""
    alike = dict.fromkeys(STEMS, expansion)
    return bundle.with_sampling(stem_expansions=alike, stem_widths_db={}, stem_gains_db={}, style_tones_db={})


def write_expansions(bundle: Path, expansions: Mapping[str, Expansion]) -> None:
    """Put the expansions into the manifest of the bundle in the folder `bundle`; all else in it stays."""
    change_manifest(bundle, ("sampling", "stem_expansions"), {stem: list(one) for stem, one in expansions.items()})


def main() -> int:
    """Measure, print and, if asked, write; return the exit code."""
    options = measuring_parser("expansions", __doc__, "train", 24, 20.0).parse_args()
    try:
        folders = song_folders(options.songs, options.split, options.count)
        distances = measured(Bundle.load(options.bundle, threads=options.threads), folders, options.seconds)
        found = {stem: best(of_stem) for stem, of_stem in distances.items()}
        expansions = {stem: one for stem, one in found.items() if one != NONE}
        if options.write:
            write_expansions(options.bundle, expansions)
    except (OSError, KeyError, ValueError, BundleError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for stem, of_stem in distances.items():
        print(f"{stem:<8}Fréchet distance {of_stem[NONE]:.1f} as it is, {min(of_stem.values()):.1f} at best")
    shown = json.dumps({stem: list(one) for stem, one in expansions.items()})
    print(f"stem_expansions: {shown}" + (f", written to {options.bundle}" if options.write else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
