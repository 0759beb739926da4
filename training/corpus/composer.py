"""A composer: form, functional chords and a phrase-wise melody from a seed, so that a corpus needs no download."""

import numpy as np

from training.corpus.notes import Chord
from training.corpus.progressions import PROGRESSIONS, TWELVE_BAR, TWELVE_BAR_MINOR
from training.corpus.score import Metre, Score
from training.corpus.theory import make_chord, parse_numeral
from training.corpus.tunes import compose_tune

TEMPO_RANGES_BPM = {
    "ballad": (50, 84),
    "pop": (84, 132),
    "rock": (92, 172),
    "funk": (88, 124),
    "electronic": (112, 142),
    "acoustic": (66, 128),
    "hip-hop": (66, 100),
    "jazz-swing": (96, 200),
    "bossa-nova": (104, 156),
    "waltz": (84, 190),
}
METRES = {
    "ballad": (("4/4", 0.8), ("6/8", 0.2)),
    "rock": (("4/4", 0.93), ("6/8", 0.07)),
    "acoustic": (("4/4", 0.8), ("6/8", 0.12), ("3/4", 0.08)),
    "jazz-swing": (("4/4", 0.92), ("3/4", 0.08)),
    "waltz": (("3/4", 0.75), ("6/8", 0.25)),
}
_SIX_EIGHT_BPM = {
    "ballad": (66, 110),
    "acoustic": (80, 150),
    "rock": (100, 170),
    "waltz": (90, 180),
}


LENGTH_SECONDS = (40.0, 64.0)
"""How long a song of the corpus is at least and at most, unless it is asked for otherwise."""


def pick_metre(rng: np.random.Generator, style: str) -> Metre:
    """Return one of the style's metres, by weight."""
    names, weights = zip(*METRES.get(style, (("4/4", 1.0),)), strict=True)
    numerator, denominator = str(rng.choice(names, p=weights)).split("/")
    return Metre(int(numerator), int(denominator))


def tempo_range_bpm(style: str, metre: Metre) -> tuple[float, float]:
    """Return the slowest and the fastest tempo of the style in this metre, in quarter notes a minute."""
    return _SIX_EIGHT_BPM[style] if metre.name == "6/8" else TEMPO_RANGES_BPM[style]


def compose(seed: int, style: str, length_seconds: tuple[float, float] = LENGTH_SECONDS) -> Score:
    """Compose a song.

    Args:
        seed: identity of the composition.
        style: one of `engine.styles.STYLES`; decides metre, tempo, harmony and the density of the melody.
        length_seconds: how long it is at least and at most.
    """
    rng = np.random.default_rng([seed, 1])
    metre = pick_metre(rng, style)
    low, high = tempo_range_bpm(style, metre)
    bpm = round(float(rng.uniform(low, high)), 1 if rng.random() < 0.3 else 0)
    mode = "major" if rng.random() < 0.6 else "minor"
    tonic = int(rng.integers(12))
    least, most = length_seconds
    seconds = float(rng.uniform(least + 1, most - 1))  # whole bars may be a little more or less
    bars = max(8, round(seconds * bpm / 60 / metre.bar_beats))
    form = _plan_form(rng, bars)
    chords = _harmonise(rng, style, mode, tonic, metre, bpm, form)
    sections, phrase_ends = _spans(form, metre.bar_beats)
    melody = compose_tune(rng, style, metre, bpm, (tonic, mode), chords, sections)
    return Score(
        composition=f"composer-{seed:09d}",
        source="composer",
        metre=metre,
        bpm=bpm,
        tonic=tonic,
        mode=mode,
        melody=melody,
        chords=chords,
        sections=sections,
        phrase_ends=phrase_ends,
        length_beats=bars * metre.bar_beats,
    )


