"""Keys and chords by name: what a user types and a song's annotation says, as pitch classes (0 = C ... 11 = B)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PITCH_CLASSES = 12
KEYS = 24
TRIADS = 2 * PITCH_CLASSES
NO_CHORD_LABELS = ("N", "N.C.", "NC", "X")

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1, "##": 2, "bb": -2}
_NOTE = r"([A-Ga-g])(##|bb|#|b|♯|♭)?"
_MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")

# Intervals above the root, in semitones; keys are what follows the root, as pop charts and as annotations write it.
_QUALITIES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("", "maj", "M", "major"), (0, 4, 7)),
    **dict.fromkeys(("m", "min", "-", "minor"), (0, 3, 7)),
    **dict.fromkeys(("dim", "°", "o"), (0, 3, 6)),
    **dict.fromkeys(("aug", "+"), (0, 4, 8)),
    **dict.fromkeys(("5", "power"), (0, 7)),
    **dict.fromkeys(("sus4", "sus", "sus4(b7)"), (0, 5, 7)),
    "sus2": (0, 2, 7),
    **dict.fromkeys(("6", "maj6", "M6"), (0, 4, 7, 9)),
    **dict.fromkeys(("m6", "min6", "-6"), (0, 3, 7, 9)),
    **dict.fromkeys(("7", "dom7"), (0, 4, 7, 10)),
    **dict.fromkeys(("maj7", "M7", "Δ", "Δ7", "j7"), (0, 4, 7, 11)),
    **dict.fromkeys(("m7", "min7", "-7"), (0, 3, 7, 10)),
    **dict.fromkeys(("mM7", "m(maj7)", "minmaj7", "mmaj7"), (0, 3, 7, 11)),
    **dict.fromkeys(("m7b5", "ø", "ø7", "hdim7", "hdim", "min7b5"), (0, 3, 6, 10)),
    **dict.fromkeys(("dim7", "°7", "o7"), (0, 3, 6, 9)),
    **dict.fromkeys(("aug7", "+7", "7#5"), (0, 4, 8, 10)),
    "7b5": (0, 4, 6, 10),
    "7sus4": (0, 5, 7, 10),
    "7sus2": (0, 2, 7, 10),
    **dict.fromkeys(("add9", "add2", "2"), (0, 2, 4, 7)),
    **dict.fromkeys(("madd9", "m(add9)", "minadd9"), (0, 2, 3, 7)),
    **dict.fromkeys(("6/9", "69"), (0, 2, 4, 7, 9)),
    "9": (0, 2, 4, 7, 10),
    **dict.fromkeys(("maj9", "M9"), (0, 2, 4, 7, 11)),
    **dict.fromkeys(("m9", "min9", "-9"), (0, 2, 3, 7, 10)),
    "9sus4": (0, 2, 5, 7, 10),
    "7b9": (0, 1, 4, 7, 10),
    "7#9": (0, 3, 4, 7, 10),
    "11": (0, 2, 4, 5, 7, 10),
    **dict.fromkeys(("m11", "min11"), (0, 2, 3, 5, 7, 10)),
    "13": (0, 2, 4, 7, 9, 10),
    **dict.fromkeys(("maj13", "M13"), (0, 2, 4, 7, 9, 11)),
    **dict.fromkeys(("m13", "min13"), (0, 2, 3, 7, 9, 10)),
}
_DEGREES = {"1": 0, "b2": 1, "2": 2, "9": 2, "b3": 3, "3": 4, "4": 5, "11": 5, "b5": 6, "#4": 6, "5": 7, "#5": 8}
_DEGREES |= {"b6": 8, "6": 9, "13": 9, "bb7": 9, "b7": 10, "7": 11}


@dataclass(frozen=True, slots=True)
class Key:
    """A major or minor key.

    Attributes:
        tonic: pitch class of the tonic, 0 (C) to 11 (B).
        minor: whether the mode is minor.
    """

    tonic: int
    minor: bool = False

    def __post_init__(self) -> None:
        """Check the tonic."""
        if not 0 <= self.tonic < PITCH_CLASSES:
            raise ValueError(f"key tonic {self.tonic} is no pitch class; give 0 (C) to 11 (B)")

    @classmethod
    def parse(cls, text: str) -> Key:
        """Return the key called `text`, such as `A minor`, `Eb major`, `F#m`, `c# min` or `C`.

        Raises:
            ValueError: `text` names no key.
        """
        match = re.fullmatch(rf"{_NOTE}[\s:_-]*([A-Za-z]*)", text.strip())
        mode = match.group(3) if match else ""
        minor = mode == "m" or mode.lower() in ("min", "minor", "mi", "moll")
        if match is None or not (minor or mode in ("", "M") or mode.lower() in ("maj", "major", "dur")):
            raise ValueError(f"key {text!r} is not known; write it as 'A minor', 'Eb major', 'F#m' or 'C'")
        return cls(_pitch_class(match.group(1), match.group(2)), minor)

    @classmethod
    def from_index(cls, index: int) -> Key:
        """Return the key of class `index`: 0-11 major on C..B, 12-23 minor on C..B."""
        if not 0 <= index < KEYS:
            raise ValueError(f"key index {index} is out of range; give 0 to {KEYS - 1}")
        return cls(index % PITCH_CLASSES, index >= PITCH_CLASSES)

    @property
    def index(self) -> int:
        """The key's class: 0-11 major on C..B, 12-23 minor on C..B."""
        return self.tonic + (PITCH_CLASSES if self.minor else 0)

    @property
    def signature(self) -> int:
        """Pitch class of the tonic of the major key with the same notes."""
        return (self.tonic + 3 * self.minor) % PITCH_CLASSES

    @property
    def name(self) -> str:
        """The key in words, such as `A minor`; `Key.parse` reads it back."""
        return f"{_MINOR_NAMES[self.tonic]} minor" if self.minor else f"{_MAJOR_NAMES[self.tonic]} major"


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord, or, with root -1, the statement that there is none.

    Attributes:
        root: pitch class of the root, or -1 for no chord.
        pitch_classes: sounding pitch classes in rising order, without the bass note if it is foreign; empty for none.
        bass: pitch class of the bass note, or -1 for no chord.
        label: the name that it was read from.
    """

    root: int
    pitch_classes: tuple[int, ...]
    bass: int
    label: str = ""

    def __post_init__(self) -> None:
        """Check that the parts agree."""
        empty = self.root == -1 and self.bass == -1 and not self.pitch_classes
        notes = (self.root, self.bass, *self.pitch_classes)
        if not empty and not (self.pitch_classes and all(0 <= note < PITCH_CLASSES for note in notes)):
            raise ValueError(
                f"chord {self.label!r} with root {self.root}, pitch classes {list(self.pitch_classes)} and bass "
                f"{self.bass} is not valid; give pitch classes 0 to 11, or root -1, none and bass -1 for no chord"
            )

    @property
    def name(self) -> str:
        """The name that it was read from, or the shortest that means the same, such as `Am7` or `F/A`; `N` for none."""
        if self.label or self.root < 0:
            return self.label or "N"
        intervals = tuple(sorted((note - self.root) % PITCH_CLASSES for note in self.pitch_classes))
        qualities = [
            name for name, notes in _QUALITIES.items() if tuple(sorted(n % PITCH_CLASSES for n in notes)) == intervals
        ]
        bass = "" if self.bass == self.root else f"/{_MAJOR_NAMES[self.bass]}"
        return f"{_MAJOR_NAMES[self.root]}{min(qualities, key=len, default='?')}{bass}"

    def triad_above(self, tonic: int) -> int:
        """Return the number of its triad: the root's semitones above `tonic`, 12 more for a minor third."""
        minor, major = ((self.root + third) % PITCH_CLASSES in self.pitch_classes for third in (3, 4))
        return (self.root - tonic) % PITCH_CLASSES + PITCH_CLASSES * (minor and not major)

    @classmethod
    def parse(cls, label: str) -> Chord:
        """Return the chord called `label`: `Am7`, `F/A`, `Dsus4`, `N` for none, or `A:min7/b7` as annotations write.

        Raises:
            ValueError: `label` names no chord.
        """
        text = label.strip()
        if text in NO_CHORD_LABELS:
            return cls(-1, (), -1, text)
        match = re.fullmatch(rf"{_NOTE}:?(6/9|[^/]*)(?:/(.+))?", text)
        if match is None or match.group(3) not in _QUALITIES or match.group(1).islower():
            raise ValueError(f"chord {label!r} is not known; write it as 'C', 'Am7', 'F/A', 'Dsus4', or 'N' for none")
        root = _pitch_class(match.group(1), match.group(2))
        pitch_classes = tuple(sorted((root + interval) % PITCH_CLASSES for interval in _QUALITIES[match.group(3)]))
        return cls(root, pitch_classes, _bass(root, match.group(4), label), text)


