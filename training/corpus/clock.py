"""Where the beats of a Song fall, by the project's one timeline."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.geometry import SAMPLE_RATE_HZ
from engine.timeline import Timeline
from training.corpus.notes import Song


def song_timeline(song: Song) -> Timeline:
    """Return the timeline of `song`: beat 0 is sample 0."""
    return Timeline(song.tempo_map, song.time_signatures)


def beats_to_samples(song: Song, beats: Iterable[float]) -> NDArray[np.int64]:
    """Return the samples at which `beats` of `song` fall, to the nearest."""
    return song_timeline(song).samples_at_beats(beats)


def beats_to_seconds(song: Song, beats: Iterable[float]) -> NDArray[np.float64]:
    """Return the seconds at which `beats` of `song` fall, to the nearest sample."""
    seconds: NDArray[np.float64] = beats_to_samples(song, beats) / SAMPLE_RATE_HZ
    return seconds


def song_samples(song: Song) -> int:
    """Return the length of `song` in samples."""
    return song_timeline(song).sample_at_beat(song.length_beats)