def _plan_form(rng: np.random.Generator, bars: int) -> list[tuple[str, int]]:
    """Return sections as (name, bars) that add up to `bars`."""
    unit = 8 if bars >= 24 else 4
    form: list[tuple[str, int]] = []
    if bars >= 14 and rng.random() < 0.6:
        form.append(("intro", 4 if bars >= 24 and rng.random() < 0.6 else 2))
    cycles = (
        ("verse", "chorus", "verse", "chorus", "bridge", "chorus"),
        ("verse", "verse", "chorus", "interlude", "verse", "chorus"),
        ("verse", "prechorus", "chorus", "verse", "prechorus", "chorus"),
        ("chorus", "verse", "chorus", "bridge", "verse", "chorus"),
    )
    cycle = cycles[int(rng.integers(len(cycles)))]
    left = bars - sum(length for _, length in form)
    place = 0
    while left > 0:
        name = cycle[place % len(cycle)]
        place += 1
        length = min(left, 4 if name in ("prechorus", "interlude") else unit)
        if left - length < 2:
            length = left
        form.append((name, length))
        left -= length
    return form


def _spans(
    form: list[tuple[str, int]], bar_beats: float
) -> tuple[tuple[tuple[float, float, str], ...], tuple[float, ...]]:
    sections: list[tuple[float, float, str]] = []
    ends: list[float] = []
    bar = 0
    for name, length in form:
        sections.append((bar * bar_beats, (bar + length) * bar_beats, name))
        ends += [(bar + done) * bar_beats for done in range(4, length, 4)] + [(bar + length) * bar_beats]
        bar += length
    return tuple(sections), tuple(ends)


def _harmonise(
    rng: np.random.Generator,
    style: str,
    mode: str,
    tonic: int,
    metre: Metre,
    bpm: float,
    form: list[tuple[str, int]],
) -> tuple[Chord, ...]:
    table = PROGRESSIONS[style][mode == "minor"]
    blues = style in ("jazz-swing", "rock", "funk") and rng.random() < 0.12
    chosen: dict[str, list[str]] = {}
    chords: list[Chord] = []
    beat = 0.0
    per_bar = _chords_per_bar(rng, style, metre, bpm)
    for position, (name, bars) in enumerate(form):
        if name not in chosen:
            text = table[int(rng.integers(len(table)))]
            chosen[name] = text.split()
        numerals = (TWELVE_BAR_MINOR if mode == "minor" else TWELVE_BAR).split() if blues else chosen[name]
        last = position == len(form) - 1
        chords += _section_chords(numerals, beat, bars, metre.bar_beats, 1 if blues else per_bar, tonic, mode, last)
        beat += bars * metre.bar_beats
    return tuple(_merge(chords))


def _chords_per_bar(rng: np.random.Generator, style: str, metre: Metre, bpm: float) -> float:
    """Return how many chords a bar holds: more in slow songs, fewer in fast ones."""
    bars_a_minute = bpm / metre.bar_beats
    if metre.bar_beats >= 4 and bars_a_minute < 19 and rng.random() < 0.55:
        return 2
    if (bars_a_minute > 36 and rng.random() < 0.5) or (style == "funk" and rng.random() < 0.25):
        return 0.5
    return 1


def _section_chords(
    numerals: list[str],
    start: float,
    bars: int,
    bar_beats: float,
    per_bar: float,
    tonic: int,
    mode: str,
    last: bool,
) -> list[Chord]:
    step = bar_beats / per_bar
    count = round(bars * per_bar + 0.49)
    chords = []
    end_of_section = start + bars * bar_beats
    for index in range(count):
        numeral = numerals[index % len(numerals)]
        if last and index == count - 1:
            numeral = "i" if mode == "minor" else "I"
        offset, quality, bass_offset = parse_numeral(numeral, sevenths=False)
        begin = start + index * step
        end = min(end_of_section, begin + step)
        if end > begin:
            chords.append(make_chord(begin, end, tonic + offset, quality, bass_offset))
    return chords


def _merge(chords: list[Chord]) -> list[Chord]:
    """Join neighbours that are the same chord within a bar border, so that a label is one span."""
    merged: list[Chord] = []
    for chord in chords:
        if merged and merged[-1].label == chord.label:
            first = merged.pop()
            chord = Chord(first.start_beat, chord.end_beat, chord.root, chord.pitch_classes, chord.bass, chord.label)
        merged.append(chord)
    return merged
