"""A score and a style become a song: parts for drums, bass and harmony, with the style's feel."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from training.corpus.bass import BASS_STYLES, bass_line
from training.corpus.drum_patterns import KEYS
from training.corpus.drums import BRUSH_KIT, KITS, pattern_drums
from training.corpus.groove import groove_drums
from training.corpus.harmony import choose_layers, layer_notes
from training.corpus.humanise import Feel, humanise
from training.corpus.layers import part_gain_db
from training.corpus.notes import Note, Part, Song
from training.corpus.response import answering_part, sung_bars
from training.corpus.score import Bar, Score, bars_of, split_of, swing_melody
from training.corpus.theory import key_name

TRIPLET_STYLES = ("jazz-swing",)
_FEELS = {
    "ballad": (0.008, 0.004, 6.0),
    "rock": (0.006, 0.0, 6.0),
    "electronic": (0.0, 0.0, 2.0),
    "hip-hop": (0.005, 0.006, 5.0),
    "jazz-swing": (0.009, 0.003, 8.0),
    "bossa-nova": (0.007, 0.0, 6.0),
    "acoustic": (0.009, 0.0, 7.0),
}
_SWING = {"hip-hop": (0.5, 0.58), "funk": (0.5, 0.55)}
_TACET_SHARE = 0.2


def arrange_score(score: Score, song_id: str, style: str, seed: int, data_dir: Path | None) -> Song:
    """Arrange a score.

    Args:
        score: what to arrange; beat 0 a downbeat, the length whole bars.
        song_id: identity of the rendering.
        style: one of `engine.styles.STYLES`.
        seed: decides every choice; the stages draw from streams of their own.
        data_dir: where Groove MIDI may lie; without it the drums are patterns.
    """
    subdivision = 3 if style in TRIPLET_STYLES else 4
    if subdivision == 3:
        score = swing_melody(score)
    shaped = shaped_bars(score, np.random.default_rng([seed, 10]))
    bars = sung_bars(shaped, score.melody, score.length_beats, np.random.default_rng([seed, 15]))
    feel = _feel(style, score.bpm, np.random.default_rng([seed, 11]))
    answer = answering_part(score, style, subdivision, feel, np.random.default_rng([seed, 50]))
    written = (
        *drum_parts(score, bars, style, subdivision, feel, seed, data_dir),
        bass_part(score, bars, style, feel, seed),
        *harmony_parts(score, bars, style, feel, seed),
        *((answer,) if answer else ()),
    )
    rests = tacet_bars(bars, np.random.default_rng([seed, 13]))
    ends = score.source == "composer" and np.random.default_rng([seed, 14]).random() < 0.4
    parts = tuple(_ended(part, bars[-1]) if ends else part for part in (_rested(part, bars, rests) for part in written))
    return Song(
        id=song_id,
        source=score.source,
        split=split_of(score.composition),
        style=style,
        tempo_map=tempo_map(score, np.random.default_rng([seed, 12])),
        time_signatures=((0.0, score.metre.numerator, score.metre.denominator),),
        subdivision=subdivision,
        key=key_name(score.tonic, score.mode),
        chords=score.chords,
        sections=score.sections,
        length_beats=score.length_beats,
        melody=monophonic(score.melody, score.length_beats),
        parts=parts,
        seed=seed,
    )


def shaped_bars(score: Score, rng: np.random.Generator) -> tuple[Bar, ...]:
    """Return the bars with their energy shifted a little for the song and lifted where a section comes back."""
    bars = bars_of(score)
    shift = float(rng.uniform(-0.08, 0.08))
    seen: dict[str, set[int]] = {}
    shaped = []
    for bar in bars:
        returns = seen.setdefault(bar.section, set())
        returns.add(bar.section_index)
        energy = bar.energy + shift + 0.04 * (len(returns) - 1)
        shaped.append(replace(bar, energy=float(min(1.0, max(0.25, energy)))))
    return tuple(shaped)


def drum_parts(
    score: Score, bars: Sequence[Bar], style: str, subdivision: int, feel: Feel, seed: int, data_dir: Path | None
) -> tuple[Part, ...]:
    """Return the drum part: a human take where one fits the style and the seed wants it, else patterns."""
    rng = np.random.default_rng([seed, 20])
    kit = _choice(rng, KITS[style])
    notes: list[Note] | None = None
    if data_dir is not None and rng.random() < 0.5:
        notes = groove_drums(data_dir, bars, style, score.metre, score.bpm, split_of(score.composition), rng)
    if notes is None:
        notes = pattern_drums(bars, style, score.metre.name, subdivision, rng)
        if kit != BRUSH_KIT:
            notes = [note for note in notes if note.pitch != KEYS["brush_swirl"]]
    else:
        feel = Feel(score.bpm, jitter_seconds=0.0, velocity_jitter=2.0)
    return (Part("drums", kit, humanise(notes, feel, score.length_beats, rng)),)


def bass_part(score: Score, bars: Sequence[Bar], style: str, feel: Feel, seed: int) -> Part:
    """Return the bass part."""
    rng = np.random.default_rng([seed, 30])
    program = _choice(rng, BASS_STYLES[style].programs)
    notes = bass_line(bars, score.chords, style, score.metre.name, rng)
    return Part("bass", program, humanise(notes, feel, score.length_beats, rng))


def harmony_parts(score: Score, bars: Sequence[Bar], style: str, feel: Feel, seed: int) -> tuple[Part, ...]:
    """Return one part a layer, spread over the panorama."""
    rng = np.random.default_rng([seed, 40])
    parts = []
    for place, layer in enumerate(choose_layers(style, rng)):
        stream = np.random.default_rng([seed, 41, place])
        notes = layer_notes(layer, bars, score.chords, score.metre.name, score.bpm, stream)
        played = humanise(notes, feel, score.length_beats, stream)
        side = (-1 if place % 2 else 1) * float(stream.uniform(0.0, 0.55))
        program = _choice(stream, layer.programs)
        gain_db = part_gain_db(layer, program, float(stream.uniform(-2.5, 2.5)))
        if played:
            parts.append(Part("other", program, played, round(side, 2), gain_db))
    return tuple(parts)


def tacet_bars(bars: Sequence[Bar], rng: np.random.Generator) -> dict[str, set[int]]:
    """Choose bars in which a stem rests: a first section without drums or bass, a break of drums before a chorus.

    No stem rests for more than a fifth of the song; harmony never does.
    """
    rests: dict[str, set[int]] = {"drums": set(), "bass": set()}
    opening = [bar.index for bar in bars if bar.section_index == 0]
    if len(opening) <= _TACET_SHARE * len(bars):
        chance = 0.5 if bars[0].section == "intro" else 0.2
        for stem in rests:
            if rng.random() < chance:
                rests[stem].update(opening[: len(opening) if rng.random() < 0.5 else 2])
    for bar, following in pairwise(bars):
        if following.opens_section and following.section == "chorus" and rng.random() < 0.12:
            rests["drums" if rng.random() < 0.6 else "bass"].add(bar.index)
    return {stem: chosen for stem, chosen in rests.items() if len(chosen) <= _TACET_SHARE * len(bars)}


def _rested(part: Part, bars: Sequence[Bar], rests: dict[str, set[int]]) -> Part:
    chosen = rests.get(part.stem, set())
    if not chosen:
        return part
    beats = bars[0].beats
    early = 0.1
    notes = tuple(note for note in part.notes if int((note.start_beat + early) // beats) not in chosen)
    return replace(part, notes=notes)


def _ended(part: Part, last: Bar) -> Part:
    """End on the last bar's first stroke: held in bass and harmony, ringing in the drums."""
    early = 0.1
    before = tuple(note for note in part.notes if note.start_beat < last.start_beat - early)
    closing = [note for note in part.notes if abs(note.start_beat - last.start_beat) <= early]
    if part.stem == "drums":
        return replace(part, notes=(*before, *closing))
    end = last.start_beat + last.beats
    return replace(part, notes=(*before, *(replace(note, duration_beats=end - note.start_beat) for note in closing)))


