"""Human drum takes from Groove MIDI, cut into pieces of four bars and matched by style, tempo and metre.

Data: Groove MIDI Dataset, Google Magenta, CC BY 4.0, https://magenta.tensorflow.org/datasets/groove
"""

import csv
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import mido
import numpy as np

from training.corpus.notes import Note
from training.corpus.score import Bar, Metre

ARCHIVE = "groove_midi.tar.xz"
PIECE_BARS = 4
LOOSEST = 0.15  # mean distance to the grid, in grid steps, of a take that is used; a random one has 0.25
_ROLAND_TO_GM = {
    22: 42,
    26: 46,
    36: 36,
    37: 37,
    38: 38,
    40: 38,
    42: 42,
    43: 43,
    44: 44,
    45: 47,
    46: 46,
    47: 47,
    48: 50,
    49: 49,
    50: 50,
    51: 51,
    52: 52,
    53: 53,
    55: 55,
    57: 57,
    58: 43,
    59: 59,
}
_STYLES = {
    "ballad": ("pop/soft", "rock/halftime", "gospel", "pop", "soul"),
    "pop": ("pop", "rock", "soul", "dance", "country"),
    "rock": ("rock", "punk"),
    "funk": ("funk", "neworleans", "soul", "afrobeat", "jazz/funk"),
    "electronic": ("dance",),
    "acoustic": ("country", "pop/soft", "rock/folk", "rock/indie"),
    "hip-hop": ("hiphop", "rock/halftime"),
    "jazz-swing": ("jazz", "blues/shuffle"),
    "bossa-nova": (
        "latin/brazilian-bossa",
        "latin/brazilian-samba",
        "latin/samba",
        "latin/brazilian",
        "afrocuban/rhumba",
    ),
    "waltz": ("jazz", "rock", "latin", "afrocuban"),
}


@dataclass(frozen=True, slots=True)
class Take:
    """One row of the data set's table: a fill, or a beat of at least four bars."""

    path: str
    style: str
    bpm: float
    metre: str
    split: str
    fill: bool


@lru_cache(maxsize=2)
def load_takes(data_dir: Path) -> tuple[tuple[Take, ...], dict[str, bytes]]:
    """Read the takes' table and MIDI files, once per process; both are empty where the archive is not there."""
    path = data_dir / ARCHIVE
    if not path.is_file():
        return (), {}
    files: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None and member.name.endswith((".mid", "info.csv")):
                files[member.name.removeprefix("./")] = stream.read()
    table = csv.DictReader(io.StringIO(files.pop("info.csv").decode()))
    takes = (_take(row) for row in table if row["midi_filename"] in files)
    return tuple(take for take in takes if take is not None), files


def _take(row: dict[str, str]) -> Take | None:
    metre = row["time_signature"].replace("-", "/")
    numerator, denominator = (int(number) for number in metre.split("/"))
    bpm = float(row["bpm"])
    bars = float(row["duration"]) * bpm / 60 / (numerator * 4 / denominator)
    fill = row["beat_type"] == "fill"
    if bars < (0.7 if fill else PIECE_BARS - 0.3):
        return None
    return Take(row["midi_filename"], row["style"], bpm, metre, row["split"], fill)


@lru_cache(maxsize=256)
def take_notes(data_dir: Path, path: str) -> tuple[Note, ...]:
    """Return the notes of one take in beats, General MIDI keys, sorted."""
    midi = mido.MidiFile(file=io.BytesIO(load_takes(data_dir)[1][path]))
    notes = []
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity > 0 and message.note in _ROLAND_TO_GM:
                notes.append(Note(tick / midi.ticks_per_beat, 0.25, _ROLAND_TO_GM[message.note], message.velocity))
    return tuple(sorted(notes, key=lambda note: note.start_beat))


def grid_error_beats(notes: Sequence[Note], subdivision: int) -> float:
    """Return the mean distance of the onsets to the grid of `subdivision` positions a beat, in beats."""
    if not notes:
        return 1.0
    positions = np.array([note.start_beat for note in notes]) * subdivision
    return float(np.mean(np.abs(positions - np.round(positions)))) / subdivision


def centre_on_grid(notes: Sequence[Note], subdivision: int) -> tuple[Note, ...]:
    """Return the take moved so that it is neither early nor late on the whole; what varies around the grid stays.

    The takes are 12 ms early at the median, which is the recording's doing rather than the drummer's.
    """
    positions = np.array([note.start_beat for note in notes]) * subdivision
    offset = float(np.angle(np.mean(np.exp(2j * np.pi * positions)))) / (2 * np.pi * subdivision)
    return tuple(Note(note.start_beat - offset, note.duration_beats, note.pitch, note.velocity) for note in notes)


