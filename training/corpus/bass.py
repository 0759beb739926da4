"""Bass lines by style: patterns of chord degrees, and a walking line for jazz.

A pattern is one bar, a character a step (its length divides the bar): `R` root, `5` fifth, `3` third, `7` seventh,
`8` the root an octave up, `A` a half step into the next chord's bass, `s` a dead note, `-` holds, `.` rests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.corpus.notes import Chord, Note
from training.corpus.score import Bar, chord_index_at
from training.corpus.theory import chord_tone, nearest_pitch

LOW, HIGH = 28, 48
_DEGREES = {"3": 3, "5": 5, "7": 7}


@dataclass(frozen=True, slots=True)
class BassStyle:
    """Programs to choose from, patterns by metre for calm and for full sections, and how long a note rings."""

    programs: tuple[int, ...]
    calm: dict[str, tuple[str, ...]]
    full: dict[str, tuple[str, ...]]
    gate: float = 0.92
    velocity: int = 88
    low: int = LOW
    centre: float = 36.0


_WALTZ_3 = ("R-----------", "R-------5---", "R-------....")
_WALTZ_6 = ("R-----5-----", "R---R-5-----", "R-----......")

BASS_STYLES = {
    "ballad": BassStyle(
        (32, 33, 35, 33),
        {"4/4": ("R---------------", "R-------5-------", "R-------R-------"), "6/8": ("R-----------", "R-----5-----")},
        {"4/4": ("R-----R-R-----5-", "R-----5-R-------", "R---5---8---5---"), "6/8": ("R---R-5---5-", "R-----5---R-")},
        gate=0.97,
        velocity=78,
    ),
    "pop": BassStyle(
        (33, 34, 33, 38),
        {"4/4": ("R-------R-R-----", "R-----R-R-------", "R-------R-------")},
        {"4/4": ("R-R-R-R-R-R-R-R-", "R--R--R-R--R--R-", "R-----R-R-8---5-", "R--R--R---R-5-R-")},
    ),
    "rock": BassStyle(
        (34, 33, 34),
        {"4/4": ("R-R-R-R-R-R-R-R-", "R-------R-------", "R---R---R---R---"), "6/8": ("R-----R-----", "R---R-R---R-")},
        {
            "4/4": ("R-R-R-R-R-R-R-R-", "R-R-R-R-R-R-5-8-", "R-RRR-R-R-RRR-R-", "R-R-8-R-R-R-8-R-"),
            "6/8": ("R-R-R-R-R-R-", "R-R-R-5-5-R-"),
        },
        gate=0.88,
        velocity=100,
    ),
    "funk": BassStyle(
        (36, 37, 33, 36),
        {"4/4": ("R--.....R-.R..8.", "R-....R-..R-..5.", "R-.8...R..R-....")},
        {"4/4": ("R-.R..8.s.R..7-8", "R..8.sR..R.8..5A", "R-s8..R.R..8s.5-", "R.R...8-.sR.5-7.", "R-..sR.8..R.s5.8")},
        gate=0.8,
        velocity=102,
    ),
    "electronic": BassStyle(
        (38, 39, 81, 87),
        {"4/4": ("R---------------", "..R-..R-..R-..R-", "R-------R-----R-")},
        {"4/4": ("..R-..R-..R-..R-", ".RRR.RRR.RRR.RRR", "..R-..R-..R-..8-", "R-8-R-8-R-8-R-8-", "R.RR.RR.R.RR.RR.")},
        gate=0.8,
        velocity=100,
    ),
    "acoustic": BassStyle(
        (32, 32, 33, 35),
        {"4/4": ("R-------5-------", "R---------------"), "3/4": _WALTZ_3, "6/8": ("R-----------", "R-----5-----")},
        {
            "4/4": ("R-----R-5-------", "R-------5---R---", "R-----5-8-----5-"),
            "3/4": _WALTZ_3,
            "6/8": ("R-----5---3-", "R---R-5-----"),
        },
        velocity=80,
    ),
    "hip-hop": BassStyle(
        (38, 39, 87, 33),
        {"4/4": ("R-----------....", "R-----R---------", "R---------R-----")},
        {"4/4": ("R-----R...R-----", "R--R------R--8--", "R-----.R--R-....", "R------R.R----5-", "R--.--R-..R-..A.")},
        gate=0.98,
        velocity=102,
        low=26,
        centre=32.0,
    ),
    "jazz-swing": BassStyle(
        (32, 32, 32, 35),
        {"4/4": ("R-----5-----", "R-----3-----"), "3/4": ("R--------", "R-----5--")},
        {"4/4": (), "3/4": ("R--3--5--", "R--5--8--", "R-----5--", "R--5--A--")},
        velocity=90,
    ),
    "bossa-nova": BassStyle(
        (32, 32, 33, 35),
        {"4/4": ("R-----5-5-------", "R-------5-------")},
        {"4/4": ("R-----5-5-----R-", "R-----5-8-----5-", "R-----R-5-----5-")},
        velocity=84,
    ),
    "waltz": BassStyle(
        (32, 43, 32, 42, 58),
        {"3/4": _WALTZ_3, "6/8": _WALTZ_6},
        {"3/4": ("R---........", "R---....5---", "R-------....", "R---5---5---"), "6/8": _WALTZ_6},
        velocity=86,
    ),
}


def bass_line(
    bars: Sequence[Bar], chords: Sequence[Chord], style: str, metre: str, rng: np.random.Generator
) -> list[Note]:
    """Write the bass of a whole song; each section keeps its pattern, phrase ends lead into what comes.

    Args:
        bars: the song's bars.
        chords: its chords, covering all bars.
        style: key of `BASS_STYLES`.
        metre: `4/4`, `3/4` or `6/8`; one that the style lacks falls back on the waltz's patterns.
        rng: chooses patterns and passing notes.
    """
    profile = BASS_STYLES[style]
    calm = profile.calm.get(metre) or BASS_STYLES["waltz"].calm[metre]
    full = profile.full.get(metre, calm)
    by_section: dict[str, str | None] = {}
    notes: list[Note] = []
    near = profile.centre
    for bar in bars:
        pattern = by_section.get(bar.section)
        if bar.section not in by_section:
            options = full if bar.energy > 0.5 or (bar.energy > 0.4 and rng.random() < 0.3) else calm
            pattern = by_section[bar.section] = options[int(rng.integers(len(options)))] if options else None
        if pattern is None:
            notes += _walk_bar(bar, chords, near, rng, profile)
        else:
            notes += _pattern_bar(pattern, bar, chords, near, profile)
        if notes:
            near = 0.5 * notes[-1].pitch + 0.5 * profile.centre
    return notes


def _pattern_bar(pattern: str, bar: Bar, chords: Sequence[Chord], near: float, profile: BassStyle) -> list[Note]:
    step = bar.beats / len(pattern)
    notes: list[Note] = []
    velocity = profile.velocity + round(30 * (bar.energy - 0.6))
    for place, mark in enumerate(pattern):
        beat = bar.start_beat + place * step
        index = chord_index_at(chords, beat)
        chord = chords[index]
        starts_here = place > 0 and abs(chord.start_beat - beat) < 1e-6
        if mark == "-" and starts_here:
            mark = "R"
        if mark in "-." or chord.root < 0:
            continue
        length = 1
        while place + length < len(pattern) and pattern[place + length] == "-":
            length += 1
        end = min(beat + length * step, max(chord.end_beat, beat + step))
        following = chords[index + 1] if index + 1 < len(chords) else chord
        if mark == "A" and (following.root < 0 or abs(following.start_beat - (beat + length * step)) > 1e-6):
            mark = "5"
        pitch = _pitch("R" if starts_here else mark, chord, following, near, profile)
        accent = 6 if place == 0 else -22 if mark == "s" else 0
        duration = 0.08 if mark == "s" else (end - beat) * profile.gate
        notes.append(Note(beat, duration, pitch, velocity + accent))
        near = 0.6 * pitch + 0.4 * profile.centre
    return notes


def _pitch(mark: str, chord: Chord, following: Chord, near: float, profile: BassStyle) -> int:
    root = nearest_pitch(chord.bass, min(near, 40), profile.low, HIGH - 8)
    if mark == "8":
        return root + 12
    if mark == "A":
        return nearest_pitch(following.bass, root, profile.low, HIGH) + 1
    if mark in _DEGREES:
        return nearest_pitch(chord_tone(chord, _DEGREES[mark]), root + 4, profile.low, HIGH)
    return root


def _walk_bar(
    bar: Bar, chords: Sequence[Chord], near: float, rng: np.random.Generator, profile: BassStyle
) -> list[Note]:
    """Walk in quarters: the chord's bass where it starts, chord tones between, a step into the next bass before it."""
    notes: list[Note] = []
    velocity = profile.velocity + round(26 * (bar.energy - 0.6))
    for quarter in range(round(bar.beats)):
        beat = bar.start_beat + quarter
        index = chord_index_at(chords, beat)
        chord = chords[index]
        if chord.root < 0:
            continue
        following = chords[index + 1] if index + 1 < len(chords) else chord
        if abs(chord.start_beat - beat) < 1e-6 or quarter == 0:
            pitch = nearest_pitch(chord.bass, near, profile.low, HIGH)
        elif abs(following.start_beat - (beat + 1)) < 1e-6 and following.root >= 0 and rng.random() < 0.55:
            target = nearest_pitch(following.bass, near, profile.low + 2, HIGH)
            pitch = target + int(rng.choice([-1, 1, 2]))
        else:
            tone = int(rng.choice(chord.pitch_classes))
            pitch = nearest_pitch(tone, near + float(rng.choice([-4, 4])), profile.low, HIGH)
        notes.append(Note(beat, 0.9, pitch, velocity + (4 if quarter % 2 else 0)))
        if rng.random() < 0.08:
            notes.append(Note(beat + 2 / 3, 0.25, pitch, velocity - 18))
        near = pitch
    return notes
