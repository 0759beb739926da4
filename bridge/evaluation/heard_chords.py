"""The triads heard in a bass and a harmony, beat by beat.

Templates of pitch classes, and a path that seldom changes. A listener for the results, not part of what plays: it knows
where the beats are, and neither key nor chords.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.metrics import PITCH_CLASSES, Energy, window_shares
from engine.geometry import LATENT_HOP_SAMPLES
from engine.harmony import NO_CHORD, Chord, ChordSpan
from engine.timeline import Timeline

Floats = NDArray[np.float64]

# The numbers below were set by hand near what real accompaniments of the corpus's train split hold, so that the triads
# heard in these are the song's as often as possible.
# Sevenths are told apart so that they are not mistaken for the triad inside them (Am7 holds C), and heard as triads.
_QUALITIES = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10)}
_TONE, _SEVENTH, _FOREIGN = 0.27, 0.16, 0.012
_BASS_ROOT, _BASS_FIFTH, _BASS_THIRD, _BASS_SEVENTH, _BASS_FOREIGN = 0.55, 0.25, 0.05, 0.04, 0.015
_EVIDENCE = 4.0  # independent notes a beat
_SEVENTH_LOG_PRIOR = -0.5
_CHANGE_LOG_PRIOR = -8.0
_SONG_WEIGHT = 0.3  # of how common the chord's notes are in the whole of what sounds


@dataclass(frozen=True, slots=True)
class Templates:
    """What chords sound like.

    Attributes:
        triads: the chord that each template is heard as.
        harmony: (templates, 12) log shares of the harmony's energy.
        bass: (templates, 12) log shares of the bass's energy.
        holds: (templates, 12) 1 for each note of the triad.
        log_prior: (templates,) of the kind of chord.
    """

    triads: tuple[Chord, ...]
    harmony: Floats
    bass: Floats
    holds: Floats
    log_prior: Floats


def heard_chords(bass: Energy, other: Energy, timeline: Timeline) -> tuple[ChordSpan, ...]:
    """Return the major or minor triad on each beat, or no chord where both stems are silent.

    Args:
        bass: (12, frames) pitch-class energy from `engine.metrics`.
        other: the same of the harmony.
        timeline: where the beats lie.

    Returns:
        One span a beat, from the first frame's beat to the last one's.
    """
    centres = np.arange(other.shape[1], dtype=np.int64) * LATENT_HOP_SAMPLES + LATENT_HOP_SAMPLES // 2
    beats = np.floor(timeline.beats_at_samples(centres)).astype(np.int64)
    first = int(beats[0])
    harmony, low = window_shares(other, beats - first).T, window_shares(bass, beats - first).T
    path = _best_path(_scores(harmony, low))
    silent = (harmony + low).sum(axis=1) == 0.0
    triads = _templates().triads
    return tuple(
        ChordSpan(float(first + beat), float(first + beat + 1), NO_CHORD if silent[beat] else triads[template])
        for beat, template in enumerate(path)
    )


def _scores(other: Floats, bass: Floats) -> Floats:
    """Return the log likelihood of each template on each beat, from (beats, 12) shares: (beats, templates)."""
    templates = _templates()
    common = other.sum(axis=0) / max(float(other.sum()), 1e-9)
    log_common = np.log((common + 0.01) / (1.0 + 0.01 * PITCH_CLASSES))
    prior = templates.log_prior + _SONG_WEIGHT * templates.holds @ log_common
    return _EVIDENCE * (other @ templates.harmony.T + bass @ templates.bass.T) + prior


def _best_path(scores: Floats) -> list[int]:
    """Return the best template of each beat (Viterbi); every change costs the same."""
    stay = np.arange(scores.shape[1])
    best = scores[0].copy()
    came_from = np.zeros(scores.shape, np.intp)
    for beat in range(1, len(scores)):
        changed = best.max() + _CHANGE_LOG_PRIOR
        came_from[beat] = np.where(best >= changed, stay, best.argmax())
        best = np.maximum(best, changed) + scores[beat]
    path = [int(best.argmax())]
    for beat in range(len(scores) - 1, 0, -1):
        path.append(int(came_from[beat, path[-1]]))
    return path[::-1]


@cache
def _templates() -> Templates:
    rows = [(root, quality) for quality in _QUALITIES for root in range(PITCH_CLASSES)]
    harmony, bass, holds = (np.zeros((len(rows), PITCH_CLASSES)) for _ in range(3))
    triads = []
    for row, (root, quality) in enumerate(rows):
        intervals = _QUALITIES[quality]
        harmony[row] = np.roll(_harmony_shares(intervals), root)
        bass[row] = np.roll(_bass_shares(intervals), root)
        pitch_classes = tuple(sorted((root + interval) % PITCH_CLASSES for interval in intervals[:3]))
        holds[row, list(pitch_classes)] = 1.0
        triads.append(Chord(root, pitch_classes, root))
    log_prior = np.array([_SEVENTH_LOG_PRIOR if len(_QUALITIES[quality]) > 3 else 0.0 for _, quality in rows])
    return Templates(tuple(triads), np.log(harmony), np.log(bass), holds, log_prior)


def _harmony_shares(intervals: tuple[int, ...]) -> Floats:
    shares = np.full(PITCH_CLASSES, _FOREIGN)
    shares[list(intervals[:3])] = _TONE
    shares[list(intervals[3:])] = _SEVENTH
    return shares / shares.sum()


def _bass_shares(intervals: tuple[int, ...]) -> Floats:
    shares = np.full(PITCH_CLASSES, _BASS_FOREIGN)
    shares[list(intervals[:3])] = (_BASS_ROOT, _BASS_THIRD, _BASS_FIFTH)
    shares[list(intervals[3:])] = _BASS_SEVENTH
    return shares / shares.sum()
