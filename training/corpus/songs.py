"""The corpus as recipes: which composition is arranged how; each recipe makes the same song wherever it is made."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.styles import STYLES
from training.corpus.arranger import TRIPLET_STYLES, arrange_score
from training.corpus.composer import LENGTH_SECONDS, METRES, compose, pick_metre, tempo_range_bpm
from training.corpus.notes import Song
from training.corpus.pop909 import load_scores
from training.corpus.score import Metre, Score, excerpt, fit_voice, split_of, stretch, to_triple, transpose

_POP909_SHARE = 0.5
_TEMPO_RATIO = (0.78, 1.42)
_SHORTEST_SUNG_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one song is made from. Small, picklable, and enough (with the data) to make the song again.

    Attributes:
        id: unique name of the rendering.
        source: `pop909` or `composer`.
        composition: the POP909 song id, or the composer's seed in digits.
        split: `train`, `validation` or `test`, by composition.
        style: one of `engine.styles.STYLES`.
        seed: decides the arrangement.
        length_seconds: how long it is at least and at most; what POP909 has no more of is shorter.
    """

    id: str
    source: str
    composition: str
    split: str
    style: str
    seed: int
    length_seconds: tuple[float, float] = LENGTH_SECONDS


def list_recipes(
    data_dir: Path | None, count: int, seed: int, length_seconds: tuple[float, float] = LENGTH_SECONDS
) -> list[Recipe]:
    """List `count` recipes, the styles balanced; a longer list starts with the shorter one.

    Args:
        data_dir: folder with `pop909_structure.tar.xz`; None, or a folder without it, gives composed songs only.
        count: number of recipes, at least 0.
        seed: makes another corpus of the same kind.
        length_seconds: the least and the most that a song lasts.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count is {count}; expected 0 or more")
    scores = load_scores(data_dir) if data_dir is not None else {}
    fitting = {style: _songs_that_fit(scores, style) for style in STYLES}
    recipes = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        order = np.random.default_rng([seed, index // len(STYLES), 1]).permutation(len(STYLES))
        style = STYLES[int(order[index % len(STYLES)])]
        recipes.append(replace(_recipe(rng, index, seed, style, fitting[style]), length_seconds=length_seconds))
    return recipes


def _recipe(rng: np.random.Generator, index: int, seed: int, style: str, songs: list[str]) -> Recipe:
    arrangement_seed = int(rng.integers(2**31))
    if songs and rng.random() < _POP909_SHARE:
        song = songs[int(rng.integers(len(songs)))]
        return Recipe(
            f"s{seed}-{index:06d}-pop909-{song}-{style}",
            "pop909",
            song,
            split_of(f"pop909-{song}"),
            style,
            arrangement_seed,
        )
    number = int(rng.integers(10**9))
    split = split_of(f"composer-{number:09d}")
    return Recipe(
        f"s{seed}-{index:06d}-composer-{number:09d}-{style}", "composer", str(number), split, style, arrangement_seed
    )


def arrange(recipe: Recipe, data_dir: Path | None) -> Song:
    """Make the song of a recipe.

    Args:
        recipe: from `list_recipes`.
        data_dir: the folder that the recipe was listed with; None is enough for a composed song, with pattern drums.

    Raises:
        ValueError: a POP909 recipe whose song is not in `data_dir`.
    """
    rng = np.random.default_rng([recipe.seed, 2])
    score = score_of(recipe, data_dir, rng)
    score = fit_voice(transpose(score, int(rng.integers(-5, 7))), float(rng.uniform(57, 67)))
    return arrange_score(score, recipe.id, recipe.style, recipe.seed, data_dir)


def score_of(recipe: Recipe, data_dir: Path | None, rng: np.random.Generator) -> Score:
    """Return the melody and chords of a recipe, before transposition and arrangement; `rng` chooses the excerpt.

    Raises:
        ValueError: a POP909 recipe whose song is not in `data_dir`.
    """
    if recipe.source == "composer":
        return compose(int(recipe.composition), recipe.style, recipe.length_seconds)
    return _adapt(_pop909_score(recipe, data_dir), recipe.style, recipe.length_seconds, rng)


def _pop909_score(recipe: Recipe, data_dir: Path | None) -> Score:
    scores = load_scores(data_dir) if data_dir is not None else {}
    if recipe.composition not in scores:
        raise ValueError(
            f"recipe {recipe.id!r} needs POP909 song {recipe.composition}, which is not in data_dir={data_dir}; "
            "give the folder that holds pop909_structure.tar.xz, or list recipes with data_dir=None"
        )
    return scores[recipe.composition]


def _songs_that_fit(scores: dict[str, Score], style: str) -> list[str]:
    return [song for song, score in scores.items() if _versions(score, style)]


@dataclass(frozen=True, slots=True)
class _Version:
    """A way to bring a 4/4 score to a style: its metre, how often its bars double, and the tempi that both allow."""

    metre: Metre
    doubling: int
    slowest_bpm: float
    fastest_bpm: float


def _versions(score: Score, style: str) -> list[_Version]:
    versions = []
    for name, _ in METRES.get(style, (("4/4", 1.0),)):
        numerator, denominator = name.split("/")
        metre = Metre(int(numerator), int(denominator))
        low, high = tempo_range_bpm(style, metre)
        for doubling in (1, 2) if name == "4/4" else (1,):
            bpm = score.bpm * (doubling if name == "4/4" else 1.5)
            singable = _fastest_singable_bpm(score, bpm / score.bpm, style)
            slowest, fastest = max(low, bpm * _TEMPO_RATIO[0]), min(high, bpm * _TEMPO_RATIO[1], singable)
            if fastest - slowest > 3:
                versions.append(_Version(metre, doubling, slowest, fastest))
    return versions


def _fastest_singable_bpm(score: Score, stretching: float, style: str) -> float:
    """Return the tempo at which a tenth of the melody's notes, `stretching` times as long in beats, get too short."""
    durations = sorted(note.duration_beats for note in score.melody)
    short_beats = durations[len(durations) // 10] * stretching * (2 / 3 if style in TRIPLET_STYLES else 1)
    return 60 * short_beats / _SHORTEST_SUNG_SECONDS


def _adapt(score: Score, style: str, length_seconds: tuple[float, float], rng: np.random.Generator) -> Score:
    """Bring a POP909 score to the style's metre and tempo and cut an excerpt that starts on a phrase."""
    versions = _versions(score, style)
    if not versions:
        raise ValueError(f"{score.composition} at {score.bpm} bpm does not fit style {style!r}; choose another style")
    metre = pick_metre(rng, style)
    wanted = [version for version in versions if version.metre == metre] or versions
    version = wanted[int(rng.integers(len(wanted)))]
    bpm = round(float(rng.uniform(version.slowest_bpm, version.fastest_bpm)), 1 if rng.random() < 0.3 else 0)
    four = version.metre.name == "4/4"
    adapted = stretch(score, version.doubling) if four else to_triple(score, version.metre)
    return _cut(replace(adapted, bpm=bpm), length_seconds, rng)


def _cut(score: Score, length_seconds: tuple[float, float], rng: np.random.Generator) -> Score:
    bar = score.metre.bar_beats
    least_seconds, most_seconds = length_seconds
    most = most_seconds * score.bpm / 60 // bar * bar
    least = -(-least_seconds * score.bpm / 60 // bar) * bar
    length = min(score.length_beats, most, max(least, round(float(rng.uniform(least, most)) / bar) * bar))
    starts = [start for start, _, _ in score.sections if start + least <= score.length_beats] or [0.0]
    sung = [start for start in starts if _sung_share(score, start, start + length) > 0.45]
    candidates = sung or [max(starts, key=lambda start: _sung_share(score, start, start + length))]
    start = candidates[int(rng.integers(len(candidates)))]
    end = min(start + length, score.length_beats)
    ends = [close for close in score.phrase_ends if start + least <= close <= min(start + most, score.length_beats)]
    if ends:
        end = min(ends, key=lambda close: abs(close - end))
    return excerpt(score, start, end)


def _sung_share(score: Score, start: float, end: float) -> float:
    sung = sum(note.duration_beats for note in score.melody if start <= note.start_beat < end)
    return sung / max(1e-6, min(end, score.length_beats) - start)
