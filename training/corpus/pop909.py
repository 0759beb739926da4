"""Scores from POP909 in the quantised form of its structure annotation (a tar archive that the user has).

Each song is a folder: `melody.txt` (`pitch sixteenths` a line, 0 for a rest), `finalized_chord.txt`
(`label [pitch classes] bass beats` a line), `analyzed_key.txt` (`Gb:maj`), `tempo.txt` and `human_label1.txt`
(phrases as letter and bars, such as `i4A8B8o2`; lower case without melody).
Songs: https://github.com/music-x-lab/POP909-Dataset; annotation: https://github.com/Dsqvival/hierarchical-structure-analysis
"""

import csv
import re
import tarfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from training.corpus.notes import Chord, Note
from training.corpus.score import Metre, Score
from training.corpus.theory import NOTE_NAMES, QUALITIES, pitch_class

ARCHIVE = "pop909_structure.tar.xz"
FLAGS = "pop909_flags.tsv"
_FILES = ("melody.txt", "finalized_chord.txt", "analyzed_key.txt", "tempo.txt", "human_label1.txt")
_CHORD_LINE = re.compile(r"(\S.*?)\s+\[([0-9, ]*)\]\s+(?:(-?\d+)\s+)?(\d+)\s*$")
_BAR_BEATS = 4.0


