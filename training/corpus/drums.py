"""Pattern drums: a bar of pattern a bar, changed by section, fills at phrase ends, crashes where a section opens."""

from collections.abc import Sequence

import numpy as np

from training.corpus.drum_patterns import CALM, FILLS, FULL, KEYS, LIGHT_FILLS, VELOCITIES, Pattern
from training.corpus.notes import Note
from training.corpus.score import Bar

BRUSH_KIT = 40
KITS = {
    "ballad": (0, 0, 8, BRUSH_KIT),
    "pop": (0, 8, 16, 0),
    "rock": (0, 16, 16),
    "funk": (0, 8, 0),
    "electronic": (24, 25, 24),
    "acoustic": (BRUSH_KIT, 0, BRUSH_KIT),
    "hip-hop": (25, 8, 24, 0),
    "jazz-swing": (32, BRUSH_KIT, 32),
    "bossa-nova": (0, 32, BRUSH_KIT),
    "waltz": (BRUSH_KIT, 0, BRUSH_KIT, 32),
}
_LIGHT = ("ballad", "acoustic", "jazz-swing", "bossa-nova", "waltz")
_CRASH_MARKS = ("crash", "crash2")


def pattern_drums(
    bars: Sequence[Bar], style: str, metre: str, subdivision: int, rng: np.random.Generator
) -> list[Note]:
    """Write the drums of a whole song from the style's patterns.

    Args:
        bars: the song's bars.
        style: one of `engine.styles.STYLES`.
        metre: `4/4`, `3/4` or `6/8`; one that the style lacks is played as a waltz.
        subdivision: 4 or 3 grid positions a beat, for the fills.
        rng: chooses patterns, fills and variations.
    """
    calm = CALM[style].get(metre) or CALM["waltz"][metre]
    full = FULL[style].get(metre) or FULL["waltz"][metre]
    chosen: dict[str, Pattern] = {}
    notes: list[Note] = []
    enters = 1 if bars[0].energy < 0.5 and rng.random() < 0.35 else 0
    for bar in bars:
        if bar.section not in chosen:
            table = full if bar.energy > 0.5 or rng.random() < 0.2 else calm
            if style in ("ballad", "acoustic") and bar.section == "verse" and rng.random() < 0.5:
                table = calm
            chosen[bar.section] = table[int(rng.integers(len(table)))]
        if bar.index < enters:
            continue
        if bar.closes_phrase and rng.random() < (0.45 if style in _LIGHT else 0.75):
            notes += fill_bar(bar, style, chosen[bar.section], subdivision, rng)
        else:
            notes += _play(_varied(chosen[bar.section], rng), bar)
        if bar.opens_section and bar.energy > 0.6 and style not in ("acoustic", "bossa-nova", "waltz"):
            notes.append(Note(bar.start_beat, 2.0, KEYS["crash"], 100))
    return notes


def fill_bar(bar: Bar, style: str, groove: Pattern, subdivision: int, rng: np.random.Generator) -> list[Note]:
    """Return a bar whose last part is a fill: the groove before the fill's first mark on a drum, then the fill."""
    steps = round(bar.beats * subdivision)
    name = {16: "4/4", 9: "9"}.get(steps, "4/4 triplet" if subdivision == 3 else "12")
    table = (LIGHT_FILLS if style in _LIGHT else FILLS)[name]
    fill = table[int(rng.integers(len(table)))]
    drums = [line for voice, line in fill.items() if voice != "kick"]
    first = min(place / len(line) for line in drums for place, mark in enumerate(line) if mark != ".")
    start = bar.start_beat + bar.beats * first
    groove_notes = [note for note in _play(groove, bar) if note.start_beat < start - 1e-6]
    fill_notes = [note for note in _play(fill, bar) if note.start_beat >= start - 1e-6]
    return groove_notes + fill_notes


def _varied(pattern: Pattern, rng: np.random.Generator) -> Pattern:
    """Now and then add a ghost note on the snare or a kick before a beat."""
    if rng.random() > 0.2 or "snare" not in pattern:
        return pattern
    line = list(pattern["snare"])
    free = [place for place, mark in enumerate(line) if mark == "." and place % 2 == 1]
    if not free:
        return pattern
    line[free[int(rng.integers(len(free)))]] = "g"
    return {**pattern, "snare": "".join(line)}


def _play(pattern: Pattern, bar: Bar) -> list[Note]:
    gain = 0.62 + 0.48 * bar.energy
    notes = []
    for voice, line in pattern.items():
        step = bar.beats / len(line)
        for place, mark in enumerate(line):
            if mark != ".":
                velocity = round(VELOCITIES[mark] * gain)
                long = voice in ("open", "ride", "bell", "triangle", *_CRASH_MARKS)
                notes.append(Note(bar.start_beat + place * step, 0.5 if long else 0.2, KEYS[voice], velocity))
    return notes
