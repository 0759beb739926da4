"""A score before arrangement, the bars that arrangers walk through, and the changes that a score can go through."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from training.corpus.notes import Chord, Note
from training.corpus.theory import NOTE_NAMES

VOCAL_LOW, VOCAL_HIGH = 48, 78
_ENERGY = {
    "intro": 0.35,
    "verse": 0.55,
    "prechorus": 0.65,
    "chorus": 0.9,
    "bridge": 0.6,
    "interlude": 0.5,
    "outro": 0.4,
}


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature."""

    numerator: int
    denominator: int

    @property
    def bar_beats(self) -> float:
        """Length of a bar in beats (quarter notes)."""
        return self.numerator * 4 / self.denominator

    @property
    def name(self) -> str:
        """The signature as written, such as `6/8`."""
        return f"{self.numerator}/{self.denominator}"


@dataclass(frozen=True, slots=True)
class Score:
    """A melody with its chords and sections. Beat 0 is a downbeat; every section starts on a bar.

    Attributes:
        composition: identity of the composition; its split follows from it.
        bpm: quarter notes a minute, as composed.
        tonic: pitch class of the key; `mode` is `major` or `minor`.
        phrase_ends: beats at which a phrase ends, ascending.
    """

    composition: str
    source: str
    metre: Metre
    bpm: float
    tonic: int
    mode: str
    melody: tuple[Note, ...]
    chords: tuple[Chord, ...]
    sections: tuple[tuple[float, float, str], ...]
    phrase_ends: tuple[float, ...]
    length_beats: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar as an arranger sees it; energy in [0, 1] follows the section."""

    index: int
    start_beat: float
    beats: float
    section: str
    section_index: int
    energy: float
    opens_section: bool
    closes_phrase: bool
    last: bool


def split_of(composition: str) -> str:
    """Return the split of a composition: 84 % `train`, 8 % `validation`, 8 % `test`, by the hash of its identity."""
    bucket = int.from_bytes(sha256(composition.encode()).digest()[:4], "big") % 100
    return "train" if bucket < 84 else "validation" if bucket < 92 else "test"


def chord_index_at(chords: Sequence[Chord], beat: float) -> int:
    """Return the index of the chord that sounds at `beat`; the first one before its start."""
    return max(0, bisect_right(chords, beat + 1e-6, key=lambda chord: chord.start_beat) - 1)


def bars_of(score: Score) -> tuple[Bar, ...]:
    """Return the bars of the score in order."""
    beats = score.metre.bar_beats
    count = round(score.length_beats / beats)
    ends = {round(end, 3) for end in score.phrase_ends} | {round(end, 3) for _, end, _ in score.sections}
    bars = []
    for index in range(count):
        start = index * beats
        place = max(0, bisect_right(score.sections, start + 1e-6, key=lambda section: section[0]) - 1)
        section_start, _, name = score.sections[place]
        opens = abs(section_start - start) < 1e-3
        closes = round(start + beats, 3) in ends
        energy = _ENERGY.get(name, 0.55)
        bars.append(Bar(index, start, beats, name, place, energy, opens, closes, index == count - 1))
    return tuple(bars)


def transpose(score: Score, semitones: int) -> Score:
    """Return the score `semitones` higher; the melody may leave the singer's range until `fit_voice` brings it back."""
    melody = tuple(replace(note, pitch=note.pitch + semitones) for note in score.melody)
    chords = tuple(_transposed_chord(chord, semitones) for chord in score.chords)
    return replace(score, melody=melody, chords=chords, tonic=(score.tonic + semitones) % 12)


def _transposed_chord(chord: Chord, semitones: int) -> Chord:
    if chord.root < 0:
        return chord
    root, bass = (chord.root + semitones) % 12, (chord.bass + semitones) % 12
    quality = chord.label.partition(":")[2].partition("/")[0]
    label = f"{NOTE_NAMES[root]}:{quality}" + (f"/{NOTE_NAMES[bass]}" if bass != root else "")
    pitch_classes = tuple(sorted((pitch + semitones) % 12 for pitch in chord.pitch_classes))
    return Chord(chord.start_beat, chord.end_beat, root, pitch_classes, bass, label)


