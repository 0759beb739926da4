"""One set of figures for any accompaniment of a song: generated, real, reconstructed or another song's alike."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.heard_chords import heard_chords
from bridge.evaluation.heard_key import heard_key
from bridge.evaluation.heard_tempo import heard_bpm
from bridge.evaluation.metrics import (
    Energy,
    chord_classes,
    chroma_agreement,
    energy_on_chord,
    grid_deviations_ms,
)
from bridge.evaluation.mir_scores import chords_right, is_tempo, is_tempo_or_octave, key_score
from bridge.evaluation.onsets import onset_seconds
from bridge.evaluation.songs import VOCALS, Excerpt, SongFacts
from bridge.evaluation.takes import Stems, mixed
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Measured:
    """A song as accompaniments are measured against it.

    Attributes:
        facts: chords, key, grid.
        timeline: of the excerpt: sample 0 is its first.
        bpm: the tempo that holds longest in it.
        beats: how many beats it has.
        chord: (12, frames) pitch classes of the sounding chord.
        real: (12, frames) pitch-class energy of the real bass and harmony.
        vocal: (12, frames) pitch-class energy of the vocal.
    """

    facts: SongFacts
    timeline: Timeline
    bpm: float
    beats: float
    chord: NDArray[np.bool_]
    real: Energy
    vocal: Energy

    @classmethod
    def of(cls, excerpt: Excerpt) -> Self:
        """Return what `excerpt` is measured against."""
        timeline, vocal = excerpt.timeline, _energy(excerpt.audio[VOCALS])
        beats = timeline.beats_at_samples(np.linspace(0, excerpt.samples - 1, 1_000).astype(np.int64))
        bpms, counts = np.unique(timeline.bpms_at_beats(beats), return_counts=True)
        return cls(
            facts=excerpt.facts,
            timeline=timeline,
            bpm=float(bpms[counts.argmax()]),
            beats=float(beats[-1] - beats[0]),
            chord=chord_classes(excerpt.facts.chords, timeline, vocal.shape[1]),
            real=_energy(excerpt.audio["bass"]) + _energy(excerpt.audio["other"]),
            vocal=vocal,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found in one accompaniment; NaN where a figure cannot be told.

    Attributes:
        drum_ms: (strokes,) distance of each drum stroke from the nearest grid position.
        strokes_a_beat: how many drum strokes there are a beat.
        tempo: 1 if the tempo heard in the mix of the stems is the song's, else 0.
        tempo_or_octave: the same, with its double, half, triple and third allowed.
        key: 1 if the key heard is the song's, else 0.
        key_weighted: MIREX's score of the key.
        other_on_chord: share of the harmony's energy on the chord's pitch classes.
        bass_on_chord: the same of the bass.
        chords: share of the beats on which the triad heard in bass and harmony is the song's.
        agreement_real: chroma agreement of bass and harmony with the real ones.
        agreement_vocal: the same with the vocal.
    """

    drum_ms: NDArray[np.float64]
    strokes_a_beat: float
    tempo: float
    tempo_or_octave: float
    key: float
    key_weighted: float
    other_on_chord: float
    bass_on_chord: float
    chords: float
    agreement_real: float
    agreement_vocal: float


@dataclass(frozen=True, slots=True)
class SongFigures:
    """One song's figures, of what was generated and of what it is set beside.

    Attributes:
        song: what all were measured against.
        generated: from vocal, timeline and style alone.
        given: from these and the song's chords.
        real: the real accompaniment.
        codec: the codec's reconstruction of the real accompaniment.
        another: the real accompaniment of another song, laid over this one from its own first sample.
        mismatched: generated from that song's vocal, at the same seed and on this song's timeline.
        difference_db: what that vocal changed, relative to the accompaniment's level.
    """

    song: Measured
    generated: Figures
    given: Figures
    real: Figures
    codec: Figures
    another: Figures
    mismatched: Figures
    difference_db: float


def measure(stems: Stems, song: Measured) -> Figures:
    """Return the figures of `stems` as an accompaniment of `song`.

    Args:
        stems: drums, bass and other, each (2, samples) float32 at 44.1 kHz, sample 0 where the song's timeline has it.
        song: from `Measured.of`.
    """
    facts, timeline = song.facts, song.timeline
    strokes = onset_seconds(stems["drums"])
    bpm = heard_bpm(mixed(stems))
    bass, other = _energy(stems["bass"]), _energy(stems["other"])
    chords = heard_chords(bass, other, timeline)
    key = heard_key(chords)
    return Figures(
        drum_ms=grid_deviations_ms(strokes, timeline, facts.subdivision),
        strokes_a_beat=len(strokes) / song.beats,
        tempo=float(is_tempo(song.bpm, bpm)),
        tempo_or_octave=float(is_tempo_or_octave(song.bpm, bpm)),
        key=float(key == facts.key) if facts.key else float("nan"),
        key_weighted=key_score(facts.key, key) if facts.key else float("nan"),
        other_on_chord=energy_on_chord(other, song.chord),
        bass_on_chord=energy_on_chord(bass, song.chord),
        chords=chords_right(facts.chords, chords),
        agreement_real=chroma_agreement(bass + other, song.real, timeline),
        agreement_vocal=chroma_agreement(bass + other, song.vocal, timeline),
    )


def _energy(audio: Array) -> Energy:
    return pitch_class_energy(audio, peaks_only=True)
