"""Harmony tables made by rule, and melodies made of chord tones, so that tests know what must be read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.conditions import PITCH_CHANNELS
from engine.geometry import LATENT_HOP_SAMPLES
from engine.harmoniser import Harmoniser
from engine.harmony import PITCH_CLASSES, Chord
from engine.harmony_tables import ChordState, HarmonyTables
from engine.timeline import Timeline

STATES = tuple(ChordState(degree, quality) for quality in ("maj", "min") for degree in range(PITCH_CLASSES))
SCALES = ({0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10})


def shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def rule_tables() -> HarmonyTables:
    """Chords of the scale are common, chord tones are sung, and chords change on bar lines rather than within."""
    notes = [set(state.chord_in(0).pitch_classes) for state in STATES]
    common = shares(np.array([[8.0 if chord <= scale else 0.2 for chord in notes] for scale in SCALES]))
    first = shares(common * np.array([[6.0 if state.degree == 0 else 1.0 for state in STATES]] * 2))
    stay = np.array([0.9, 0.4])[None, :, None, None]
    transition = stay * np.eye(len(STATES)) + (1 - stay) * common[:, None, None, :]
    emission = [
        [[6.0 if n in chord else 1.0 if n in scale else 0.1 for n in range(12)] for chord in notes] for scale in SCALES
    ]
    return HarmonyTables(
        STATES,
        np.array([0.6, 0.4]),
        first,
        transition,
        shares(np.array(emission)),
        evidence=1.0,
        beat_accent=0.5,
        change_bonus=0.0,
    )


def rule_harmoniser() -> Harmoniser:
    """Return what reads with those tables alone."""
    return Harmoniser(rule_tables())


def melody(chords: Sequence[Chord], timeline: Timeline, beats_a_chord: float) -> NDArray[np.float32]:
    """Return the pitch (14, frames) of a voice that sings each chord's notes in turn, one a beat, and rests in none."""
    beats = len(chords) * beats_a_chord
    frames = timeline.sample_at_beat(beats) // LATENT_HOP_SAMPLES
    pitch = np.zeros((PITCH_CHANNELS, frames), np.float32)
    for frame, beat in enumerate(timeline.beats_at_frames(0, frames)):
        notes = chords[min(int(beat // beats_a_chord), len(chords) - 1)].pitch_classes
        if notes:
            pitch[[notes[int(beat) % len(notes)], 12, 13], frame] = 0.9
    return pitch