NO_CHORD = Chord(-1, (), -1, "N")


@dataclass(frozen=True, slots=True)
class ChordSpan:
    """A chord from `start_beat` up to, not including, `end_beat`."""

    start_beat: float
    end_beat: float
    chord: Chord

    def __post_init__(self) -> None:
        """Check that the span has a length."""
        if not self.start_beat < self.end_beat:
            raise ValueError(
                f"chord {self.chord.label!r} starts at beat {self.start_beat:g} but ends at beat {self.end_beat:g}; "
                "give an end after the start"
            )

    @classmethod
    def from_row(cls, row: Sequence[object]) -> ChordSpan:
        """Return the span of a song file's row `[start_beat, end_beat, root, [pitch classes], bass, label]`."""
        start_beat, end_beat, root, pitch_classes, bass, label = row
        notes = tuple(sorted(int(note) for note in pitch_classes))  # type: ignore[attr-defined]
        chord = Chord(int(root), notes, int(bass), str(label))  # type: ignore[call-overload]
        return cls(float(start_beat), float(end_beat), chord)  # type: ignore[arg-type]


def _pitch_class(letter: str, accidental: str | None) -> int:
    """Return the pitch class of a note name."""
    return (_NATURALS[letter.upper()] + _ACCIDENTALS[accidental or ""]) % PITCH_CLASSES


def _bass(root: int, bass: str | None, label: str) -> int:
    """Return the pitch class of the part after the slash: a note (`A`) or a degree of the root (`b7`)."""
    if bass is None:
        return root
    if bass in _DEGREES:
        return (root + _DEGREES[bass]) % PITCH_CLASSES
    note = re.fullmatch(_NOTE, bass)
    if note is None or bass[0].islower():
        raise ValueError(
            f"bass {bass!r} of chord {label!r} is not known; write a note as in 'F/A' or a degree as 'F/3'"
        )
    return _pitch_class(note.group(1), note.group(2))
