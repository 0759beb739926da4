"""Chords read off a vocal by a small network that hears the song as a whole: what repeats, and where it is going.

The network sees the song unit by unit (`engine.harmonic_units`), its pitch classes from the key signature's tonic up,
so that one song teaches all keys and a major key and its relative minor are one. Lim, Rhyu and Lee (2017), *Chord
generation from symbolic melody using BLSTM networks*, read bar by bar; here attention finds the bars that came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.geometry import LATENT_RATE_HZ
from engine.harmonic_units import Units
from engine.harmony import PITCH_CLASSES, Chord
from engine.harmony_tables import NOTE_NAMES, Floats
from engine.runtime import Array
from engine.timeline import Timeline

QUALITIES = ("maj", "min", "7", "min7", "maj7", "sus4", "dim")
_SHAPES = {quality: Chord.parse(f"C:{quality}").pitch_classes for quality in QUALITIES}
CHORD_CLASSES = PITCH_CLASSES * len(QUALITIES)
SLOTS = 4
"""Parts of a unit, as long as each other: where in it a note is sung says how much it counts."""
SUNG_CHANNELS = SLOTS * PITCH_CLASSES
PLACE_CHANNELS = 3 + SLOTS
UNIT_CHANNELS = SUNG_CHANNELS + PLACE_CHANNELS
WINDOW_UNITS, HOP_UNITS = 128, 64
CHANGE_PENALTY = 0.3
"""Log probability that a change on a bar line costs, and one within a bar twice; chosen on validation songs."""


class ChordGraph(Protocol):
    """What reads: `engine.runtime.Graph`, or what a test has instead."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `logits` (1, units, CHORD_CLASSES) for `units` (1, units, UNIT_CHANNELS)."""


class ChordReader:
    """Reads chords with one graph."""

    def __init__(self, graph: ChordGraph) -> None:
        """Read with `graph`."""
        self._graph = graph

    def log_probabilities(self, channels: Array) -> Floats:
        """Return how likely each chord is in each unit, (units, CHORD_CLASSES).

        A long song is read in windows that overlap by half.

        Args:
            channels: (units, UNIT_CHANNELS) from `unit_channels`.
        """
        count = len(channels)
        result = np.zeros((count, CHORD_CLASSES))
        start = 0
        while True:
            end = min(start + WINDOW_UNITS, count)
            logits = self._graph.run({"units": channels[None, start:end]})["logits"][0].astype(np.float64)
            inner = start + (WINDOW_UNITS - HOP_UNITS) // 2 if start else 0
            result[inner:end] = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))[inner - start :]
            if end == count:
                return result
            start += HOP_UNITS


def unit_channels(
    pitch: NDArray[np.float32],
    timeline: Timeline,
    beats: Floats,
    units: Units,
    signature: int,
    heard: NDArray[np.bool_] | None = None,
) -> Array:
    """Return what the network sees of a vocal, (units, UNIT_CHANNELS).

    For each slot the share of it that each pitch class is sung for; whether the unit begins a bar; its length in bars
    of 4/4; the tempo; the share of each slot that was heard. Not the style: it is to change nothing but the playing.

    Args:
        pitch: (14, frames) of `engine.vocal_pitch`.
        timeline: the song's.
        beats: (frames,) the frames' middles.
        units: the song's.
        signature: pitch class that becomes channel 0.
        heard: (frames,) where the vocal is known; None for everywhere.
    """
    lengths = np.diff(units.borders)
    unit = units.of_beats(beats)
    slot = np.clip((beats - units.borders[unit]) / lengths[unit] * SLOTS, 0, SLOTS - 1).astype(np.intp)
    slot_share = timeline.bpms_at_beats(beats) / 60.0 / LATENT_RATE_HZ * SLOTS / lengths[unit]
    known = slot_share if heard is None else slot_share * heard
    sung, seen = np.zeros((len(lengths), SLOTS, PITCH_CLASSES)), np.zeros((len(lengths), SLOTS))
    np.add.at(sung, (unit, slot), (pitch[:PITCH_CLASSES] * known).T)
    np.add.at(seen, (unit, slot), known)
    place = (units.begins_bar, lengths / 4.0, timeline.bpms_at_beats(units.borders[:-1]) / 200.0)
    relative = np.roll(sung, -signature, axis=2).reshape(len(lengths), SUNG_CHANNELS)
    return np.concatenate([relative, np.stack(place, axis=1), np.clip(seen, 0.0, 1.0)], axis=1, dtype=np.float32)


def chord_class(chord: Chord, signature: int) -> int:
    """Return the class of a chord, or of the nearest there is; -1 for no chord."""
    if chord.root < 0:
        return -1
    return QUALITIES.index(nearest_quality(chord)) * PITCH_CLASSES + (chord.root - signature) % PITCH_CLASSES


def nearest_quality(chord: Chord) -> str:
    """Return the quality whose notes above the root are most like the chord's; the simpler one if in doubt."""
    notes = {(note - chord.root) % PITCH_CLASSES for note in chord.pitch_classes}
    return max(_SHAPES, key=lambda quality: len(notes & {*_SHAPES[quality]}) / len(notes | {*_SHAPES[quality]}))


def chord_of(number: int, signature: int) -> Chord:
    """Return the chord of class `number` where channel 0 is `signature`, in root position."""
    quality, degree = divmod(number, PITCH_CLASSES)
    return Chord.parse(f"{NOTE_NAMES[(signature + degree) % PITCH_CLASSES]}:{QUALITIES[quality]}")


def steady_chords(log_probabilities: Floats, units: Units, signature: int) -> tuple[Chord, ...]:
    """Return the chord of each unit, from what `ChordReader.log_probabilities` says."""
    return tuple(chord_of(number, signature) for number in steady_path(log_probabilities, units.begins_bar))


def steady_path(log_probabilities: Floats, begins_bar: NDArray[np.bool_]) -> list[int]:
    """Return the class of each unit that is likeliest in all, where a change costs (Viterbi)."""
    count, classes = log_probabilities.shape
    score = log_probabilities[0].copy()
    came_from = np.tile(np.arange(classes), (count, 1))
    for unit in range(1, count):
        best = int(score.argmax())
        moved = score[best] - CHANGE_PENALTY * (1.0 if begins_bar[unit] else 2.0)
        came_from[unit, score < moved] = best
        score = np.maximum(score, moved) + log_probabilities[unit]
    path = [int(score.argmax())]
    for unit in range(count - 1, 0, -1):
        path.append(int(came_from[unit, path[-1]]))
    return path[::-1]
