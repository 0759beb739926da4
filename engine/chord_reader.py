"""Chords read off a vocal by a small network that hears the song as a whole: what repeats, and where it is going.

The network sees the song unit by unit (`engine.harmonic_units`), its pitch classes from the key signature's tonic up,
so that one song teaches all keys and a major key and its relative minor are one. Lim, Rhyu and Lee (2017), *Chord
generation from symbolic melody using BLSTM networks*, read bar by bar; here attention finds the bars that came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.chord_classes import CHORD_CLASSES, chord_of
from engine.chord_habits import ChordHabits
from engine.geometry import LATENT_RATE_HZ
from engine.harmonic_units import Units
from engine.harmony import PITCH_CLASSES, Chord
from engine.harmony_tables import MODES, Floats, HarmonyTables
from engine.runtime import Array
from engine.timeline import Timeline

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
        """Return `chords` (batch, units, MODES, CHORD_CLASSES) and `keys` (batch, MODES), all logits.

        Of `units` (batch, units, UNIT_CHANNELS).
        """


class ChordReading(NamedTuple):
    """What was read off songs, or off one song seen from several signatures.

    Attributes:
        chords: (batch, units, MODES, CHORD_CLASSES) log probabilities of the chords in each unit, should the song be in
            the major or in the minor key of the signature.
        keys: (batch, MODES) how well these two keys suit, as logits that are comparable between signatures of one song.
    """

    chords: Floats
    keys: Floats


class ChordReader:
    """Reads chords and key with one graph.

    Attributes:
        habits: what its guesses are weighed with.
    """

    def __init__(self, graph: ChordGraph, tables: HarmonyTables) -> None:
        """Read with `graph`, beside the habits of the songs that `tables` were counted in."""
        self.habits = ChordHabits.of(tables)
        self._graph = graph

    def read(self, channels: Array) -> ChordReading:
        """Return what is heard in songs; a long one is read in windows that overlap by half.

        Args:
            channels: (batch, units, UNIT_CHANNELS), each as `seen_from` gives it.
        """
        batch, count, _ = channels.shape
        chords, keys = np.zeros((batch, count, len(MODES), CHORD_CLASSES)), list[Floats]()
        start = 0
        while True:
            end = min(start + WINDOW_UNITS, count)
            found = self._graph.run({"units": channels[:, start:end]})
            logits = found["chords"].astype(np.float64)
            keys.append(found["keys"].astype(np.float64))
            inner = start + (WINDOW_UNITS - HOP_UNITS) // 2 if start else 0
            normalised = logits - np.logaddexp.reduce(logits, axis=3, keepdims=True)
            chords[:, inner:end] = normalised[:, inner - start :]
            if end == count:
                return ChordReading(chords, np.mean(keys, axis=0))
            start += HOP_UNITS


def unit_channels(
    pitch: NDArray[np.float32],
    timeline: Timeline,
    beats: Floats,
    units: Units,
    heard: NDArray[np.bool_] | None = None,
) -> Array:
    """Return what the network sees of a vocal, (units, UNIT_CHANNELS), its pitch classes from C up.

    For each slot the share of it that each pitch class is sung for; whether the unit begins a bar; its length in bars
    of 4/4; the tempo; the share of each slot that was heard. Not the style: it is to change nothing but the playing.

    Args:
        pitch: (14, frames) of `engine.vocal_pitch`.
        timeline: the song's.
        beats: (frames,) the frames' middles.
        units: the song's.
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
    notes = sung.reshape(len(lengths), SUNG_CHANNELS)
    return np.concatenate([notes, np.stack(place, axis=1), np.clip(seen, 0.0, 1.0)], axis=1, dtype=np.float32)


def seen_from(channels: Array, signature: int) -> Array:
    """Return channels (units, UNIT_CHANNELS) with their pitch classes from `signature` up in place of from C."""
    notes = channels[:, :SUNG_CHANNELS].reshape(-1, SLOTS, PITCH_CLASSES)
    relative = np.roll(notes, -signature, axis=2).reshape(-1, SUNG_CHANNELS)
    return np.concatenate([relative, channels[:, SUNG_CHANNELS:]], axis=1)


def steady_chords(log_probabilities: Floats, units: Units, signature: int, moves: Floats) -> tuple[Chord, ...]:
    """Return the chord of each unit, from (units, CHORD_CLASSES), one mode's of `ChordReading.chords`.

    Args:
        log_probabilities: how likely each chord is in each unit.
        units: the song's.
        signature: the tonic of the key signature that the song was seen from.
        moves: (CHORD_CLASSES, CHORD_CLASSES) what a change from each chord to each is worth; 0 where it stays.
    """
    return tuple(chord_of(number, signature) for number in steady_path(log_probabilities, units.begins_bar, moves))


def steady_path(log_probabilities: Floats, begins_bar: NDArray[np.bool_], moves: Floats) -> list[int]:
    """Return the class of each unit that is likeliest in all, where a change costs (Viterbi); see `steady_chords`."""
    count, classes = log_probabilities.shape
    changes = 1.0 - np.eye(classes)
    arriving = [(moves - CHANGE_PENALTY * times * changes).T.copy() for times in (2.0, 1.0)]
    score = log_probabilities[0]
    came_from = np.zeros((count, classes), np.intp)
    for unit in range(1, count):
        options = arriving[int(begins_bar[unit])] + score
        came_from[unit] = options.argmax(axis=1)
        score = options[np.arange(classes), came_from[unit]] + log_probabilities[unit]
    path = [int(score.argmax())]
    for unit in range(count - 1, 0, -1):
        path.append(int(came_from[unit, path[-1]]))
    return path[::-1]
