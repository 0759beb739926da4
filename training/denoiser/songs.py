"""Latent songs in memory: everything about a song that a training window is cut from, packed once when it is read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.conditions import (
    Conditions,
    attention_conditions,
    chord_conditions,
    key_conditions,
    known_conditions,
    pack,
    position_conditions,
    timeline_conditions,
    vocal_conditions,
)
from engine.geometry import LATENT_CHANNELS, LATENT_RATE_HZ, STEMS
from engine.harmony import ChordSpan, Key
from engine.styles import STYLES, style_index
from engine.timeline import Timeline
from training.denoiser.sounds import sound_weights

STATISTICS = "statistics.npz"
HELD_OUT_EVERY = 10


class LatentsError(Exception):
    """Latents that are missing or do not fit; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Mean and standard deviation of each latent channel, (64,) float32: the denoiser sees (latent - mean) / std."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def normalised(self, latents: NDArray[np.floating]) -> NDArray[np.float32]:
        """Normalise latents (..., 64, frames)."""
        return ((latents.astype(np.float32) - self.mean[:, None]) / self.std[:, None]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LatentSong:
    """One song, with every condition that its song.json gives; windows of it are cut and then partly hidden.

    Attributes:
        name: the song's id.
        split: `train`, `validation` or `test`.
        style: (len(STYLES),) bool, true at the song's style; all false where it is unknown.
        packed: (CONDITION_CHANNELS, frames) float16; attention holds the accompaniment's curves, and `known` the whole
            accompaniment, which is also what the denoiser learns to make.
        vocal_curves: (2, frames) float16, the vocal's own arousal and focus.
        sounds: the weights of `training.denoiser.sounds`; zeros where they are not known.
    """

    name: str
    split: str
    style: NDArray[np.bool_]
    packed: NDArray[np.float16]
    vocal_curves: NDArray[np.float16]
    sounds: NDArray[np.float32]

    @property
    def frames(self) -> int:
        """The song's length in latent frames."""
        return int(self.packed.shape[-1])


def load_statistics(directory: Path) -> LatentStatistics:
    """Read `statistics.npz` of a latents folder.

    Raises:
        LatentsError: the file is missing or its arrays are not (64,) and positive.
    """
    path = directory / STATISTICS
    try:
        with np.load(path) as arrays:
            statistics = LatentStatistics(arrays["mean"].astype(np.float32), arrays["std"].astype(np.float32))
    except (OSError, KeyError, ValueError) as error:
        raise LatentsError(f"{path} cannot be read ({error}); make the latents with the codec first") from error
    if statistics.mean.shape != (LATENT_CHANNELS,) or statistics.std.shape != (LATENT_CHANNELS,):
        raise LatentsError(f"{path}: mean and std have shape {statistics.mean.shape}; expected ({LATENT_CHANNELS},)")
    if not (statistics.std > 0.0).all():
        raise LatentsError(f"{path}: a standard deviation is not above 0; encode more songs")
    return statistics


def load_songs(directory: Path, statistics: LatentStatistics) -> tuple[LatentSong, ...]:
    """Read every song of a latents folder into memory, in the order of their file names.

    Raises:
        LatentsError: there is none, or one does not fit.
    """
    paths = sorted(path for path in directory.glob("*.npz") if path.name != STATISTICS)
    if not paths:
        raise LatentsError(f"no songs (*.npz) in {directory}; make the latents with the codec first")
    return tuple(load_song(path, statistics) for path in paths)


def load_song(path: Path, statistics: LatentStatistics) -> LatentSong:
    """Read one `<song>.npz`.

    Raises:
        LatentsError: the file is damaged or an array does not fit.
    """
    try:
        with np.load(path) as arrays:
            return _song(path.stem, {name: arrays[name] for name in arrays.files}, statistics)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise LatentsError(f"{path} is not a latent song ({error!r}); encode it again") from error


def _song(name: str, arrays: Mapping[str, NDArray[Any]], statistics: LatentStatistics) -> LatentSong:
    song = json.loads(str(arrays["song"]))
    latents = statistics.normalised(arrays["latents"])  # (4, 64, frames): vocals, then the stems
    frames = latents.shape[-1]
    timeline = Timeline(song["tempo_map"], song["time_signatures"])
    vocal_latents, vocal_pitch = vocal_conditions(latents[0], arrays["pitch"].astype(np.float32))
    conditions = Conditions(
        vocal_latents=vocal_latents,
        vocal_pitch=vocal_pitch,
        timeline=timeline_conditions(timeline, 0, frames),
        chord=chord_conditions([ChordSpan.from_row(row) for row in song.get("chords") or ()], timeline, 0, frames),
        key=_key(song.get("key"), frames),
        attention=attention_conditions(arrays["curves_mix"].astype(np.float32), wanted=True),
        position=position_conditions(0, frames, frames),
        known=known_conditions(latents[1:], np.ones((len(STEMS), frames), dtype=np.bool_)),
    )
    packed = pack(conditions, frames).astype(np.float16)
    if not np.isfinite(packed).all():
        raise ValueError("a latent or condition is not finite")
    curves = arrays["curves_vocal"].astype(np.float16)
    sounds = sound_weights(arrays.get("sounds"))
    return LatentSong(name, song.get("split", "train"), _style(song.get("style")), packed, curves, sounds)


def _key(name: str | None, frames: int) -> NDArray[np.float32] | None:
    """Return the group `key`, or None where there is no key, or one that is neither major nor minor."""
    try:
        return key_conditions(Key.parse(name), frames) if name else None
    except ValueError:
        return None


def _style(name: str | None) -> NDArray[np.bool_]:
    weights = np.zeros(len(STYLES), dtype=np.bool_)
    if name is not None:
        weights[style_index(name)] = True
    return weights


def split_songs(songs: Sequence[LatentSong]) -> tuple[tuple[LatentSong, ...], tuple[LatentSong, ...]]:
    """Return the songs to train on and those held out; where none is marked for validation, every tenth is held out.

    Songs of the test split are in neither. A song that is alone is trained on.
    """
    training = tuple(song for song in songs if song.split == "train")
    held_out = tuple(song for song in songs if song.split == "validation")
    if held_out or len(training) == 1:
        return training, held_out
    return (
        tuple(song for index, song in enumerate(training) if index % HELD_OUT_EVERY),
        training[::HELD_OUT_EVERY],
    )


def hours(songs: Sequence[LatentSong]) -> float:
    """Return the length of all `songs` together, in hours."""
    return sum(song.frames for song in songs) / LATENT_RATE_HZ / 3600.0
