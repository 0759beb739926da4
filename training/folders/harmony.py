"""Key and chords heard in bass and other, so that a song without a lead sheet teaches harmony too.

Chords: triads and no chord, one a unit of `engine.harmonic_units`, by the match of chroma with templates and
a bonus for staying (Viterbi), as in Sheh and Ellis (2003), *Chord segmentation and recognition using EM-trained hidden
Markov models*, without the training. Key: the one in which those chords are most at home.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from engine.geometry import LATENT_HOP_SAMPLES
from engine.harmonic_units import frame_beats, harmonic_units
from engine.harmony import KEYS, NO_CHORD, PITCH_CLASSES, Chord, ChordSpan, Key
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.timeline import Timeline
from training.folders.onsets import Floats

BASS_RANGE_HZ = (30.0, 400.0)
OTHER_RANGE_HZ = (100.0, 2_000.0)
CHANGE_COST = 0.12  # of a chord on a bar line, in units of the scores
CHANGE_COST_IN_BAR = 0.25
ROOT_WEIGHT = 0.5
SILENT_DB = -40.0
QUALITIES = ("maj", "min")
# (semitones above the tonic, minor) to how usual a triad is in pop songs of that mode, the tonic's being 1.
MAJOR_KEY_CHORDS = {(0, False): 1.0, (5, False): 0.8, (7, False): 0.8, (9, True): 0.7, (2, True): 0.6, (4, True): 0.5}
MINOR_KEY_CHORDS = {
    (0, True): 1.0,
    (8, False): 0.7,
    (10, False): 0.7,
    (5, True): 0.7,
    (3, False): 0.7,
    (7, False): 0.6,
    (7, True): 0.5,
}
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def chroma_of(stems: Mapping[str, Array]) -> tuple[Floats, Floats]:
    """Return how much of each pitch class bass and other hold, each (12, latent frames), amplitudes."""
    bass, other = stems["bass"], stems["other"]
    low, high = BASS_RANGE_HZ
    bass_energy = pitch_class_energy(bass, LATENT_HOP_SAMPLES, low, high, peaks_only=True)
    low, high = OTHER_RANGE_HZ
    other_energy = pitch_class_energy(other, LATENT_HOP_SAMPLES, low, high, peaks_only=True)
    return np.sqrt(bass_energy), np.sqrt(other_energy)


def estimate_key(chords: Sequence[ChordSpan]) -> Key | None:
    """Return the key in which `chords` are most at home; None where there are none.

    Each chord speaks for the keys that have it, by how usual it is there and for as long as it sounds.
    """
    sounding = [span for span in chords if span.chord.root >= 0]
    if not sounding:
        return None
    scores = np.zeros(KEYS)
    for index in range(KEYS):
        key = Key.from_index(index)
        for span in sounding:
            scores[index] += (span.end_beat - span.start_beat) * _usual(span.chord, key)
    return Key.from_index(int(scores.argmax()))


def _is_minor(chord: Chord) -> bool:
    return (chord.root + 3) % PITCH_CLASSES in chord.pitch_classes


def _usual(chord: Chord, key: Key) -> float:
    """Return how usual a triad is in a key, 0 for one that is foreign to it."""
    usual = MINOR_KEY_CHORDS if key.minor else MAJOR_KEY_CHORDS
    return usual.get(((chord.root - key.tonic) % PITCH_CLASSES, _is_minor(chord)), 0.0)


def estimate_chords(bass: Floats, other: Floats, timeline: Timeline) -> tuple[ChordSpan, ...]:
    """Return the chords of chroma (12, frames) of bass and other, beat 0 at frame 0; none where nothing sounds."""
    if not (bass.any() or other.any()):
        return ()
    beats = frame_beats(timeline, 0, bass.shape[1])
    units = harmonic_units(timeline, max(float(beats[0]), 0.0), float(beats[-1]))
    index, count = units.of_beats(beats), len(units.begins_bar)
    scores = _unit_scores(_per_unit(bass, index, count), _per_unit(other, index, count))
    path = _best_path(scores, units.begins_bar)
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    states = _states()
    borders = units.borders[edges].tolist()
    return tuple(
        ChordSpan(start, end, states[path[edge]])
        for (start, end), edge in zip(pairwise(borders), edges[:-1], strict=True)
    )


def _states() -> list[Chord]:
    return [Chord.parse(f"{name}:{quality}") for quality in QUALITIES for name in _NAMES] + [NO_CHORD]


def _per_unit(chroma: Floats, index: np.ndarray, count: int) -> Floats:
    """Return (units, 12) sums of chroma (12, frames) over the frames of each unit."""
    sums = np.zeros((count, PITCH_CLASSES))
    np.add.at(sums, index, chroma.T)
    return sums


def _unit_scores(bass: Floats, other: Floats) -> Floats:
    """Return (units, states): cosine of chroma and triad, plus the bass's share on the root; no chord if silent."""
    chords = _states()[:-1]
    templates = np.array([[note in chord.pitch_classes for note in range(PITCH_CLASSES)] for chord in chords], float)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    roots = np.array([[note == chord.root for note in range(PITCH_CLASSES)] for chord in chords], float)
    both = _unit_length(_unit_length(other) + 0.5 * _unit_length(bass))
    scores = both @ templates.T + ROOT_WEIGHT * _unit_length(bass) @ roots.T
    level = bass.sum(axis=1) + other.sum(axis=1)
    silent = level <= level.max() * 10 ** (SILENT_DB / 20)
    return np.column_stack([np.where(silent[:, None], 0.0, scores), np.where(silent, 1.0, 0.0)])


def _unit_length(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _best_path(scores: Floats, begins_bar: np.ndarray) -> np.ndarray:
    """Return the best state of each unit, where a change costs less on a bar line than within a bar."""
    total, came_from = scores[0], np.zeros(scores.shape, dtype=np.intp)
    for unit in range(1, len(scores)):
        best = int(total.argmax())
        changed = total[best] - (CHANGE_COST if begins_bar[unit] else CHANGE_COST_IN_BAR)
        stays = total >= changed
        came_from[unit] = np.where(stays, np.arange(len(total)), best)
        total = np.where(stays, total, changed) + scores[unit]
    path = np.zeros(len(scores), dtype=np.intp)
    path[-1] = total.argmax()
    for unit in range(len(scores) - 1, 0, -1):
        path[unit - 1] = came_from[unit, path[unit]]
    return path
