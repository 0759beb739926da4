"""Tunes for the composer: motifs of rhythm and contour, repeated and answered, chord tones on the strong beats."""

from dataclasses import dataclass

import numpy as np

from training.corpus.notes import Chord, Note
from training.corpus.score import Metre, chord_index_at
from training.corpus.theory import SCALES

# One bar of rhythm, a character a sixteenth: `x` starts a note, `-` holds it, `.` rests.
RHYTHMS = {
    "4/4 sparse": (
        "x-------x---x---",
        "x---x-------x---",
        "x-----x-x-------",
        "....x---x-------",
        "x---x---x-------",
        "x-------x-x-x---",
        "x-----x---------",
    ),
    "4/4 even": (
        "x-x-x---x-x-x---",
        "x---x-x-x---x-x-",
        "..x-x-x-x---x---",
        "x---x-x---x-x---",
        "x-x-x-x-x-------",
        "..x-x-x-x-x-x-x-",
        "x-x---x-x-x---x-",
        "x---x---x-x-x---",
        "x-----x-x---x-x-",
    ),
    "4/4 busy": (
        "x-xxx-x-x-x-x---",
        "..xxx-x-x-xxx---",
        "x--x--x-x--x--x-",
        "x--x-x--x-x-x---",
        "..x-xxx-x--x----",
        "xxx-x-x--x-xx---",
        "x-x--x-x--x-x---",
    ),
    "3/4": (
        "x---x---x---",
        "x-------x---",
        "x---x-x-x---",
        "x-----x-x---",
        "x-x-x---x---",
        "x-------x-x-",
        "x-x-x-x-x---",
    ),
    "6/8": (
        "x---x-x---x-",
        "x-x-x-x-----",
        "x---x-x-----",
        "x-----x-x-x-",
        "x-x-x-x---x-",
        "x-----x---x-",
        "..x-x-x-x-x-",
    ),
}
CADENCES = {
    16: ("x---x-------....", "x-------........", "x-x-x-------....", "x---------......"),
    12: ("x-------....", "x---x---....", "x-x-x---....", "x-----......"),
}
_BUSY = ("funk", "hip-hop", "pop", "electronic")
_LIFTS = {"chorus": 4, "prechorus": 2, "bridge": 2}


@dataclass(frozen=True, slots=True)
class Motif:
    """A two-bar rhythm and the scale steps from each of its notes to the next."""

    rhythm: str
    moves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a tune stands on: metre, chords, the key's pitch classes and the pitch that the singer circles."""

    metre: Metre
    chords: tuple[Chord, ...]
    scale: tuple[int, ...]
    centre: int

    @property
    def bar_steps(self) -> int:
        """Sixteenths in a bar."""
        return round(self.metre.bar_beats * 4)

    @property
    def strong_beats(self) -> float:
        """Distance between strong beats."""
        if self.metre.name == "6/8":
            return 1.5
        return 2.0 if self.metre.bar_beats == 4 else self.metre.bar_beats


def compose_tune(
    rng: np.random.Generator,
    style: str,
    metre: Metre,
    bpm: float,
    key: tuple[int, str],
    chords: tuple[Chord, ...],
    sections: tuple[tuple[float, float, str], ...],
) -> tuple[Note, ...]:
    """Write the melody of a song: every section name has its own motifs, which return when the section returns.

    Args:
        rng: decides everything.
        style: decides, with the tempo, how busy the rhythms are.
        metre: `4/4`, `3/4` or `6/8`.
        bpm: quarter notes a minute.
        key: pitch class of the tonic, and `major` or `minor`.
        chords: covering the song.
        sections: (start beat, end beat, name); intros and interludes are mostly silent.

    Returns:
        Monophonic notes, sorted, roughly a ninth around a centre between MIDI 57 and 66.
    """
    centre = int(rng.integers(57, 67))
    scale = tuple((key[0] + offset) % 12 for offset in SCALES[key[1]])
    motifs: dict[str, list[Motif]] = {}
    notes: list[Note] = []
    for start, end, name in sections:
        bars = round((end - start) / metre.bar_beats)
        if name in ("intro", "interlude") and (bars <= 4 or rng.random() < 0.5):
            continue
        if name not in motifs:
            motifs[name] = [_motif(rng, style, metre, bpm, name) for _ in range(3)]
        ground = Ground(metre, chords, scale, centre + _LIFTS.get(name, 0))
        notes += _sing_section(rng, start, bars, ground, motifs[name])
    return tuple(notes)


