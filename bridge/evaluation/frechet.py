"""How near generated stems are to real ones: Fréchet distances, song by song and over all songs at once.

`section` also takes in, where the user has their weights, two measures that others trained (`outside_models`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation import outside_models
from bridge.evaluation.codec import reconstruction
from bridge.evaluation.provenance import provenance
from bridge.evaluation.report import Section, Table, number, percent, verdict
from bridge.evaluation.songs import SongFacts, read_excerpt
from bridge.evaluation.takes import band, mixed
from engine.bundle import Bundle
from engine.geometry import STEMS
from engine.sound_sets import (
    Embed,
    Moments,
    frechet_distance,
    latent_vectors,
    log_mel_statistics,
    summed,
)
from engine.spectra import Array
from engine.wish import Wish

LOG_MEL, LATENTS, CLAP = "log-mel statistics", "codec's latents", "CLAP"
MIX = "mix"
PARTS = (*STEMS, MIX)
MOST_OF_THE_WAY = 0.5
NOTES = (
    "Fréchet distance between two sets of vectors, each taken for a Gaussian. *Log-mel statistics*: mean and deviation "
    "of 24 log-mel bands, in neper, over pieces of 1 s, one every half second (48 numbers). *Codec's latents*: of each "
    "latent frame, normalised as the denoiser sees them, the sound encoded anew (64 numbers). Neither knows what "
    "listeners like.",
    "*Song by song*: the pieces of one song's stem against those of its real stem, mean over songs. *Reconstruction*: "
    "the real stem through the codec and back. *Another song's*: the real stems of all other songs, which is what no "
    "listening gives; *of the same style*: of those alone that share its style, which is what a flawless player gives "
    "who hears style but not which instruments and patterns the real one chose. *Way*: how far the generated lies from "
    "the reconstruction to another song's, wanted under 50 %; a dash where the reconstruction is the farther one, so "
    "that the measure tells of the codec alone. A song has about as many pieces as there are numbers, so each of these "
    "distances is too large in itself, by about as much in each column: compare columns, not rows. Stems that are "
    "silent in an excerpt are left out.",
    "*All songs pooled*: one Gaussian for all songs, as papers report it; *halves*: every other song's real stems "
    "against the rest's, the distance that two sets of so few songs have by chance.",
)

_SILENT_RMS = 10 ** (-60 / 20)

Versions = tuple[Mapping[str, Array], ...]


@dataclass(frozen=True, slots=True)
class Sets:
    """One stem of one song, in three versions; silent stems have none."""

    real: Moments
    generated: Moments
    reconstruction: Moments


@dataclass(frozen=True, slots=True)
class Song:
    """One song's sets by measure and stem, `mix` among the stems; its style, or None where that is not known."""

    style: str | None
    sets: Mapping[tuple[str, str], Sets]


@dataclass(frozen=True, slots=True)
class Distances:
    """Fréchet distances to the real stem; NaN where nothing is there to compare.

    Attributes:
        songs: how many count.
        generated: of what was generated.
        reconstruction: of the real stem's way through the codec.
        same_style: of other songs' real stems of the song's style.
        another: of all other songs' real stems.
    """

    songs: int
    generated: float
    reconstruction: float
    same_style: float
    another: float

    @property
    def way(self) -> float:
        """Return how far `generated` lies on the way from `reconstruction`, 0, to `another`, 1.

        NaN where another song's is no farther than the reconstruction: the measure tells the codec, not the song.
        """
        whole = self.another - self.reconstruction
        return (self.generated - self.reconstruction) / whole if whole > 0.0 else float("nan")


def song_by_song(songs: Sequence[Song], measure: str, stem: str) -> Distances:
    """Return the means over songs of the distances of what belongs to a song from its own real stem."""
    sets, styles = _sounding(songs, measure, stem)
    between = np.full((len(sets), len(sets)), np.nan)
    for row, one in enumerate(sets):
        for column in range(row):
            between[row, column] = between[column, row] = frechet_distance(one.real, sets[column].real)
    same_style = np.array([[one is not None and one == other for other in styles] for one in styles], np.bool_)
    return Distances(
        songs=len(sets),
        generated=_mean([frechet_distance(one.generated, one.real) for one in sets]),
        reconstruction=_mean([frechet_distance(one.reconstruction, one.real) for one in sets]),
        same_style=_mean([_mean(row[same]) for row, same in zip(between, same_style, strict=True)]),
        another=_mean([_mean(row) for row in between]),
    )


def pooled(songs: Sequence[Song], measure: str, stem: str) -> Distances:
    """Return the distances of all songs at once; `another` is that of every other song from the rest, both real."""
    sets, _ = _sounding(songs, measure, stem)
    if len(sets) < 2:
        return Distances(len(sets), np.nan, np.nan, np.nan, np.nan)
    whole = summed([one.real for one in sets])
    halves = [summed([one.real for one in sets[first::2]]) for first in (0, 1)]
    return Distances(
        songs=len(sets),
        generated=frechet_distance(summed([one.generated for one in sets]), whole),
        reconstruction=frechet_distance(summed([one.reconstruction for one in sets]), whole),
        same_style=np.nan,
        another=frechet_distance(*halves),
    )


