"""Scales, chord qualities and voice leading: the little music theory that composing and arranging share."""

import re
from collections.abc import Iterable, Sequence

from training.corpus.notes import Chord

NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

QUALITIES = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "5": (0, 7),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "maj6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "hdim7": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "9": (0, 4, 7, 10, 2),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
}
_ROMAN = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
_NUMERAL = re.compile(r"(b|#)?(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)([a-z0-9]*)(?:/(3|5|7))?$")


def pitch_class(name: str) -> int:
    """Return the pitch class 0 to 11 of a note name such as `F#` or `Eb`.

    Raises:
        ValueError: `name` is not a note name.
    """
    if not name or name[0] not in _LETTERS or name[1:].strip("#b"):
        raise ValueError(f"note name {name!r} is not known; expected a letter A to G with # or b, such as F# or Eb")
    return (_LETTERS[name[0]] + name.count("#") - name[1:].count("b")) % 12


def key_name(tonic: int, mode: str) -> str:
    """Return the name of a key in the form of `song.json`, such as `A minor`."""
    return f"{NOTE_NAMES[tonic % 12]} {mode}"


def make_chord(start_beat: float, end_beat: float, root: int, quality: str, bass_offset: int = 0) -> Chord:
    """Return the chord of `quality` on `root`, its bass `bass_offset` semitones above the root."""
    pitch_classes = tuple(sorted({(root + offset) % 12 for offset in QUALITIES[quality]}))
    bass = (root + bass_offset) % 12
    label = f"{NOTE_NAMES[root % 12]}:{quality}"
    if bass != root % 12:
        label += f"/{NOTE_NAMES[bass]}"
    return Chord(start_beat, end_beat, root % 12, pitch_classes, bass, label)


def parse_numeral(numeral: str, sevenths: bool) -> tuple[int, str, int]:
    """Read a roman numeral relative to the major scale of the tonic, such as `bVI`, `ii`, `V7` or `I/3`.

    Args:
        numeral: upper case for major, lower case for minor; a suffix names another quality.
        sevenths: whether triads without a suffix become diatonic seventh chords.

    Returns:
        The root's offset from the tonic, the quality, and the bass's offset from the root, in semitones.

    Raises:
        ValueError: the numeral cannot be read.
    """
    match = _NUMERAL.match(numeral)
    if match is None:
        raise ValueError(f"roman numeral {numeral!r} cannot be read; expected such as I, ii, bVII, V7 or I/3")
    accidental, degree, suffix, inversion = match.groups()
    offset = (_ROMAN[degree.upper()] + {"b": -1, "#": 1, None: 0}[accidental]) % 12
    minor = degree.islower()
    quality = _suffix_quality(suffix, minor) or _plain_quality(offset, minor, sevenths)
    bass_offset = 0
    if inversion is not None:
        bass_offset = QUALITIES[quality][min((int(inversion) - 1) // 2, len(QUALITIES[quality]) - 1)]
    return offset, quality, bass_offset


def _suffix_quality(suffix: str, minor: bool) -> str | None:
    if not suffix:
        return None
    if minor and f"min{suffix}" in QUALITIES:
        return f"min{suffix}"
    if suffix not in QUALITIES:
        raise ValueError(f"chord suffix {suffix!r} is not known; expected one of: {', '.join(QUALITIES)}")
    return suffix


def _plain_quality(offset: int, minor: bool, sevenths: bool) -> str:
    if not sevenths:
        return "min" if minor else "maj"
    if minor:
        return "min7"
    return "maj7" if offset in (0, 3, 5, 8) else "7"


def chord_intervals(chord: Chord) -> tuple[int, ...]:
    """Return the chord's pitch classes as offsets from its root, ascending, starting with 0 where the root is in it."""
    return tuple(sorted((pitch - chord.root) % 12 for pitch in chord.pitch_classes))


def chord_tone(chord: Chord, degree: int) -> int:
    """Return the pitch class of the chord's third, fifth or seventh (`degree` 3, 5, 7), or what stands in for it."""
    wanted = {3: (4, 3, 5, 2), 5: (7, 6, 8), 7: (10, 11, 9, 0)}[degree]
    intervals = chord_intervals(chord)
    for offset in wanted:
        if offset in intervals:
            return (chord.root + offset) % 12
    return chord.root


def nearest_pitch(pitch_class_wanted: int, near: float, low: int, high: int) -> int:
    """Return the MIDI pitch of that class in [low, high] (at least an octave) that is nearest to `near`."""
    candidates = [pitch for pitch in range(low, high + 1) if pitch % 12 == pitch_class_wanted % 12]
    return min(candidates, key=lambda pitch: (abs(pitch - near), pitch))


def voice_tones(chord: Chord, size: int, rootless: bool = False) -> tuple[int, ...]:
    """Choose at most `size` pitch classes of the chord, the ones that tell it apart first; the fifth goes first."""
    if chord.root < 0:
        return ()
    intervals = list(chord_intervals(chord))
    if rootless and len(intervals) > 3:
        intervals.remove(0)
    for expendable in (7, 0, 9):
        if len(intervals) > size and expendable in intervals:
            intervals.remove(expendable)
    return tuple((chord.root + offset) % 12 for offset in intervals[:size])


def lead_voicing(tones: Sequence[int], previous: Sequence[int], low: int, high: int, spread: bool) -> tuple[int, ...]:
    """Return the voicing of `tones` in [low, high] that moves least from `previous`.

    Args:
        tones: pitch classes, each sounding once.
        previous: the voicing before, ascending MIDI pitches; empty for the first chord.
        low: lowest pitch allowed.
        high: highest pitch wished for; a voicing may exceed it only where none fits.
        spread: whether the second voice from the top drops by an octave (an open position).
    """
    candidates = list(_candidates(tones, low, high, spread))
    centre = (low + high) / 2

    def cost(voicing: tuple[int, ...]) -> float:
        middle = sum(voicing) / len(voicing)
        movement = sum(min(abs(pitch - old) for old in previous) for pitch in voicing) if previous else 0
        return movement + 0.35 * abs(middle - centre) + 4 * max(0, voicing[-1] - high)

    return min(candidates, key=cost)


def _candidates(tones: Sequence[int], low: int, high: int, spread: bool) -> Iterable[tuple[int, ...]]:
    ordered = sorted(tones)
    for rotation in range(len(ordered)):
        rotated = ordered[rotation:] + ordered[:rotation]
        first = low + (rotated[0] - low) % 12
        for base in range(first, max(first + 1, high), 12):
            voicing = [base]
            for tone in rotated[1:]:
                voicing.append(voicing[-1] + ((tone - voicing[-1]) % 12 or 12))
            if spread and len(voicing) > 2 and voicing[-2] - 12 >= low:
                voicing[-2] -= 12
            yield tuple(sorted(voicing))
