"""What the whole chain does with a vocal that it never heard: one song's figures, beside its real accompaniment's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.evaluation.metrics import (
    Energy,
    chord_classes,
    chroma_agreement,
    difference_db,
    energy_on_chord,
    estimated_key,
    grid_deviations_ms,
    heard_bpm,
    is_same_tempo,
    key_score,
    shuffled_timeline,
)
from bridge.evaluation.onsets import HOP_SAMPLES, onset_seconds, onset_strength
from bridge.evaluation.songs import VOCALS, Excerpt
from engine.accompany import accompany
from engine.bundle import Bundle
from engine.metrics import pitch_class_energy
from engine.spectra import Array
from engine.timeline import Timeline
from engine.wish import Wish

Stems = Mapping[str, Array]
Play = Callable[[Array, Timeline, str, int], Stems]

_SILENT_PEAK = 10 ** (-60 / 20)


@dataclass(frozen=True, slots=True)
class Against:
    """A figure of what was generated from this song, and of what it is set against."""

    own: float
    other: float


@dataclass(frozen=True, slots=True)
class SongFigures:
    """One song's figures.

    Attributes:
        id: the song's.
        partner: the song whose vocal, chords and grid it is set against.
        generated_ms: distance of each generated drum stroke from the song's grid.
        real_ms: the same of the real drums.
        shuffled_ms: the same of the generated drums from the partner's grid.
        other_on_chord: share of the harmony's energy on the song's chord, and on the partner's.
        bass_on_chord: the same of the bass.
        real_other_on_chord: as `other_on_chord`, of the real accompaniment.
        real_bass_on_chord: as `bass_on_chord`, of the real accompaniment.
        agreement_real: chroma agreement with the song's real accompaniment, from its own vocal and from the partner's.
        agreement_vocal: the same with the song's vocal.
        difference_db: what the partner's vocal changed, at the same seed, relative to the accompaniment's level.
        key_score: weighted score of the generated accompaniment's key, and of the real one's; NaN without a key.
        tempo_right: 1.0 if the tempo heard in the generated drums is the song's, and of the real ones; NaN if silent.
    """

    id: str
    partner: str
    generated_ms: NDArray[np.float64]
    real_ms: NDArray[np.float64]
    shuffled_ms: NDArray[np.float64]
    other_on_chord: Against
    bass_on_chord: Against
    real_other_on_chord: Against
    real_bass_on_chord: Against
    agreement_real: Against
    agreement_vocal: Against
    difference_db: float
    key_score: Against
    tempo_right: Against


def player(bundle: Bundle, steps: int, guidance_scale: float) -> Play:
    """Return what plays to a vocal: it is given timeline, style and seed, and neither key nor chords."""

    def play(vocal: Array, timeline: Timeline, style: str, seed: int) -> Stems:
        wish = Wish(style=style, steps=steps, guidance_scale=guidance_scale, seed=seed)
        return accompany(bundle, vocal, timeline, wish)

    return play


def song_figures(excerpt: Excerpt, partner: Excerpt, play: Play, seed: int) -> SongFigures:
    """Generate for the song's own vocal and for the partner's, on the song's timeline, and measure both.

    Args:
        excerpt: the song.
        partner: another song.
        play: from `player`.
        seed: of both accompaniments, and of the shuffled grid.
    """
    facts, timeline = excerpt.facts, excerpt.timeline
    other_vocal = _fitted(partner.audio[VOCALS], excerpt.samples)
    generated = play(excerpt.audio[VOCALS], timeline, facts.style, seed)
    mismatched = play(other_vocal, timeline, facts.style, seed)
    heard = {stem: pitch_class_energy(generated[stem], peaks_only=True) for stem in ("bass", "other")}
    real = {stem: pitch_class_energy(excerpt.audio[stem], peaks_only=True) for stem in ("bass", "other")}
    matched_energy, real_energy = _harmony_energy(generated), _harmony_energy(excerpt.audio)
    mismatched_energy, vocal_energy = (
        _harmony_energy(mismatched),
        pitch_class_energy(excerpt.audio[VOCALS], peaks_only=True),
    )
    onsets = onset_seconds(generated["drums"])
    shuffled = shuffled_timeline(partner.facts.timeline, facts.subdivision, np.random.default_rng(seed))
    return SongFigures(
        id=facts.id,
        partner=partner.facts.id,
        generated_ms=grid_deviations_ms(onsets, timeline, facts.subdivision),
        real_ms=grid_deviations_ms(onset_seconds(excerpt.audio["drums"]), timeline, facts.subdivision),
        shuffled_ms=grid_deviations_ms(onsets, shuffled, facts.subdivision),
        other_on_chord=_on_chord(heard["other"], excerpt, partner),
        bass_on_chord=_on_chord(heard["bass"], excerpt, partner),
        real_other_on_chord=_on_chord(real["other"], excerpt, partner),
        real_bass_on_chord=_on_chord(real["bass"], excerpt, partner),
        agreement_real=_agreement(matched_energy, mismatched_energy, real_energy, timeline),
        agreement_vocal=_agreement(matched_energy, mismatched_energy, vocal_energy, timeline),
        difference_db=difference_db(_sum(generated), _sum(mismatched)),
        key_score=_key_scores(excerpt, matched_energy, real_energy),
        tempo_right=Against(_tempo_right(generated["drums"], excerpt), _tempo_right(excerpt.audio["drums"], excerpt)),
    )


def _on_chord(energy: Energy, excerpt: Excerpt, partner: Excerpt) -> Against:
    frames = energy.shape[1]
    own = chord_classes(excerpt.facts.chords, excerpt.timeline, frames)
    other = chord_classes(partner.facts.chords, excerpt.timeline, frames)
    return Against(energy_on_chord(energy, own), energy_on_chord(energy, other))


def _agreement(matched: Energy, mismatched: Energy, reference: Energy, timeline: Timeline) -> Against:
    return Against(chroma_agreement(matched, reference, timeline), chroma_agreement(mismatched, reference, timeline))


def _key_scores(excerpt: Excerpt, generated: Energy, real: Energy) -> Against:
    key = excerpt.facts.key
    if key is None:
        return Against(float("nan"), float("nan"))
    return Against(key_score(key, estimated_key(generated)), key_score(key, estimated_key(real)))


def _tempo_right(drums: Array, excerpt: Excerpt) -> float:
    if np.abs(drums).max() < _SILENT_PEAK:
        return float("nan")
    middle_beat = excerpt.timeline.beat_at_sample(excerpt.samples // 2)
    return float(
        is_same_tempo(excerpt.timeline.bpm_at_beat(middle_beat), heard_bpm(onset_strength(drums), HOP_SAMPLES))
    )


def _harmony_energy(stems: Stems) -> Energy:
    return pitch_class_energy(stems["bass"] + stems["other"], peaks_only=True)


def _sum(stems: Stems) -> Array:
    return stems["drums"] + stems["bass"] + stems["other"]


def _fitted(audio: Array, samples: int) -> Array:
    """Return `audio` cut to `samples`, or repeated from its start until it is as long."""
    repeats = -(-samples // audio.shape[1])
    return np.ascontiguousarray(np.tile(audio, (1, repeats))[:, :samples])
