"""What songs do with chords, as statistics relative to the key: what `engine.harmoniser` reads a vocal with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.harmony import PITCH_CLASSES, Chord

MODES = ("major", "minor")
NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SUM_TOLERANCE = 1e-3
_PROBABILITIES = ("mode_prior", "first", "transition", "emission")
_WEIGHTS = ("evidence", "beat_accent", "change_bonus")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChordState:
    """A chord relative to the key.

    Attributes:
        degree: semitones from the tonic up to the root, 0 to 11.
        quality: `maj`, `min`, `7`, `min7` ... as `engine.harmony.Chord.parse` reads it.

    Raises:
        ValueError: the degree is out of range or the quality is not known.
    """

    degree: int
    quality: str

    def __post_init__(self) -> None:
        """Check both parts."""
        if not 0 <= self.degree < PITCH_CLASSES:
            raise ValueError(f"chord degree {self.degree} is out of range; give semitones above the tonic, 0 to 11")
        self.chord_in(0)

    def chord_in(self, tonic: int) -> Chord:
        """Return the chord that this is above `tonic`, in root position."""
        return Chord.parse(f"{NOTE_NAMES[(tonic + self.degree) % PITCH_CLASSES]}:{self.quality}")

    @property
    def name(self) -> str:
        """The state as text, such as `7:maj` for the major dominant."""
        return f"{self.degree}:{self.quality}"

    @classmethod
    def parse(cls, name: str) -> ChordState:
        """Return the state called `name`."""
        degree, _, quality = name.partition(":")
        return cls(int(degree), quality)


@dataclass(frozen=True, slots=True)
class HarmonyTables:
    """Statistics of sung songs; every row of probabilities sums to 1 and holds no 0.

    A *unit* is the stretch in which a chord may not change: `engine.harmonic_units`.

    Attributes:
        states: the chords that are told apart, in both modes.
        mode_prior: (2,) how common major and minor are.
        first: (2, states) probability of a song's first chord.
        transition: (2, 2, states, states) mode, whether the unit begins a bar, from chord, to chord.
        emission: (2, states, 12) probability of each sung pitch class, from the tonic up, while a chord sounds.
        evidence: how many independent notes a sung beat counts for when chords are chosen, above 0.
        beat_accent: how much more the first half of a beat counts, at least 0.
        change_bonus: added to the log probability of each change on a bar line, at least 0: the most likely path holds
            chords for longer than songs do.

    Raises:
        ValueError: a shape, a sum or a number is wrong.
    """

    states: tuple[ChordState, ...]
    mode_prior: Floats
    first: Floats
    transition: Floats
    emission: Floats
    evidence: float
    beat_accent: float
    change_bonus: float

    def __post_init__(self) -> None:
        """Check shapes, sums and weights."""
        count, modes = len(self.states), len(MODES)
        shapes = {
            "mode_prior": (modes,),
            "first": (modes, count),
            "transition": (modes, 2, count, count),
            "emission": (modes, count, PITCH_CLASSES),
        }
        if not count or len(set(self.states)) != count:
            raise ValueError("harmony states must be at least one and all different; estimate the tables again")
        for name, shape in shapes.items():
            _check_probabilities(name, getattr(self, name), shape)
        for name in _WEIGHTS:
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0) or (name == "evidence" and value == 0):
                raise ValueError(f"harmony {name} {value} is out of range; give a finite number, not negative")

    def to_dict(self) -> dict[str, Any]:
        """Return the tables as JSON values; each row of probabilities is one text, so that files stay readable."""
        tables = {name: _as_text(getattr(self, name)) for name in _PROBABILITIES}
        weights = {name: float(getattr(self, name)) for name in _WEIGHTS}
        return {"states": [state.name for state in self.states], **tables, **weights}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> HarmonyTables:
        """Return the tables that `to_dict` gave.

        Raises:
            ValueError: a field is missing or wrong.
        """
        try:
            states = tuple(ChordState.parse(name) for name in facts["states"])
            tables = {name: np.array(_as_numbers(facts[name]), dtype=np.float64) for name in _PROBABILITIES}
            weights = {name: float(facts[name]) for name in _WEIGHTS}
            return cls(states=states, **tables, **weights)  # type: ignore[arg-type]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"harmony tables: field missing or wrong ({error})") from error


def _check_probabilities(name: str, table: Floats, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `table` has the shape, and its last dimension positive numbers that sum to 1."""
    if table.shape != shape:
        raise ValueError(f"harmony {name} has shape {table.shape}, expected {shape}")
    if not (np.isfinite(table).all() and (table > 0).all()):
        raise ValueError(f"harmony {name} holds a number that is not above 0; smooth the statistics")
    if np.abs(table.sum(axis=-1) - 1).max() > SUM_TOLERANCE:
        raise ValueError(f"harmony {name} has a row that does not sum to 1; estimate the tables again")


def _as_text(table: Floats) -> Any:
    """Return nested lists whose innermost rows are texts of numbers."""
    return " ".join(f"{value:.5g}" for value in table) if table.ndim == 1 else [_as_text(row) for row in table]


def _as_numbers(rows: str | Sequence[Any]) -> list[Any]:
    """Return what `_as_text` was made from, to five digits."""
    return [float(value) for value in rows.split()] if isinstance(rows, str) else [_as_numbers(row) for row in rows]
