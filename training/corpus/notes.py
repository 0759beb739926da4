"""The symbolic song that arrangement hands to rendering. Times are beats (quarter notes) from the first downbeat."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One note: start and duration in beats, MIDI pitch (General MIDI percussion key for drums), velocity 1 to 127."""

    start_beat: float
    duration_beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument of a stem.

    Attributes:
        stem: `drums`, `bass` or `other`.
        program: General MIDI program 0 to 127; for drums the kit of bank 128.
        notes: sorted by start.
        pan: -1 (left) to 1 (right).
        gain_db: level relative to the stem's other parts.
    """

    stem: str
    program: int
    notes: tuple[Note, ...]
    pan: float = 0.0
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Chord:
    """One chord: span in beats, root (-1 for none), pitch classes, bass pitch class (-1 for none) and label."""

    start_beat: float
    end_beat: float
    root: int
    pitch_classes: tuple[int, ...]
    bass: int
    label: str


@dataclass(frozen=True, slots=True)
class Song:
    """An arranged excerpt, ready to render. The fields are those of `song.json` in docs/contracts.md, plus notes."""

    id: str
    source: str
    split: str
    style: str
    tempo_map: tuple[tuple[float, float], ...]
    time_signatures: tuple[tuple[float, int, int], ...]
    subdivision: int
    key: str
    chords: tuple[Chord, ...]
    sections: tuple[tuple[float, float, str], ...]
    length_beats: float
    melody: tuple[Note, ...]
    parts: tuple[Part, ...]
    seed: int
