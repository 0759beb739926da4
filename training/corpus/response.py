"""What a band does with the singer: fuller where the voice rises, fills where it breathes, an answer in its rests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.corpus.humanise import Feel, humanise
from training.corpus.notes import Note, Part
from training.corpus.score import Bar, Score, chord_index_at
from training.corpus.theory import nearest_pitch

FILL_REST_BEATS = 0.9  # the voice leaves so much of a bar's end free for a fill
ANSWER_REST_BEATS = 1.9  # ... and so much for an answer
ANSWERING_SHARE = 0.5
THIN_SHARE = 0.3
_FILLS_WHILE_SUNG, _FILLS_BETWEEN_PHRASES = 0.3, 0.2
_HEIGHT_ENERGY, _REST_ENERGY = 0.2, 0.08
_THINNED_ENERGY = 0.22
_LOW, _HIGH = 60, 86
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Eighths of an answer from its first on: `x` begins a note, `-` holds it, `.` rests; a whole number of beats.
_RHYTHMS = ("x-xx--", "xxx-", "x--xx-", "xxxxx-", "xx-xx-x-", "x-", "xxx---")
_ANSWERERS = {
    "ballad": (11, 48, 73, 68),
    "pop": (27, 81, 11, 80),
    "rock": (29, 30, 27),
    "funk": (61, 27, 62, 65),
    "electronic": (81, 80, 87),
    "acoustic": (24, 73, 22, 21),
    "hip-hop": (11, 4, 73),
    "jazz-swing": (56, 65, 66, 11),
    "bossa-nova": (73, 11, 24, 66),
    "waltz": (40, 71, 21, 73),
}


@dataclass(frozen=True, slots=True)
class Rest:
    """A rest of the voice, in beats."""

    start_beat: float
    end_beat: float


def rests_of(melody: Sequence[Note], length_beats: float, least_beats: float) -> tuple[Rest, ...]:
    """Return the voice's rests of at least `least_beats`, from the first note on to the song's end."""
    ordered = sorted(melody, key=lambda note: note.start_beat)
    rests, end = [], ordered[0].start_beat if ordered else length_beats
    for note in ordered:
        rests.append(Rest(end, note.start_beat))
        end = max(end, note.start_beat + note.duration_beats)
    rests.append(Rest(end, length_beats))
    return tuple(rest for rest in rests if rest.end_beat - rest.start_beat >= least_beats - 1e-6)


def sung_bars(bars: Sequence[Bar], melody: Sequence[Note], length_beats: float, rng: np.random.Generator) -> list[Bar]:
    """Return the bars as a band that listens sees them.

    Energy follows how high the voice sings; where it is silent for a whole bar the band plays a little fuller, or, in
    some songs, thins out. A phrase is closed where the voice leaves the end of a bar free.
    """
    median = float(np.median([note.pitch for note in melody])) if melody else 0.0
    thins = rng.random() < THIN_SHARE
    free = rests_of(melody, length_beats, FILL_REST_BEATS)
    sung_from = min((note.start_beat for note in melody), default=length_beats)
    return [_sung_bar(bar, melody, median, free, thins and bar.start_beat >= sung_from, rng) for bar in bars]


def _sung_bar(
    bar: Bar, melody: Sequence[Note], median: float, free: Sequence[Rest], thins: bool, rng: np.random.Generator
) -> Bar:
    end = bar.start_beat + bar.beats
    heard = [
        note for note in melody if note.start_beat < end and note.start_beat + note.duration_beats > bar.start_beat
    ]
    if heard:
        height = float(np.mean([note.pitch for note in heard])) - median
        moved = _HEIGHT_ENERGY * float(np.clip(height / 7.0, -1.0, 1.0))
    else:
        moved = -_THINNED_ENERGY if thins else _REST_ENERGY
    breathes = any(rest.start_beat <= end - FILL_REST_BEATS + 1e-6 and rest.end_beat >= end - 1e-6 for rest in free)
    chance = 1.0 if bar.closes_phrase and breathes else 0.0
    if bar.closes_phrase != breathes:
        chance = _FILLS_BETWEEN_PHRASES if breathes else _FILLS_WHILE_SUNG
    energy = float(np.clip(bar.energy + moved, 0.25, 1.0))
    return replace(bar, energy=energy, closes_phrase=bool(rng.random() < chance))


def answering_part(score: Score, style: str, subdivision: int, feel: Feel, rng: np.random.Generator) -> Part | None:
    """Return an instrument that answers in the voice's rests, as half of the songs have one; None for the others."""
    programs = _ANSWERERS[style]
    program = programs[int(rng.integers(len(programs)))]
    pan = round(float(rng.uniform(-0.5, 0.5)), 2)
    if rng.random() >= ANSWERING_SHARE:
        return None
    step = 0.5 if subdivision == 4 else 1.0  # eighths, or the quarters that swing leaves where they are
    notes: list[Note] = []
    for rest in rests_of(score.melody, score.length_beats, ANSWER_REST_BEATS):
        if rng.random() < 0.8:
            notes += _answer(score, rest, step, rng)
    played = humanise(notes, feel, score.length_beats, rng)
    return Part("other", program, played, pan, -1.0) if played else None


def _answer(score: Score, rest: Rest, step: float, rng: np.random.Generator) -> list[Note]:
    """Return a short phrase after the voice's last note: chord tones on the beats, steps of the scale between them."""
    rhythm = _RHYTHMS[int(rng.integers(len(_RHYTHMS)))]
    first = np.ceil((rest.start_beat + 0.25) / step) * step
    sung = [note for note in score.melody if note.start_beat < rest.start_beat]
    pitch = min(max(sung[-1].pitch + 5, _LOW + 4), _HIGH - 8) if sung else 70
    direction = int(rng.choice([-1, 1]))
    velocity = int(rng.integers(66, 88))
    notes = []
    for place, mark in enumerate(rhythm):
        beat = float(first + place * step)
        if beat > rest.end_beat - step:
            break
        if mark != "x":
            continue
        held = 1 + len(rhythm[place + 1 :]) - len(rhythm[place + 1 :].lstrip("-"))
        pitch = _next_pitch(score, beat, pitch, direction)
        if not _LOW < pitch < _HIGH:
            direction = -direction
        duration = min(held * step, rest.end_beat - beat) * 0.92
        notes.append(Note(beat, duration, pitch, velocity - (8 if beat % 1.0 else 0)))
    return notes


def _next_pitch(score: Score, beat: float, pitch: int, direction: int) -> int:
    chord = score.chords[chord_index_at(score.chords, beat)]
    scale = [(score.tonic + degree) % 12 for degree in _SCALES[score.mode]]
    on_beat = abs(beat - round(beat)) < 1e-6 and chord.root >= 0
    wanted = list(chord.pitch_classes) if on_beat else scale
    options = [nearest_pitch(tone, pitch + 2 * direction, _LOW, _HIGH) for tone in wanted]
    return min(options, key=lambda option: (abs(option - pitch - 2 * direction), option == pitch))
