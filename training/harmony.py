"""Statistics of the training songs' harmony, and how well vocals are harmonised with them.

`python -m training.harmony --latents .cache/latents --out .cache/harmony.json`

Everything is counted relative to the key, so all songs of a mode are pooled; the weights were chosen on validation.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.chord_classes import QUALITIES, nearest_quality
from engine.harmonic_units import Units, frame_beats, harmonic_units
from engine.harmoniser import Harmoniser, sung_beats
from engine.harmony import NO_CHORD, PITCH_CLASSES, Chord, ChordSpan, Key
from engine.harmony_tables import MODES, ChordState, Floats, HarmonyTables
from engine.timeline import Timeline
from training.harmony_scores import report

TRIADS = tuple(ChordState(degree, quality) for quality in ("maj", "min") for degree in range(PITCH_CLASSES))
RICHER_QUALITIES = QUALITIES[2:]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is not counted but chosen, on the validation songs.

    Attributes:
        richer_states: chords besides the 24 triads, the most common ones.
        evidence: see `HarmonyTables`.
        beat_accent: see `HarmonyTables`.
        change_bonus: see `HarmonyTables`; with it chords change as often as the songs' own do.
        emission_beats: sung beats that the pooled emission is worth beside a chord's own.
        transition_units: transitions that the pooled ones are worth beside a chord's own.
    """

    richer_states: int = 12
    evidence: float = 1.0
    beat_accent: float = 0.5
    change_bonus: float = 0.6
    emission_beats: float = 5.0
    transition_units: float = 10.0


@dataclass(frozen=True, slots=True)
class Song:
    """What a cached song says of its harmony.

    Attributes:
        split: `train`, `validation` or `test`.
        pitch: (14, frames) of the vocal.
        timeline: tempos and time signatures.
        key: the annotated key.
        chords: the annotated chords.
    """

    split: str
    pitch: np.ndarray[Any, np.dtype[np.float32]]
    timeline: Timeline
    key: Key
    chords: tuple[ChordSpan, ...]

    def chords_at(self, beats: Floats) -> list[Chord]:
        """Return the chord at each of `beats`; no chord where none is annotated."""
        starts = np.array([span.start_beat for span in self.chords])
        spans = [self.chords[max(i, 0)] for i in np.searchsorted(starts, beats, side="right") - 1]
        inside = [span.start_beat <= beat < span.end_beat for span, beat in zip(spans, beats, strict=True)]
        return [span.chord if known else NO_CHORD for span, known in zip(spans, inside, strict=True)]

    def units(self) -> Units:
        """Return the song's harmonic units."""
        beats = frame_beats(self.timeline, 0, self.pitch.shape[1])
        return harmonic_units(self.timeline, float(beats[0]), float(beats[-1]))


def read_songs(folder: Path) -> list[Song]:
    """Return the songs cached in `folder` by `training.encode_corpus`.

    Raises:
        ValueError: there are none.
    """
    songs = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            if "song" in arrays.files:
                songs.append(_song(arrays["pitch"], json.loads(str(arrays["song"]))))
    if not songs:
        raise ValueError(f"{folder} holds no cached songs; run python -m training.encode_corpus first")
    return songs


def _song(pitch: np.ndarray[Any, np.dtype[np.float32]], facts: dict[str, Any]) -> Song:
    timeline = Timeline(facts["tempo_map"], facts["time_signatures"])
    chords = sorted((ChordSpan.from_row(row) for row in facts["chords"]), key=lambda span: span.start_beat)
    return Song(facts["split"], pitch, timeline, Key.parse(facts["key"]), tuple(chords))


def state_of(chord: Chord, key: Key, states: Sequence[ChordState]) -> int:
    """Return the number of the state that `chord` is, or is nearest to; -1 for no chord.

    The nearest has most notes in common: a diminished triad that is no state counts as the seventh chord whose upper
    three notes it is, not as a minor triad, whose fifth it lacks.
    """
    if chord.root < 0:
        return -1
    degree = (chord.root - key.tonic) % PITCH_CLASSES
    state = ChordState(degree, nearest_quality(chord))
    if state in states:
        return states.index(state)
    notes = {(note - key.tonic) % PITCH_CLASSES for note in chord.pitch_classes}

    def likeness(number: int) -> tuple[float, bool]:
        others = {*states[number].chord_in(0).pitch_classes}
        return len(notes & others) / len(notes | others), states[number].degree == degree

    return max(range(len(states)), key=likeness)