def tempo_map(score: Score, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Return the tempo map: mostly one tempo, now and then one or two changes of up to 12 % where a section starts."""
    points = [(0.0, score.bpm)]
    starts = [start for start, _, _ in score.sections if start > 0]
    if starts and rng.random() < 0.1:
        for start in sorted(rng.choice(starts, size=min(len(starts), int(rng.integers(1, 3))), replace=False).tolist()):
            bpm = min(200.0, max(50.0, score.bpm * float(rng.uniform(0.9, 1.12))))
            points.append((float(start), round(bpm, 1)))
    return tuple(points)


def monophonic(melody: Sequence[Note], length_beats: float) -> tuple[Note, ...]:
    """Return the melody sorted, each note cut where the next one starts, nothing beyond the song's end."""
    ordered = sorted(melody, key=lambda note: (note.start_beat, -note.pitch))
    result: list[Note] = []
    for note in ordered:
        start = round(note.start_beat, 6)
        if start >= length_beats - 0.05 or start < 0 or (result and start - result[-1].start_beat < 0.06):
            continue
        if result and result[-1].start_beat + result[-1].duration_beats > start:
            result[-1] = replace(result[-1], duration_beats=round(start - result[-1].start_beat, 6))
        duration = round(min(note.duration_beats, length_beats - start), 6)
        result.append(replace(note, start_beat=start, duration_beats=duration))
    return tuple(result)


def _feel(style: str, bpm: float, rng: np.random.Generator) -> Feel:
    jitter, lateness, velocity = _FEELS.get(style, (0.006, 0.0, 5.0))
    low, high = _SWING.get(style, (0.5, 0.5))
    swing = float(rng.uniform(low, high)) if rng.random() < 0.6 else 0.5
    return Feel(bpm, jitter * float(rng.uniform(0.5, 1.3)), lateness, velocity, swing)


def _choice(rng: np.random.Generator, options: tuple[int, ...]) -> int:
    return options[int(rng.integers(len(options)))]
