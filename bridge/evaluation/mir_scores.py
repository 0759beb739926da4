"""The field's own measures of tempo, key and chords: the door to mir_eval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.harmony import NO_CHORD, Chord, ChordSpan, Key

TEMPO_TOLERANCE = 0.04  # as MIREX counts
OCTAVES = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)  # MIREX's accuracy 2
_ROOTS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def is_tempo(wanted_bpm: float, heard_bpm: float) -> bool:
    """Return whether `heard_bpm` is the tempo within 4 %; no tempo heard (NaN) is not (`mir_eval.tempo.detection`)."""
    from mir_eval.tempo import detection

    if not np.isfinite(heard_bpm):
        return False
    hit, _, _ = detection(np.array([wanted_bpm, 0.0]), 1.0, np.array([heard_bpm, 0.0]), tol=TEMPO_TOLERANCE)
    return bool(hit)


def is_tempo_or_octave(wanted_bpm: float, heard_bpm: float) -> bool:
    """Return whether `heard_bpm` is the tempo, its double, half, triple or third, each within 4 %."""
    return any(is_tempo(wanted_bpm * factor, heard_bpm) for factor in OCTAVES)


def key_score(wanted: Key, heard: Key) -> float:
    """Return MIREX's weighted key score: 1 the same, 0.5 a fifth above, 0.3 relative, 0.2 parallel, else 0."""
    from mir_eval.key import weighted_score

    return float(weighted_score(wanted.name, heard.name))


def chords_right(wanted: Sequence[ChordSpan], heard: Sequence[ChordSpan]) -> float:
    """Return the share of the beats on which the right major or minor triad, or none, was heard.

    `mir_eval.chord.majmin`, weighted by beats: sevenths and additions count as their triads, inversions as their root
    positions; beats whose wanted chord has no such triad (suspended, diminished, augmented) do not count.

    Args:
        wanted: in rising order; what they leave open counts as no chord.
        heard: in rising order, without gaps; only the beats that they cover count.

    Returns:
        A share in [0, 1], or NaN where nothing counts.
    """
    from mir_eval import chord, util

    if not wanted or not heard:
        return float("nan")
    spans = _without_gaps(wanted, heard[0].start_beat, heard[-1].end_beat)
    beats, wanted_labels, heard_labels = util.merge_labeled_intervals(*_labelled(spans), *_labelled(heard))
    compared = chord.majmin(list(wanted_labels), list(heard_labels))
    if not (compared >= 0).any():
        return float("nan")
    return float(chord.weighted_accuracy(compared, util.intervals_to_durations(beats)))


def harte_label(chord: Chord) -> str:
    """Return a chord's triad in Harte's notation, such as `F#:min`; `N` for none, `X` where it is neither kind."""
    if chord.root < 0:
        return "N"
    intervals = {(pitch_class - chord.root) % 12 for pitch_class in chord.pitch_classes}
    for quality, triad in (("maj", {4, 7}), ("min", {3, 7})):
        if triad <= intervals:
            return f"{_ROOTS[chord.root]}:{quality}"
    return "X"


def _without_gaps(spans: Sequence[ChordSpan], start_beat: float, end_beat: float) -> list[ChordSpan]:
    """Return the spans from `start_beat` to `end_beat`, with no chord where there was none."""
    filled: list[ChordSpan] = []
    reached = start_beat
    for span in spans:
        start, end = max(span.start_beat, reached), min(span.end_beat, end_beat)
        if start >= end:
            continue
        if start > reached:
            filled.append(ChordSpan(reached, start, NO_CHORD))
        filled.append(ChordSpan(start, end, span.chord))
        reached = end
    if reached < end_beat:
        filled.append(ChordSpan(reached, end_beat, NO_CHORD))
    return filled


def _labelled(spans: Sequence[ChordSpan]) -> tuple[NDArray[np.float64], list[str]]:
    return np.array([[span.start_beat, span.end_beat] for span in spans]), [harte_label(span.chord) for span in spans]
