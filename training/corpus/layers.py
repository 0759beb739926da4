"""The harmony layers of each style: which instruments play which patterns in which register.

A pattern is one bar, a character a step (its length divides the bar): `X` accented chord, `x` chord, `o` soft chord,
`m` muted scratch, `u` the upper voices, `l` the lowest voice, `0` to `9` one voice (upward through the octaves),
`-` holds, `.` rests; `=` alone holds each chord for its whole length.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PIANOS, ELECTRIC_PIANOS = (0, 1, 2), (4, 5)
PADS, STRINGS = (88, 89, 90, 91, 92, 94, 95), (48, 49, 50, 51)


@dataclass(frozen=True, slots=True)
class Layer:
    """One instrument of the harmony.

    Attributes:
        programs: General MIDI programs to choose from.
        patterns: by metre (`4/4`, `3/4`, `6/8`), or `any` for a hold.
        low, high: register of its voicings in MIDI pitches.
        voices: chord tones sounding at once; 2 gives root and fifth (power chords) with `power`.
        velocity: of a plain stroke.
        gate: share of its written length that a note sounds.
        strum_seconds: time from the first to the last string of a chord.
        from_energy: sections below this energy go without the layer.
        chance: probability that a song has the layer at all; 1 for what carries the style.
        spread: open position; `rootless` leaves the root to the bass.
    """

    programs: tuple[int, ...]
    patterns: Mapping[str, tuple[str, ...]]
    low: int = 52
    high: int = 74
    voices: int = 3
    velocity: int = 74
    gate: float = 0.95
    strum_seconds: float = 0.0
    from_energy: float = 0.0
    chance: float = 1.0
    spread: bool = False
    rootless: bool = False
    power: bool = False
    gain_db: float = 0.0


HOLD = {"any": ("=",)}

# What a program of the FluidR3 soundfont needs to stand level with the others, measured on rendered songs.
PROGRAM_GAINS_DB = {
    0: 3,
    1: 3,
    2: 2,
    8: 3,
    11: 4,
    12: 3,
    24: 2,
    26: 3,
    28: 3,
    29: -4,
    30: -5,
    45: -3,
    46: 4,
    88: 3,
    105: 2,
}
LOUDEST_GAIN_DB = 4.0


def part_gain_db(layer: Layer, program: int, chance_db: float) -> float:
    """Return a part's level: the layer's, corrected for the program, `chance_db` up or down by the song."""
    return round(min(LOUDEST_GAIN_DB, layer.gain_db + PROGRAM_GAINS_DB.get(program, 0) + chance_db), 1)
