"""What the chord network learns from: melodies with their chords, as scores by the thousand and as rendered voices.

A score becomes the pitch that the engine would hear of a singer: notes a little early or late, consonants without a
pitch, overtones and neighbours in the chroma, a note left out or sung wrong now and then.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.chord_classes import chord_class
from engine.chord_reader import seen_from, unit_channels
from engine.conditions import PITCH_CHANNELS
from engine.geometry import LATENT_HOP_SAMPLES, LATENT_RATE_HZ, SAMPLE_RATE_HZ
from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmony import PITCH_CLASSES, Chord, ChordSpan, Key
from engine.spectra import Array
from engine.timeline import Timeline
from training.corpus.arranger import TRIPLET_STYLES, monophonic
from training.corpus.notes import Note
from training.corpus.score import Score, split_of, swing_melody
from training.corpus.songs import Recipe, score_of
from training.harmony import Song

FIFTH = 7


@dataclass(frozen=True, slots=True)
class ReadSong:
    """A song as the network sees it, from the tonic of its key signature up.

    Attributes:
        channels: (units, UNIT_CHANNELS) float16.
        classes: (units,) chord classes; -1 where no chord is known.
        minor: whether its key is the minor one of the signature.
    """

    channels: NDArray[np.float16]
    classes: NDArray[np.int64]
    minor: bool


def read_song(song: Song) -> ReadSong:
    """Return a song with its vocal's pitch as the network sees it."""
    beats = frame_beats(song.timeline, 0, song.pitch.shape[1])
    units = harmonic_units(song.timeline, float(beats[0]), float(beats[-1]))
    signature = song.key.signature
    channels = seen_from(unit_channels(song.pitch, song.timeline, beats, units), signature)
    chords = song.chords_at((units.borders[:-1] + units.borders[1:]) / 2)
    classes = np.array([chord_class(chord, signature) for chord in chords], np.int64)
    return ReadSong(channels.astype(np.float16), classes, song.key.minor)


def composed_song(recipe: Recipe, data_dir: Path | None, seed: int) -> ReadSong:
    """Return the song of a recipe, its score sung as `sung_pitch` does, as the network sees it.

    Args:
        recipe: from `training.corpus.songs.list_recipes`.
        data_dir: the folder that it was listed with.
        seed: decides the excerpt and the singing.
    """
    rng = np.random.default_rng([recipe.seed, seed])
    score = score_of(recipe, data_dir, rng)
    return sung_score(swing_melody(score) if recipe.style in TRIPLET_STYLES else score, rng)


def whole_song(score: Score, seed: int) -> ReadSong:
    """Return a whole song of POP909, sung at a tempo near its own, as the network sees it."""
    rng = np.random.default_rng([seed, *score.composition.encode()])
    return sung_score(replace(score, bpm=score.bpm * float(rng.uniform(0.85, 1.2))), rng)


def sung_score(score: Score, rng: np.random.Generator) -> ReadSong:
    """Return a score, sung as `sung_pitch` does, as the network sees it."""
    timeline = Timeline([(0.0, score.bpm)], [(0.0, score.metre.numerator, score.metre.denominator)])
    pitch = sung_pitch(rng, monophonic(score.melody, score.length_beats), timeline, score.length_beats)
    chords = [
        ChordSpan(chord.start_beat, chord.end_beat, Chord(chord.root, chord.pitch_classes, chord.bass))
        for chord in score.chords
    ]
    key = Key(score.tonic, score.mode == "minor")
    return read_song(Song(split_of(score.composition), pitch, timeline, key, tuple(chords)))


def sung_pitch(rng: np.random.Generator, melody: tuple[Note, ...], timeline: Timeline, length_beats: float) -> Array:
    """Return the pitch (14, frames) that the engine might hear of a singer."""
    frames = int(timeline.sample_at_beat(length_beats) // LATENT_HOP_SAMPLES)
    seconds = (np.arange(frames) + 0.5) / LATENT_RATE_HZ
    pitch = np.zeros((PITCH_CHANNELS, frames), np.float32)
    late_seconds, consonant_seconds = rng.normal(0, 0.02), rng.uniform(0, 0.09)
    held, left_out, wrong = rng.uniform(0.8, 1.0), rng.uniform(0, 0.05), rng.uniform(0, 0.04)
    fifth, neighbour = rng.uniform(0, 0.12), rng.uniform(0, 0.25)
    for note in melody:
        if rng.random() < left_out:
            continue
        start = timeline.sample_at_beat(note.start_beat) / SAMPLE_RATE_HZ + late_seconds + rng.normal(0, 0.015)
        end = timeline.sample_at_beat(note.start_beat + note.duration_beats) / SAMPLE_RATE_HZ
        end, start = start + (end - start) * held, start + rng.uniform(0, consonant_seconds)
        inside = np.flatnonzero((seconds >= start) & (seconds < end))
        slip = int(rng.choice((-1, 1))) if rng.random() < wrong else 0
        if len(inside):
            shares = (fifth * rng.random(), neighbour * rng.random())
            _sing(pitch, inside, (note.pitch + slip) % PITCH_CLASSES, shares, rng)
    strays = np.flatnonzero(rng.random(frames) < 0.5 * rng.uniform(0, 0.1))
    pitch[rng.integers(PITCH_CLASSES, size=len(strays)), strays] += 0.4 * rng.random(len(strays))
    return pitch


def _sing(
    pitch: Array, inside: NDArray[Any], pitch_class: int, shares: tuple[float, float], rng: np.random.Generator
) -> None:
    """Put a note into the frames `inside`: its own class, its fifth and a neighbour, unsure in the first frame."""
    fifth, neighbour = shares
    voicing = rng.uniform(0.75, 1.0)
    pitch[:PITCH_CLASSES, inside] = 0.0
    pitch[pitch_class, inside] = voicing * (1.0 - fifth - neighbour)
    pitch[(pitch_class + FIFTH) % PITCH_CLASSES, inside] += voicing * fifth
    pitch[(pitch_class + int(rng.choice((-1, 1)))) % PITCH_CLASSES, inside] += voicing * neighbour
    pitch[:PITCH_CLASSES, inside[0]] *= rng.uniform(0.2, 1.0)
    if rng.random() < 0.3:
        pitch[int(rng.integers(PITCH_CLASSES)), inside[0]] += 0.3 * rng.random()
    pitch[PITCH_CLASSES, inside] = voicing