def _sounding(songs: Sequence[Song], measure: str, stem: str) -> tuple[list[Sets], list[str | None]]:
    """Return the sets and styles of the songs that have the stem."""
    there = [song for song in songs if (measure, stem) in song.sets]
    return [song.sets[measure, stem] for song in there], [song.style for song in there]


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the mean of the numbers among `values`; NaN if there is none."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def section(
    bundle: Bundle,
    songs: Sequence[SongFacts],
    seconds: float,
    tell: Callable[[], None],
    clap: Path | None = None,
    aesthetics: Path | None = None,
) -> Section:
    """Return the distances of what `bundle` generates for the vocals of `songs`.

    Args:
        bundle: the bundle to measure.
        songs: that it never saw, two or more.
        seconds: how much of each.
        tell: called after each song.
        clap: weights of LAION-CLAP, for a Fréchet distance over its embeddings too.
        aesthetics: weights of AudioBox-Aesthetics, for its ratings of the mixes.

    Raises:
        UserError: weights are given that cannot be used.
    """
    embeds: dict[str, Embed] = {LOG_MEL: log_mel_statistics, LATENTS: latent_vectors(bundle)}
    if clap is not None:
        embeds[CLAP] = outside_models.clap(clap)
    rate = outside_models.aesthetics(aesthetics) if aesthetics is not None else None
    measured, ratings = [], []
    for versions, style in _versions(bundle, songs, seconds):
        measured.append(Song(style, sets_of(versions, embeds)))
        if rate is not None:
            ratings.append([rate(version[MIX]) for version in versions])
        tell()
    tables = [song_table(measured), pooled_table(measured, tuple(embeds))]
    if ratings:
        tables.append(rating_table(ratings))
    command = "backline evaluate --parts frechet"
    title = "Nearness to real stems"
    return Section("frechet", title, command, provenance().line, tuple(tables), NOTES)


def sets_of(versions: Versions, embeds: Mapping[str, Embed]) -> dict[tuple[str, str], Sets]:
    """Return a song's sets by measure and stem, for the stems that sound in the real version."""
    sounding = [part for part in PARTS if np.sqrt(np.square(versions[0][part], dtype=np.float64).mean()) > _SILENT_RMS]
    return {
        (measure, part): Sets(*(Moments.of(embed(version[part])) for version in versions))
        for measure, embed in embeds.items()
        for part in sounding
    }


def song_table(songs: Sequence[Song]) -> Table:
    """Return the distances song by song, with the floor."""
    rows = []
    for measure, part in ((measure, part) for measure in (LOG_MEL, LATENTS) for part in PARTS):
        found = song_by_song(songs, measure, part)
        distances = (found.generated, found.reconstruction, found.same_style, found.another)
        shown = (number(distance, 1) for distance in distances)
        met = verdict(found.way < MOST_OF_THE_WAY) if found.way == found.way else ""
        rows.append((f"{part}, {measure}", str(found.songs), *shown, percent(found.way), met))
    first = ("Fréchet distance to the song's real stem", "songs", "generated", "codec's reconstruction")
    last = ("another song's of the same style", "another song's", "way from reconstruction to another's", "")
    return Table("Song by song", (*first, *last), tuple(rows))


def pooled_table(songs: Sequence[Song], measures: Sequence[str]) -> Table:
    """Return the distances of all songs at once."""
    rows = []
    for measure, part in ((measure, part) for measure in measures for part in PARTS):
        found = pooled(songs, measure, part)
        distances = (found.generated, found.reconstruction, found.another)
        rows.append((f"{part}, {measure}", str(found.songs), *(number(distance, 2) for distance in distances)))
    columns = ("Fréchet distance to all real stems", "songs", "generated", "codec's reconstruction", "halves")
    return Table("All songs pooled", columns, tuple(rows))


def rating_table(ratings: Sequence[Sequence[Mapping[str, float]]]) -> Table:
    """Return the mean ratings of real, generated and reconstructed mixes, from 1 to 10."""
    rows = []
    for axis, name in outside_models.AESTHETIC_AXES.items():
        means = [float(np.mean([song[version][axis] for song in ratings])) for version in range(3)]
        rows.append((name, *(number(value, 2) for value in means)))
    columns = ("AudioBox-Aesthetics, mix", "real", "generated", "codec's reconstruction")
    return Table("Rated by AudioBox-Aesthetics", columns, tuple(rows))


def _versions(bundle: Bundle, songs: Sequence[SongFacts], seconds: float) -> Iterator[tuple[Versions, str | None]]:
    """Yield each song's real, generated and reconstructed stems and mix, and its style."""
    play, reconstruct = band(bundle), reconstruction(bundle)
    for seed, facts in enumerate(songs):
        excerpt = read_excerpt(facts, seconds)
        real = {stem: excerpt.audio[stem] for stem in STEMS}
        made = play(excerpt, Wish(style=facts.style, seed=seed))
        rebuilt = {stem: reconstruct(audio) for stem, audio in real.items()}
        yield tuple({**stems, MIX: mixed(stems)} for stems in (real, made, rebuilt)), facts.style
