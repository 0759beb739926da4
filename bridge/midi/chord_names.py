"""The name of the chord that a set of notes makes, in names that `engine.harmony.Chord` parses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine.harmony import PITCH_CLASSES, Chord, Key

# What follows the root, and what the name costs: of two names for the same notes the cheaper one wins.
QUALITY_COSTS = {
    **dict.fromkeys(("", "m"), 0.0),
    **dict.fromkeys(("7", "m7", "maj7", "dim", "aug", "m7b5", "dim7"), 0.5),
    **dict.fromkeys(("6", "m6", "sus4", "mM7", "add9", "madd9", "9", "m9", "maj9", "7sus4"), 1.0),
    **dict.fromkeys(("sus2", "69", "7b9", "7#9", "aug7", "7b5", "9sus4"), 1.5),
    **dict.fromkeys(("11", "m11", "13", "m13", "maj13"), 2.0),
}
INVERSION_COST = 2.0
FOREIGN_BASS_COST = 2.5
NO_FIFTH_COST = 3.0
FIFTH, OCTAVE = 7, 12
FEWEST_NOTES = 3


@dataclass(frozen=True, slots=True)
class _Quality:
    name: str
    intervals: frozenset[int]
    cost: float


_QUALITIES = tuple(
    _Quality(name, frozenset(Chord.parse(f"C{name}").pitch_classes), cost) for name, cost in QUALITY_COSTS.items()
)


def chord_name(notes: Collection[int]) -> str | None:
    """Return the name of the chord that `notes` make, such as `Am7`, `F/A` or `C5`, or None if they make none.

    Three notes of three names are needed, or a fifth with one of its notes doubled. Every note has to belong to the
    chord, but for a bass note an octave or more below all others, which may be foreign (`C/D`); only the fifth may be
    left out, and only of a chord of four or more. Where notes have several names, the root in the bass decides.

    Args:
        notes: MIDI note numbers; in any order.
    """
    held = sorted(set(notes))
    if len(held) < FEWEST_NOTES:
        return None
    bass = held[0] % PITCH_CLASSES
    pitch_classes = frozenset(note % PITCH_CLASSES for note in held)
    if len(pitch_classes) == 2:
        return _power_chord(pitch_classes, bass)
    names = _names(pitch_classes, bass, 0.0)
    if (
        held[1] - held[0] >= OCTAVE
        and len(upper := frozenset(note % PITCH_CLASSES for note in held[1:])) >= FEWEST_NOTES
    ):
        names |= _names(upper - {bass}, bass, FOREIGN_BASS_COST) if bass not in upper else {}
    return min(names, key=lambda name: names[name]) if names else None


def _names(pitch_classes: frozenset[int], bass: int, extra_cost: float) -> dict[str, float]:
    """Return every name for exactly these pitch classes, with its cost."""
    names: dict[str, float] = {}
    for root in pitch_classes:
        intervals = frozenset((note - root) % PITCH_CLASSES for note in pitch_classes)
        for quality in _QUALITIES:
            missing = quality.intervals - intervals
            if intervals - quality.intervals or not (
                not missing or (missing == {FIFTH} and len(quality.intervals) > 3)
            ):
                continue
            inversion = 0.0 if root == bass or extra_cost else INVERSION_COST
            name = _written(root, quality.name, bass)
            names[name] = quality.cost + extra_cost + inversion + (NO_FIFTH_COST if missing else 0.0)
    return names


def _power_chord(pitch_classes: frozenset[int], bass: int) -> str | None:
    """Return the name of a root and its fifth."""
    for root in pitch_classes:
        if (root + FIFTH) % PITCH_CLASSES in pitch_classes:
            return _written(root, "5", bass)
    return None


def _written(root: int, quality: str, bass: int) -> str:
    """Return the chord's name, spelt with the accidentals of the key of the same name."""
    minor = quality.startswith(("m", "dim")) and not quality.startswith("maj")
    slash = "" if bass == root else f"/{_note(bass, False)}"
    return f"{_note(root, minor)}{quality}{slash}"


def _note(pitch_class: int, minor: bool) -> str:
    return Key(pitch_class, minor).name.split()[0]
