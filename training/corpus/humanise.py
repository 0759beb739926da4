"""Human timing and velocity: what a player does to a pattern before it becomes notes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from training.corpus.notes import Note


@dataclass(frozen=True, slots=True)
class Feel:
    """How a player places notes.

    Attributes:
        bpm: tempo that turns seconds into beats.
        jitter_seconds: standard deviation of the onset.
        lateness_seconds: mean offset, positive behind the beat.
        velocity_jitter: standard deviation of the velocity.
        swing: share of an eighth taken by the first of its two sixteenths; 0.5 is straight.
    """

    bpm: float
    jitter_seconds: float = 0.005
    lateness_seconds: float = 0.0
    velocity_jitter: float = 5.0
    swing: float = 0.5


def swung_beat(beat: float, swing: float) -> float:
    """Return where a beat position falls when the sixteenths swing; eighths stay."""
    eighth = beat // 0.5
    part = beat * 2 - eighth
    bent = part * 2 * swing if part <= 0.5 else swing + (part - 0.5) * 2 * (1 - swing)
    return (eighth + bent) / 2


def humanise(notes: Iterable[Note], feel: Feel, length_beats: float, rng: np.random.Generator) -> tuple[Note, ...]:
    """Return the notes as played, sorted, inside [0, length_beats], velocities in 1 to 127."""
    written = [note for note in notes if note.start_beat < length_beats - 0.05]
    beats_per_second = feel.bpm / 60
    offsets = (rng.normal(feel.lateness_seconds, feel.jitter_seconds, len(written)) * beats_per_second).tolist()
    accents = rng.normal(0, feel.velocity_jitter, len(written)).tolist()
    played = []
    for note, offset, accent in zip(written, offsets, accents, strict=True):
        start = max(0.0, swung_beat(note.start_beat, feel.swing) + offset)
        start = min(start, length_beats - 0.02)
        duration = max(0.02, min(note.duration_beats, length_beats - start))
        velocity = int(min(127, max(1, round(note.velocity + accent))))
        played.append(replace(note, start_beat=round(start, 5), duration_beats=round(duration, 5), velocity=velocity))
    return tuple(sorted(played, key=lambda note: (note.start_beat, note.pitch)))