def chosen_states(songs: Iterable[Song], richer: int) -> tuple[ChordState, ...]:
    """Return all triads and the `richer` most common other chords."""
    beats: defaultdict[ChordState, float] = defaultdict(float)
    for song in songs:
        for span in song.chords:
            if span.chord.root >= 0:
                degree = (span.chord.root - song.key.tonic) % PITCH_CLASSES
                beats[ChordState(degree, nearest_quality(span.chord))] += span.end_beat - span.start_beat
    others = [state for state in beats if state.quality in RICHER_QUALITIES]
    return TRIADS + tuple(sorted(others, key=lambda state: -beats[state])[:richer])


def estimate(songs: Sequence[Song], settings: Settings) -> HarmonyTables:
    """Return the tables of `songs`."""
    states = chosen_states(songs, settings.richer_states)
    modes, count = len(MODES), len(states)
    songs_in_mode = np.ones(modes)
    first, moves = np.zeros((modes, count)), np.zeros((modes, 2, count, count))
    sung_with = np.zeros((modes, count, PITCH_CLASSES))
    for song in songs:
        mode, units = int(song.key.minor), song.units()
        path = [state_of(chord, song.key, states) for chord in song.chords_at(_middles(units))]
        songs_in_mode[mode] += 1
        if path[0] >= 0:
            first[mode, path[0]] += 1
        for before, after, into_bar in zip(path, path[1:], units.begins_bar[1:], strict=False):
            if before >= 0 and after >= 0:
                moves[mode, int(into_bar), before, after] += 1
        sung_with[mode] += _sung_with(song, states, settings.beat_accent)
    common = moves.sum(axis=(1, 2)) + 1.0
    common /= common.sum(axis=1, keepdims=True)
    return HarmonyTables(
        states,
        songs_in_mode / songs_in_mode.sum(),
        _smoothed(first, common, settings.transition_units),
        _smoothed(moves, _pooled_moves(moves, common), settings.transition_units),
        _smoothed(sung_with, _pooled_emission(sung_with, states), settings.emission_beats),
        settings.evidence,
        settings.beat_accent,
        settings.change_bonus,
    )


def _middles(units: Units) -> Floats:
    return (units.borders[:-1] + units.borders[1:]) / 2


def _sung_with(song: Song, states: Sequence[ChordState], beat_accent: float) -> Floats:
    """Return the beats (states, 12) that each pitch class above the tonic is sung for over each chord."""
    beats = frame_beats(song.timeline, 0, song.pitch.shape[1])
    chords = song.chords_at(beats)
    state_of_chord = {chord: state_of(chord, song.key, states) for chord in set(chords)}
    numbers = np.array([state_of_chord[chord] for chord in chords])
    each = Units(np.append(beats, np.inf), np.ones(len(beats), dtype=np.bool_))
    sung = np.roll(sung_beats(song.pitch, song.timeline, beats, each, beat_accent), -song.key.tonic, axis=1)
    total = np.zeros((len(states), PITCH_CLASSES))
    np.add.at(total, numbers[numbers >= 0], sung[numbers >= 0])
    return total


def _smoothed(counts: Floats, pooled: Floats, worth: float) -> Floats:
    """Return shares of `counts` along the last dimension, to which `pooled` shares add `worth` counts a row."""
    return _shares(counts + worth * pooled)


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _pooled_moves(moves: Floats, common: Floats) -> Floats:
    """Return (modes, 2, states, states): stay as often as all chords do, else go where all chords go."""
    identity = np.eye(moves.shape[-1])
    stays = (moves * identity).sum(axis=(2, 3)) + 1.0
    stay = (stays / (moves.sum(axis=(2, 3)) + 2.0))[:, :, None, None]
    return np.asarray(stay * identity + (1 - stay) * common[:, None, None, :])


def _pooled_emission(sung_with: Floats, states: Sequence[ChordState]) -> Floats:
    """Return (modes, states, 12): what is sung over a chord of this quality, times what is sung in this mode."""
    in_key = _shares(sung_with.sum(axis=1) + 1.0)
    by_quality: dict[str, Floats] = {}
    for number, state in enumerate(states):
        counts = np.roll(sung_with[:, number].sum(axis=0), -state.degree)
        by_quality[state.quality] = by_quality.get(state.quality, np.full(PITCH_CLASSES, 1.0)) + counts
    over_chord = np.stack([np.roll(_shares(by_quality[state.quality]), state.degree) for state in states])
    return _shares(over_chord * np.sqrt(in_key)[:, None])


def main() -> int:
    """Estimate, write and report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.harmony", description=__doc__)
    parser.add_argument("--latents", type=Path, required=True, help="folder of songs cached by training.encode_corpus")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, for python -m export --harmony")
    options = parser.parse_args()
    try:
        songs = read_songs(options.latents)
        tables = estimate([song for song in songs if song.split == "train"], Settings())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.write_text(json.dumps(tables.to_dict(), indent=1) + "\n", encoding="utf-8")
    for split in ("validation", "test"):
        print(report(split, Harmoniser(tables), [song for song in songs if song.split == split]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