def _motif(rng: np.random.Generator, style: str, metre: Metre, bpm: float, section: str) -> Motif:
    table = RHYTHMS[_table_name(rng, style, metre, bpm, section)]
    rhythm = "".join(table[int(rng.integers(len(table)))] for _ in range(2))
    size = rhythm.count("x")
    steps = rng.choice([-2, -1, -1, 0, 0, 1, 1, 2, 3, -3], size=size).tolist()
    direction = int(rng.choice([-1, 1]))
    arch = [direction if place < size // 2 else -direction for place in range(size)]
    return Motif(rhythm, tuple(step if rng.random() < 0.7 else bend for step, bend in zip(steps, arch, strict=True)))


def _table_name(rng: np.random.Generator, style: str, metre: Metre, bpm: float, section: str) -> str:
    if metre.name != "4/4":
        return metre.name
    if bpm > 150 or (section == "chorus" and rng.random() < 0.3):
        return "4/4 sparse"
    if bpm < 112 and rng.random() < (0.6 if style in _BUSY else 0.3):
        return "4/4 busy"
    return "4/4 even"


def _sing_section(rng: np.random.Generator, start: float, bars: int, ground: Ground, motifs: list[Motif]) -> list[Note]:
    """Sing two-bar units in the order a b a c; every second unit ends in a cadence and a rest."""
    notes: list[Note] = []
    order = (0, 1, 0, 2) if rng.random() < 0.6 else (0, 0, 1, 2)
    pitch = ground.centre
    for unit, first_bar in enumerate(range(0, bars, 2)):
        motif = motifs[order[unit % 4]]
        rhythm = motif.rhythm[: ground.bar_steps * min(2, bars - first_bar)]
        if unit % 2 == 1 or first_bar + 2 >= bars:
            endings = CADENCES[ground.bar_steps]
            rhythm = rhythm[: -ground.bar_steps] + endings[int(rng.integers(len(endings)))]
        elif rng.random() < 0.5:
            pitch = ground.centre + int(rng.integers(-3, 4))
        sung = _sing_rhythm(rng, Motif(rhythm, motif.moves), start + first_bar * ground.metre.bar_beats, pitch, ground)
        pitch = sung[-1].pitch if sung else pitch
        notes += sung
    return notes


def _sing_rhythm(rng: np.random.Generator, motif: Motif, start: float, pitch: int, ground: Ground) -> list[Note]:
    onsets = [place for place, mark in enumerate(motif.rhythm) if mark == "x"]
    notes = []
    for index, place in enumerate(onsets):
        beat = start + place / 4
        chord = ground.chords[chord_index_at(ground.chords, beat)]
        length = 1
        while place + length < len(motif.rhythm) and motif.rhythm[place + length] == "-":
            length += 1
        pitch = _move(pitch, motif.moves[index % len(motif.moves)], ground.centre, bend_scale(ground.scale, chord))
        strong = (beat - start) % ground.strong_beats < 1e-6
        if (strong or length >= 4 or index == len(onsets) - 1) and chord.root >= 0:
            pitch = _nearest(pitch, chord.pitch_classes)
        velocity = 78 + (10 if strong else 0) + int(rng.integers(-6, 7))
        notes.append(Note(beat, length / 4 * (0.96 if length > 1 else 0.9), pitch, velocity))
    return notes


def bend_scale(scale: tuple[int, ...], chord: Chord) -> tuple[int, ...]:
    """Return the scale with the chord's foreign tones in place of the neighbours that they raise or lower."""
    foreign = [tone for tone in chord.pitch_classes if tone not in scale]
    replaced = {(tone + offset) % 12 for tone in foreign for offset in (-1, 1)} - set(chord.pitch_classes)
    return tuple(sorted({*foreign, *scale} - replaced))


def _move(pitch: int, steps: int, centre: int, scale: tuple[int, ...]) -> int:
    """Move by scale steps, turned around where they would leave the fifth above or below the centre."""
    if abs(pitch - centre) > 7 and (pitch - centre) * steps > 0:
        steps = -steps
    direction = 1 if steps > 0 else -1
    pitch = _nearest(pitch, scale)
    for _ in range(abs(steps)):
        pitch += direction
        while pitch % 12 not in scale:
            pitch += direction
    return pitch


def _nearest(pitch: int, pitch_classes: tuple[int, ...]) -> int:
    candidates = (pitch + offset for distance in range(7) for offset in (-distance, distance))
    return next((candidate for candidate in candidates if candidate % 12 in pitch_classes), pitch)