def fit_voice(score: Score, centre: float) -> Score:
    """Return the score with its melody in the octave whose median is nearest to `centre`, strays folded in."""
    if not score.melody:
        return score
    pitches = sorted(note.pitch for note in score.melody)
    shift = 12 * round((centre - pitches[len(pitches) // 2]) / 12)
    return replace(score, melody=tuple(replace(note, pitch=_fold(note.pitch + shift)) for note in score.melody))


def _fold(pitch: int) -> int:
    while pitch < VOCAL_LOW:
        pitch += 12
    while pitch > VOCAL_HIGH:
        pitch -= 12
    return pitch


def stretch(score: Score, factor: int) -> Score:
    """Return the score with every position times `factor` at `factor` times the tempo: the same music in more bars."""
    if factor == 1:
        return score
    return replace(_warp(score, lambda beat: beat * factor), bpm=score.bpm * factor)


def to_triple(score: Score, metre: Metre) -> Score:
    """Return a 4/4 score in triple metre: half a bar becomes a bar of 3/4 or of 6/8, in the same time.

    In 3/4 the first of two beats becomes two and the second stays one; in 6/8 the eighths turn long and short.

    Raises:
        ValueError: the score is not in 4/4, or `metre` is neither 3/4 nor 6/8.
    """
    if score.metre.name != "4/4" or metre.name not in ("3/4", "6/8"):
        raise ValueError(f"cannot turn {score.metre.name} into {metre.name}; expected 4/4 into 3/4 or 6/8")
    span = 2.0 if metre.name == "3/4" else 1.0

    def lilting(beat: float) -> float:
        whole, part = divmod(beat / span, 1)
        return (whole * 1.5 + (2 * part if part <= 0.5 else part + 0.5)) * span

    return replace(_warp(score, lilting), bpm=score.bpm * 1.5, metre=metre)


def swing_melody(score: Score) -> Score:
    """Return the score with the melody's straight eighths swung to triplets: half a beat becomes two thirds of one."""

    def swung(beat: float) -> float:
        whole, part = divmod(beat, 1)
        return whole + (part * 4 / 3 if part <= 0.5 else 1 / 3 + part * 2 / 3)

    return replace(score, melody=_warp_melody(score.melody, swung))


def _warp(score: Score, place: Callable[[float], float]) -> Score:
    """Return the score with every position moved by `place`, which must be increasing."""
    return replace(
        score,
        melody=_warp_melody(score.melody, place),
        chords=tuple(
            replace(chord, start_beat=place(chord.start_beat), end_beat=place(chord.end_beat)) for chord in score.chords
        ),
        sections=tuple((place(start), place(end), name) for start, end, name in score.sections),
        phrase_ends=tuple(place(end) for end in score.phrase_ends),
        length_beats=place(score.length_beats),
    )


def _warp_melody(melody: Sequence[Note], place: Callable[[float], float]) -> tuple[Note, ...]:
    ends = (place(note.start_beat + note.duration_beats) for note in melody)
    starts = (place(note.start_beat) for note in melody)
    return tuple(
        replace(note, start_beat=start, duration_beats=end - start)
        for note, start, end in zip(melody, starts, ends, strict=True)
    )


def excerpt(score: Score, start_beat: float, end_beat: float) -> Score:
    """Return the part of the score in [start_beat, end_beat), which must lie on bars, moved to beat 0."""
    length = end_beat - start_beat
    melody = tuple(
        replace(
            note,
            start_beat=note.start_beat - start_beat,
            duration_beats=min(note.duration_beats, end_beat - note.start_beat),
        )
        for note in score.melody
        if start_beat - 1e-6 <= note.start_beat < end_beat - 0.1
    )
    chords = tuple(
        replace(
            chord, start_beat=max(0.0, chord.start_beat - start_beat), end_beat=min(length, chord.end_beat - start_beat)
        )
        for chord in score.chords
        if chord.end_beat > start_beat + 1e-6 and chord.start_beat < end_beat - 1e-6
    )
    sections = tuple(
        (max(0.0, start - start_beat), min(length, end - start_beat), name)
        for start, end, name in score.sections
        if end > start_beat + 1e-6 and start < end_beat - 1e-6
    )
    ends = tuple(end - start_beat for end in score.phrase_ends if start_beat < end <= end_beat)
    return replace(score, melody=melody, chords=chords, sections=sections, phrase_ends=ends, length_beats=length)