@lru_cache(maxsize=2)
def load_scores(data_dir: Path, clean: bool = True) -> dict[str, Score]:
    """Read the clean core of POP909, once per process.

    Args:
        data_dir: folder with `pop909_structure.tar.xz` and, if at hand, `pop909_flags.tsv` (which songs fit the grid).
        clean: whether to leave out songs whose bars may be half a bar off; those off the grid always are, and
            without it those that cannot be read too.

    Returns:
        Score by song id such as `001`; empty where the archive is not there.
    """
    path = data_dir / ARCHIVE
    if not path.is_file():
        return {}
    wanted = _songs_that(_is_clean if clean else _fits_grid, data_dir / FLAGS)
    texts: dict[str, dict[str, str]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            parts = member.name.split("/")
            if member.isfile() and len(parts) >= 2 and parts[-1] in _FILES:
                stream = archive.extractfile(member)
                if stream is not None and (wanted is None or parts[-2] in wanted):
                    texts.setdefault(parts[-2], {})[parts[-1]] = stream.read().decode()
    scores: dict[str, Score] = {}
    for song, files in sorted(texts.items()):
        with suppress(*(() if clean else (ValueError,))):  # a few songs beyond the core have lines that say nothing
            if len(files) == len(_FILES):
                scores[song] = parse_score(song, files)
    return {song: score for song, score in scores.items() if len(score.melody) > 40}


def _songs_that(pass_by: Callable[[list[str]], bool], path: Path) -> set[str] | None:
    """Return the songs whose row of the table of flags passes; None without the table."""
    if not path.is_file():
        return None
    with path.open(newline="") as table:
        rows = list(csv.reader(table, delimiter="\t"))[1:]
    return {row[0] for row in rows if pass_by(row)}


def _fits_grid(row: list[str]) -> bool:
    return float(row[1]) >= 0.85 and row[2] == "4"


def _is_clean(row: list[str]) -> bool:
    """Return whether grid, phase and chord changes agree with the bars."""
    changes = [int(number) for number in re.findall(r"\d+", row[6])]
    return _fits_grid(row) and float(row[3]) > 0.8 and row[5] == "0" and changes[0] == max(changes)


def parse_score(song: str, files: dict[str, str]) -> Score:
    """Return the score of one song from the texts of its files, by file name.

    Raises:
        ValueError: a line of the chords cannot be read; the message names the song.
    """
    tonic, mode = _parse_key(files["analyzed_key.txt"])
    chords = _parse_chords(song, files["finalized_chord.txt"])
    melody = _parse_melody(files["melody.txt"])
    phrases = _parse_phrases(files["human_label1.txt"])
    length = min(chords[-1].end_beat, sum(bars for _, bars in phrases) * _BAR_BEATS)
    length -= length % _BAR_BEATS
    sections = _name_sections(phrases, melody, length)
    return Score(
        composition=f"pop909-{song}",
        source="pop909",
        metre=Metre(4, 4),
        bpm=float(files["tempo.txt"].strip()),
        tonic=tonic,
        mode=mode,
        melody=tuple(note for note in melody if note.start_beat < length),
        chords=tuple(chord for chord in chords if chord.start_beat < length),
        sections=sections,
        phrase_ends=tuple(end for _, end, _ in sections),
        length_beats=length,
    )


def _parse_key(text: str) -> tuple[int, str]:
    name, _, quality = text.strip().splitlines()[0].partition(":")
    return pitch_class(name), "minor" if quality.startswith("min") else "major"


def _parse_chords(song: str, text: str) -> list[Chord]:
    chords: list[Chord] = []
    beat = 0.0
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _CHORD_LINE.match(line)
        if match is None:
            raise ValueError(f"POP909 song {song}: chord line {line!r} cannot be read; unpack the archive again")
        label, tones, bass, beats = match.groups()
        end = beat + float(beats)
        chords.append(_chord(beat, end, label, tones, int(bass or -1)))  # no chord may have no bass
        beat = end
    return chords


def _chord(start: float, end: float, label: str, tones: str, bass: int) -> Chord:
    pitch_classes = tuple(sorted({int(tone) % 12 for tone in tones.split(",") if tone.strip()}))
    name, _, quality = label.partition(":")
    if not pitch_classes or name == "N":
        return Chord(start, end, -1, (), -1, "N")
    root = pitch_class(name)
    plain = _quality(root, pitch_classes) or quality.partition("/")[0].replace(" ", "")
    suffix = f"/{NOTE_NAMES[bass % 12]}" if bass % 12 != root else ""
    return Chord(start, end, root, pitch_classes, bass % 12, f"{NOTE_NAMES[root]}:{plain}{suffix}")


def _quality(root: int, pitch_classes: tuple[int, ...]) -> str | None:
    """Return the quality whose tones these are; the annotation's own label sometimes says another one."""
    offsets = {(pitch - root) % 12 for pitch in pitch_classes}
    return next((name for name, tones in QUALITIES.items() if set(tones) == offsets), None)


def _parse_melody(text: str) -> list[Note]:
    notes: list[Note] = []
    position = 0
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != 2:
            continue
        pitch, sixteenths = int(fields[0]), int(fields[1])
        if pitch > 0 and sixteenths > 0:
            accent = 6 if position % 8 == 0 else 0
            notes.append(Note(position / 4, sixteenths / 4, pitch, 84 + accent))
        position += sixteenths
    return notes


def _parse_phrases(text: str) -> list[tuple[str, int]]:
    return [(letter, int(bars)) for letter, bars in re.findall(r"([A-Za-z])(\d+)", text) if int(bars) > 0]


def _name_sections(
    phrases: list[tuple[str, int]], melody: list[Note], length: float
) -> tuple[tuple[float, float, str], ...]:
    """Name the phrases: the repeated letter sung highest is the chorus, the first other one the verse."""
    spans: list[tuple[float, float, str]] = []
    beat = 0.0
    for letter, bars in phrases:
        spans.append((beat, min(length, beat + bars * _BAR_BEATS), letter))
        beat += bars * _BAR_BEATS
    spans = [span for span in spans if span[1] > span[0]]
    heights: dict[str, list[int]] = {}
    for start, end, letter in spans:
        if letter.isupper():
            heights.setdefault(letter, []).extend(note.pitch for note in melody if start <= note.start_beat < end)
    repeated = [letter for letter in heights if heights[letter] and sum(span[2] == letter for span in spans) > 1]
    chorus = max(repeated, key=lambda letter: sum(heights[letter]) / len(heights[letter]), default="")
    verse = next((span[2] for span in spans if span[2].isupper() and span[2] != chorus), "")
    names = {"i": "intro", "o": "outro", verse: "verse", chorus: "chorus"}
    return tuple(
        (start, end, names.get(letter, "bridge" if letter.isupper() else "interlude")) for start, end, letter in spans
    )