def groove_drums(
    data_dir: Path, bars: Sequence[Bar], style: str, metre: Metre, bpm: float, split: str, rng: np.random.Generator
) -> list[Note] | None:
    """Lay four-bar pieces of one take under the song, or return None where no take fits.

    Args:
        data_dir: folder with the data set's archive.
        bars: the song's bars.
        style: the song's style; the take's own must match it.
        metre: the song's metre; must be the take's.
        bpm: the song's tempo; the take's lies within a third of it.
        split: the song's split; the take's must be the same.
        rng: chooses the take and the pieces.
    """
    fitting = [take for take in load_takes(data_dir)[0] if _fits(take, style, metre.name, bpm, split)]
    beats = [take for take in fitting if not take.fill]
    fills = [take for take in fitting if take.fill]
    subdivision = 3 if style == "jazz-swing" else 4
    for index in rng.permutation(len(beats))[:6].tolist():
        notes = fit_to_grid(take_notes(data_dir, beats[index].path), subdivision)
        pieces = cut_pieces(notes, metre.bar_beats)
        if pieces:
            return _lay(pieces, _fill_bars(data_dir, fills, metre, subdivision, rng), bars, rng)
    return None


def fit_to_grid(notes: Sequence[Note], subdivision: int) -> tuple[Note, ...]:
    """Return the notes centred on the grid of 4 or 3 positions a beat; none where they are loose or fit the other."""
    if not notes:
        return ()
    centred = {grid: centre_on_grid(notes, grid) for grid in (4, 3)}
    errors = {grid: grid_error_beats(centred[grid], grid) * grid for grid in (4, 3)}
    fits = errors[subdivision] <= min(errors.values()) and errors[subdivision] < LOOSEST
    return centred[subdivision] if fits else ()


def _fill_bars(
    data_dir: Path, fills: Sequence[Take], metre: Metre, subdivision: int, rng: np.random.Generator
) -> list[list[Note]]:
    """Return up to four fills, one bar each."""
    bars = []
    for index in rng.permutation(len(fills))[:4].tolist():
        notes = take_notes(data_dir, fills[index].path)
        bar = fit_to_grid([note for note in notes if note.start_beat < metre.bar_beats - 0.06], subdivision)
        if len(bar) >= 5:
            bars.append([replace(note, start_beat=max(0.0, note.start_beat)) for note in bar])
    return bars


def _fits(take: Take, style: str, metre: str, bpm: float, split: str) -> bool:
    matches = any(
        take.style == name or take.style.startswith(f"{name}/") or take.style == name for name in _STYLES[style]
    )
    return take.split == split and take.metre == metre and matches and 0.74 < take.bpm / bpm < 1.35


def cut_pieces(notes: Sequence[Note], bar_beats: float) -> list[list[Note]]:
    """Cut a take into whole four-bar pieces, each from beat 0; a note a little early belongs to the bar it opens."""
    length = PIECE_BARS * bar_beats
    early = 0.1
    if not notes:
        return []
    count = int((notes[-1].start_beat + 1.0) // length)
    pieces: list[list[Note]] = [[] for _ in range(count)]
    for note in notes:
        place = int((note.start_beat + early) // length)
        if place < count:
            start = max(0.0, note.start_beat - place * length)
            pieces[place].append(Note(start, note.duration_beats, note.pitch, note.velocity))
    return [piece for piece in pieces if len(piece) >= 4 * PIECE_BARS]


def _lay(
    pieces: list[list[Note]], fills: list[list[Note]], bars: Sequence[Bar], rng: np.random.Generator
) -> list[Note]:
    """Follow the take's own order from a random piece; a section's start opens a new piece, fills close phrases."""
    notes: list[Note] = []
    place = int(rng.integers(len(pieces)))
    within = 0
    bar_beats = bars[0].beats
    for bar in bars:
        if within == PIECE_BARS or (bar.opens_section and within > 0):
            place, within = (place + 1) % len(pieces), 0
        low, high = within * bar_beats, (within + 1) * bar_beats
        played = [
            replace(note, start_beat=note.start_beat - low) for note in pieces[place] if low <= note.start_beat < high
        ]
        if fills and bar.closes_phrase and rng.random() < 0.4:
            played = fills[int(rng.integers(len(fills)))]
        gain = 0.72 + 0.3 * bar.energy
        for note in played:
            velocity = max(1, round(note.velocity * gain))
            notes.append(replace(note, start_beat=bar.start_beat + note.start_beat, velocity=velocity))
        within += 1
    return notes
