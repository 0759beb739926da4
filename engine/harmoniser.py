"""Key and chords read off a vocal: the key, and without a reader the chords, by a hidden Markov model of chords.

Simon, Morris and Basu (2008), *MySong: automatic accompaniment generation for vocal melodies*, with three changes: the
pitch classes come as chroma with a voicing rather than as notes, chords change on bars and half bars rather than on
bars alone (and by statistics of their own on each), and the key is the one with the highest summed likelihood of all
chord sequences in it (`engine.vocal_key`). (A key profile as in Temperley 2007 beside it found fewer keys: the
emissions say the same.)

A pure function of the frames given: a prefix of the vocal has a harmony too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.chord_classes import chord_class, shared_notes
from engine.chord_reader import SUNG_CHANNELS, ChordReader, seen_from, steady_chords, unit_channels
from engine.conditions import PITCH_CHANNELS
from engine.geometry import LATENT_RATE_HZ
from engine.harmonic_units import Units, frame_beats, harmonic_units
from engine.harmony import PITCH_CLASSES, Chord, ChordSpan, Key
from engine.harmony_tables import Floats, HarmonyTables
from engine.repetition import Read, with_repeats
from engine.timeline import Timeline
from engine.vocal_key import key_scores, likely_signatures, read_scores, unit_likelihoods

READ_KEY_WEIGHT, GIVEN_KEY_WEIGHT, MOVES_WEIGHT = 0.5, 2.0, 0.5
"""How much a key's own chords count beside what is sung, where the key was read and where the user gives it (the more,
the surer a key is heard that the vocal is not in); and how much, which chord follows which. Chosen on validation songs.
"""
READ_SURENESS = 0.8
"""How likely a chord is that was read earlier."""
LIKELIHOOD_WEIGHT, SHARED_NOTES_WEIGHT = 0.5, 4.0
"""How much it counts where nothing was heard that a chord is likely, and that its notes are; by validation songs."""


_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class ReadUnits:
    """Some units of a song that follow each other, as they were read.

    Attributes:
        units: where they lie.
        chords: the chord of each.
        sung: (units, channels) what is sung in each, from C up.
        heard: (units,) share of each that was heard, in [0, 1].
    """

    units: Units
    chords: tuple[Chord, ...]
    sung: Floats
    heard: Floats


@dataclass(frozen=True, slots=True)
class Harmony:
    """What was read off a vocal.

    Attributes:
        key: the song's key.
        confidence: the key's share of the likelihood of all 24, in [0, 1]; 1 for a key that was given.
        chords: spans that follow each other without a gap.
        read: the same unit by unit.
    """

    key: Key
    confidence: float
    chords: tuple[ChordSpan, ...]
    read: ReadUnits = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Harmoniser:
    """Reads key and chords off vocals.

    Attributes:
        tables: statistics of songs, which say the key, and the chords where there is no reader.
        reader: reads the chords and the key, if the bundle has one.
    """

    tables: HarmonyTables
    reader: ChordReader | None = None

    def harmonise(
        self,
        pitch: NDArray[np.float32],
        timeline: Timeline,
        start_frame: int = 0,
        key: Key | None = None,
        heard: NDArray[np.bool_] | None = None,
        before: ReadUnits | None = None,
    ) -> Harmony | None:
        """Return key and chords that suit a vocal.

        Args:
            pitch: (14, frames) chroma that sums to the voicing, voicing and energy: `engine.vocal_pitch`.
            timeline: the song's tempos and time signatures.
            start_frame: the song's latent frame that column 0 is.
            key: the key, if known.
            heard: (frames,) where the vocal is known; None for everywhere. Elsewhere the chords are expected to go on
                as songs do, and as this one did so far (`engine.repetition`).
            before: what was read of the song up to the unit that the first frame lies in, for what may repeat.

        Returns:
            Chords from the start of the unit that the first frame lies in to the end of the last frame's; where nothing
            is sung they go on as songs do. None if no frame is voiced.

        Raises:
            ValueError: `pitch` is not (14, frames).
        """
        if pitch.ndim != 2 or pitch.shape[0] != PITCH_CHANNELS:
            raise ValueError(f"pitch has shape {pitch.shape}, expected ({PITCH_CHANNELS}, frames)")
        if not pitch[:PITCH_CLASSES].any():
            return None
        beats = frame_beats(timeline, start_frame, pitch.shape[1])
        units = harmonic_units(timeline, float(beats[0]), float(beats[-1]))
        sung = sung_beats(pitch, timeline, beats, units, self.tables.beat_accent)
        share = np.ones(len(sung)) if heard is None else _heard_share(heard, units.of_beats(beats), len(sung))
        scores = np.zeros(0) if key else key_scores(self.tables, sung, units.begins_bar)
        if self.reader is None:
            key, confidence = (key, 1.0) if key else _likeliest(scores)
            chords = _tabled(self.tables, key, sung, units, share)
            return Harmony(key, confidence, _spans(chords, units), ReadUnits(units, chords, sung, share))
        signatures = [key.signature] if key else likely_signatures(scores)
        channels = unit_channels(pitch, timeline, beats, units, heard)
        reading = self.reader.read(np.stack([seen_from(channels, signature) for signature in signatures]))
        home, confidence = (key, 1.0) if key else _likeliest(read_scores(signatures, reading.keys))
        in_key = reading.chords[signatures.index(home.signature), :, int(home.minor)]
        weight = GIVEN_KEY_WEIGHT if key else READ_KEY_WEIGHT
        notes = channels[:, :SUNG_CHANNELS].astype(np.float64)
        song = Read(in_key + weight * self.reader.habits.degrees[int(home.minor)], notes, units.begins_bar, share)
        in_key = _safe(with_repeats(_after(before, song, home.signature))[-len(share) :], share)
        chords = steady_chords(in_key, units, home.signature, MOVES_WEIGHT * self.reader.habits.moves[int(home.minor)])
        return Harmony(home, confidence, _spans(chords, units), ReadUnits(units, chords, notes, share))


def sung_beats(
    pitch: NDArray[np.float32], timeline: Timeline, beats: Floats, units: Units, beat_accent: float
) -> Floats:
    """Return how many beats of each pitch class are sung in each unit, (units, 12), its accents counted in.

    Args:
        pitch: (14, frames).
        timeline: the song's.
        beats: (frames,) the frames' middles.
        units: the song's.
        beat_accent: how much more the first half of a beat counts.
    """
    beats_a_frame = timeline.bpms_at_beats(beats) / 60.0 / LATENT_RATE_HZ
    weights = beats_a_frame * (1.0 + beat_accent * (beats % 1.0 < 0.5))
    sung = np.zeros((len(units.begins_bar), PITCH_CLASSES))
    np.add.at(sung, units.of_beats(beats), (pitch[:PITCH_CLASSES] * weights).T)
    return sung


def _safe(logs: Floats, heard: Floats) -> Floats:
    """Return `logs` (units, chords) with the chords preferred whose notes clash least, whatever comes, if unheard."""
    unheard = heard < 1.0
    if not unheard.any():
        return logs
    chances = np.exp(logs[unheard] - np.logaddexp.reduce(logs[unheard], axis=1, keepdims=True))
    shared = np.log(chances @ shared_notes())
    safe = logs.copy()
    safe[unheard] = LIKELIHOOD_WEIGHT * np.log(chances + _LEAST) + SHARED_NOTES_WEIGHT * shared
    return safe


def _after(before: ReadUnits | None, song: Read, signature: int) -> Read:
    """Return `song` with what was read before it in front; chords that were read are nearly sure."""
    if before is None:
        return song
    classes = np.array([chord_class(chord, signature) for chord in before.chords], np.intp)
    chances = np.full((len(classes), song.logs.shape[1]), (1.0 - READ_SURENESS) / (song.logs.shape[1] - 1))
    chances[np.arange(len(classes)), classes] = READ_SURENESS
    return Read(
        np.concatenate([np.log(chances), song.logs]),
        np.concatenate([before.sung, song.sung]),
        np.concatenate([before.units.begins_bar, song.begins_bar]),
        np.concatenate([before.heard, song.heard]),
    )


def _likeliest(scores: Floats) -> tuple[Key, float]:
    """Return the likeliest key, and its share of the likelihood of all, from logs (24,)."""
    best = int(scores.argmax())
    return Key.from_index(best), float(1.0 / np.exp(scores - scores[best]).sum())


def _heard_share(heard: NDArray[np.bool_], unit_of_frame: NDArray[np.intp], units: int) -> Floats:
    """Return (units,) the share of each unit's frames that was heard."""
    frames = np.bincount(unit_of_frame, minlength=units)
    return np.asarray(np.bincount(unit_of_frame, heard, minlength=units) / np.maximum(frames, 1))


