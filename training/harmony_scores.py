"""How well vocals are harmonised: shares of time in which the chords are the song's, beside simple guesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from engine.harmonic_units import frame_beats
from engine.harmoniser import Harmoniser
from engine.harmony import PITCH_CLASSES, Chord, ChordSpan, Key
from engine.harmony_tables import ChordState, Floats
from engine.timeline import Timeline

COLUMNS = ("root", "triad", "notes")


class SungSong(Protocol):
    """What is needed of a song: `training.harmony.Song`."""

    @property
    def pitch(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(14, frames) of the vocal."""

    @property
    def timeline(self) -> Timeline:
        """Tempos and time signatures."""

    @property
    def key(self) -> Key:
        """The annotated key."""

    def chords_at(self, beats: Floats) -> list[Chord]:
        """Return the chord at each of `beats`."""


Guess = Callable[[SungSong, Floats], Sequence[Chord]]


def report(name: str, harmoniser: Harmoniser, songs: Sequence[SungSong]) -> str:
    """Return a table: for each way to guess, the time-weighted shares of `agreement`, and how many keys are right."""
    others = dict(zip(map(id, songs), [*songs[1:], *songs[:1]], strict=True))
    guesses: dict[str, Guess] = {
        "from the vocal": lambda song, beats: _read(harmoniser, song, beats, None),
        "from the vocal, key given": lambda song, beats: _read(harmoniser, song, beats, song.key),
        "the tonic chord of the true key": _tonic,
        "another song's chords": lambda song, beats: others[id(song)].chords_at(beats),
        "another song's chords, in the true key": lambda song, beats: _moved(others[id(song)], song.key, beats),
    }
    keys = [harmoniser.harmonise(song.pitch, song.timeline) for song in songs]
    right = sum(found is not None and found.key == song.key for found, song in zip(keys, songs, strict=True))
    scale = sum(
        found is not None and found.key.signature == song.key.signature for found, song in zip(keys, songs, strict=True)
    )
    lines = [f"{name}: {len(songs)} songs, key right in {right}, its notes in {scale}"]
    lines += [f"  {label:<40}" + _columns(score(songs, guess)) for label, guess in guesses.items()]
    return "\n".join(lines)


def score(songs: Sequence[SungSong], guess: Guess) -> Floats:
    """Return (3,) `agreement` over all songs, each beat of which counts the same."""
    total, beats_in_all = np.zeros(3), 0.0
    for song in songs:
        beats = frame_beats(song.timeline, 0, song.pitch.shape[1])
        truth, weights = song.chords_at(beats), np.gradient(beats)
        for true, guessed, weight in zip(truth, guess(song, beats), weights, strict=True):
            if true.root >= 0:
                total += weight * np.array(agreement(true, guessed))
                beats_in_all += weight
    return np.asarray(total / beats_in_all)


def agreement(true: Chord, guessed: Chord) -> tuple[float, float, float]:
    """Return whether the root is right, root and third are, and the share of the true notes that the guess has."""
    root = float(true.root == guessed.root)
    third = (true.root + 3) % PITCH_CLASSES, (true.root + 4) % PITCH_CLASSES
    same = all((note in true.pitch_classes) == (note in guessed.pitch_classes) for note in third)
    notes = {*true.pitch_classes}
    return root, root * same, len(notes & {*guessed.pitch_classes}) / len(notes)


def at_beats(spans: Sequence[ChordSpan], beats: Floats) -> list[Chord]:
    """Return the chord at each of `beats` of spans without gaps."""
    starts = np.array([span.start_beat for span in spans])
    return [spans[max(i, 0)].chord for i in np.searchsorted(starts, beats, side="right") - 1]


def _read(harmoniser: Harmoniser, song: SungSong, beats: Floats, key: Key | None) -> Sequence[Chord]:
    harmony = harmoniser.harmonise(song.pitch, song.timeline, key=key)
    return at_beats(harmony.chords, beats) if harmony else [Chord(-1, (), -1)] * len(beats)


def _tonic(song: SungSong, beats: Floats) -> Sequence[Chord]:
    return [ChordState(0, "min" if song.key.minor else "maj").chord_in(song.key.tonic)] * len(beats)


def _moved(other: SungSong, key: Key, beats: Floats) -> Sequence[Chord]:
    """Return another song's chords as if its key had the same notes as `key`."""
    steps = (key.signature - other.key.signature) % PITCH_CLASSES
    return [_transposed(chord, steps) for chord in other.chords_at(beats)]


def _transposed(chord: Chord, steps: int) -> Chord:
    if chord.root < 0:
        return chord
    root, bass = (chord.root + steps) % PITCH_CLASSES, (chord.bass + steps) % PITCH_CLASSES
    return Chord(root, tuple(sorted((note + steps) % PITCH_CLASSES for note in chord.pitch_classes)), bass)


def _columns(shares: Floats) -> str:
    return "".join(f"  {label} {share:.3f}" for label, share in zip(COLUMNS, shares, strict=True))
