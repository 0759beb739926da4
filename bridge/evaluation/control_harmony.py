"""Chords and keys that are given: are they what is heard?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.evaluation.codec import Reconstruct
from bridge.evaluation.heard_chords import heard_chords
from bridge.evaluation.heard_key import heard_key
from bridge.evaluation.mir_scores import chords_right, key_score
from bridge.evaluation.songs import VOCALS, Excerpt
from bridge.evaluation.takes import Band, Stems, fitted
from engine.bundle import Bundle
from engine.features import features_of
from engine.geometry import STEMS
from engine.harmony import PITCH_CLASSES, Chord, ChordSpan, Key
from engine.metrics import pitch_class_energy
from engine.timeline import Timeline
from engine.wish import Wish

KEYS_ABOVE = (7, 2)  # semitones above the likely one: its nearest neighbour, and one that shares five notes of seven

Spans = Sequence[ChordSpan]


@dataclass(frozen=True, slots=True)
class ChordFigures:
    """Shares of the beats on which a progression's triads are heard, each in [0, 1] or NaN.

    Attributes:
        own: the song's chords, given.
        own_unasked: the same chords, where none were given.
        other: another song's chords in this song's key, given.
        other_unasked: the same chords, where the song's own were given.
        real: the song's chords in its real accompaniment.
        rebuilt: the same, through the codec.
        another: the song's chords in the real accompaniment of the other song.
    """

    own: float
    own_unasked: float
    other: float
    other_unasked: float
    real: float
    rebuilt: float
    another: float


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """One key that was given and is not the vocal's most likely one.

    Attributes:
        given: MIREX's weighted score of the key heard for the key given, in [0, 1].
        unasked: the same for a take without a key.
        exact: whether the key heard is the one given.
        exact_unasked: whether it is in a take without a key.
    """

    given: float
    unasked: float
    exact: bool
    exact_unasked: bool


def chord_figures(play: Band, reconstruct: Reconstruct, excerpt: Excerpt, other: Excerpt, wish: Wish) -> ChordFigures:
    """Give a song its own chords and another song's.

    Args:
        play: the band.
        reconstruct: the codec.
        excerpt: the song.
        other: the other song, of the same metre for choice.
        wish: style and seed of all takes.
    """
    timeline = excerpt.timeline
    last_beat = timeline.beat_at_sample(excerpt.samples)
    own = excerpt.facts.chords
    given = laid_over(other.facts.chords, _semitones(other.facts.key, excerpt.facts.key), last_beat)
    unasked = chords_of(play(excerpt, wish), timeline)
    with_own = chords_of(play(excerpt, replace(wish, chords=own)), timeline)
    with_other = chords_of(play(excerpt, replace(wish, chords=given)), timeline)
    rebuilt = {stem: reconstruct(excerpt.audio[stem]) for stem in ("bass", "other")}
    foreign = {stem: fitted(other.audio[stem], excerpt.samples) for stem in STEMS}
    return ChordFigures(
        own=chords_right(own, with_own),
        own_unasked=chords_right(own, unasked),
        other=chords_right(given, with_other),
        other_unasked=chords_right(given, with_own),
        real=chords_right(own, chords_of(excerpt.audio, timeline)),
        rebuilt=chords_right(own, chords_of(rebuilt, timeline)),
        another=chords_right(own, chords_of(foreign, timeline)),
    )


def key_figures(play: Band, excerpt: Excerpt, likely: Key, wish: Wish) -> list[KeyFigures]:
    """Give a song keys that are not its vocal's most likely one.

    Args:
        play: the band.
        excerpt: the song.
        likely: the key that the vocal has.
        wish: style and seed of all takes.
    """
    unasked = heard_key(chords_of(play(excerpt, wish), excerpt.timeline))
    figures = []
    for above in KEYS_ABOVE:
        given = Key((likely.tonic + above) % PITCH_CLASSES, likely.minor)
        heard = heard_key(chords_of(play(excerpt, replace(wish, key=given)), excerpt.timeline))
        scores = key_score(given, heard), key_score(given, unasked)
        figures.append(KeyFigures(*scores, heard == given, unasked == given))
    return figures


def chords_of(stems: Stems, timeline: Timeline) -> Spans:
    """Return the triads that are heard in bass and harmony."""
    bass, other = (pitch_class_energy(stems[stem], peaks_only=True) for stem in ("bass", "other"))
    return heard_chords(bass, other, timeline)


def likely_key(bundle: Bundle, excerpt: Excerpt) -> Key | None:
    """Return the key that the bundle reads off the vocal, else the song's; None where neither is known."""
    if bundle.harmony is None:
        return excerpt.facts.key
    harmony = bundle.harmony.harmonise(features_of(excerpt.audio[VOCALS]).pitch, excerpt.timeline)
    return harmony.key if harmony else excerpt.facts.key


def laid_over(chords: Spans, semitones: int, last_beat: float) -> tuple[ChordSpan, ...]:
    """Return a progression some semitones higher, over and over from beat 0 until `last_beat`."""
    if not chords:
        return ()
    length = chords[-1].end_beat
    rounds = max(int(np.ceil(last_beat / length)), 1)
    return tuple(
        ChordSpan(span.start_beat + turn * length, span.end_beat + turn * length, transposed(span.chord, semitones))
        for turn in range(rounds)
        for span in chords
    )


def transposed(chord: Chord, semitones: int) -> Chord:
    """Return a chord some semitones higher; no chord stays none."""
    if chord.root < 0:
        return chord
    root, bass = ((note + semitones) % PITCH_CLASSES for note in (chord.root, chord.bass))
    return Chord(root, tuple(sorted((note + semitones) % PITCH_CLASSES for note in chord.pitch_classes)), bass)


def _semitones(from_key: Key | None, to_key: Key | None) -> int:
    return (to_key.tonic - from_key.tonic) % PITCH_CLASSES if from_key and to_key else 0