def _best_path(
    tables: HarmonyTables, mode: int, likelihoods: Floats, begins_bar: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the best state of each unit (Viterbi), from the logs `likelihoods` (units, states) in one key."""
    steps = np.log(tables.transition[mode])
    steps[1] += tables.change_bonus * (1.0 - np.eye(len(tables.states)))
    score = np.log(tables.first[mode]) + likelihoods[0]
    came_from = np.zeros(likelihoods.shape, dtype=np.intp)
    for unit in range(1, len(likelihoods)):
        options = score[:, None] + steps[int(begins_bar[unit])]
        came_from[unit] = options.argmax(axis=0)
        score = options.max(axis=0) + likelihoods[unit]
    path = np.zeros(len(likelihoods), dtype=np.intp)
    path[-1] = score.argmax()
    for unit in range(len(likelihoods) - 1, 0, -1):
        path[unit - 1] = came_from[unit, path[unit]]
    return path


def _tabled(tables: HarmonyTables, key: Key, sung: Floats, units: Units, heard: Floats) -> tuple[Chord, ...]:
    """Return the chord of each unit by the tables alone."""
    mode = int(key.minor)
    song = Read(unit_likelihoods(tables, sung)[:, mode, key.tonic], sung, units.begins_bar, heard)
    likelihoods = with_repeats(song)
    path = _best_path(tables, mode, likelihoods, units.begins_bar)
    return tuple(tables.states[state].chord_in(key.tonic) for state in path)


def _spans(chords: Sequence[Chord], units: Units) -> tuple[ChordSpan, ...]:
    """Return the units' chords as spans, neighbouring units of one chord joined."""
    starts = [unit for unit in range(len(chords)) if unit == 0 or chords[unit] != chords[unit - 1]]
    beats = units.borders[[*starts, len(chords)]].tolist()
    return tuple(ChordSpan(*span, chords[unit]) for unit, span in zip(starts, pairwise(beats), strict=True))
