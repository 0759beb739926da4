"""The chords that the chord reader tells apart: seven qualities on each of the twelve degrees of a key signature."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.harmony import PITCH_CLASSES, Chord
from engine.harmony_tables import NOTE_NAMES

QUALITIES = ("maj", "min", "7", "min7", "maj7", "sus4", "dim")
CHORD_CLASSES = PITCH_CLASSES * len(QUALITIES)
_SHAPES = {quality: Chord.parse(f"C:{quality}").pitch_classes for quality in QUALITIES}


@cache
def chord_class(chord: Chord, signature: int) -> int:
    """Return the class of a chord, or of the nearest there is; -1 for no chord."""
    if chord.root < 0:
        return -1
    return QUALITIES.index(nearest_quality(chord)) * PITCH_CLASSES + (chord.root - signature) % PITCH_CLASSES


def nearest_quality(chord: Chord) -> str:
    """Return the quality whose notes above the root are most like the chord's; the simpler one if in doubt."""
    notes = {(note - chord.root) % PITCH_CLASSES for note in chord.pitch_classes}
    return max(_SHAPES, key=lambda quality: len(notes & {*_SHAPES[quality]}) / len(notes | {*_SHAPES[quality]}))


@cache
def chord_of(number: int, signature: int) -> Chord:
    """Return the chord of class `number` where channel 0 is `signature`, in root position."""
    quality, degree = divmod(number, PITCH_CLASSES)
    return Chord.parse(f"{NOTE_NAMES[(signature + degree) % PITCH_CLASSES]}:{QUALITIES[quality]}")


@cache
def shared_notes() -> NDArray[np.float64]:
    """Return (CHORD_CLASSES, CHORD_CLASSES): the share of the second chord's notes that belong to the first."""
    notes = [{*chord_of(number, 0).pitch_classes} for number in range(CHORD_CLASSES)]
    return np.array([[len(first & second) / len(second) for second in notes] for first in notes])
