"""One song of others' to a song folder: stems read, beats and harmony given or heard, everything on its timeline."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.geometry import SAMPLE_RATE_HZ
from engine.harmony import ChordSpan
from engine.spectra import Array
from engine.styles import style_index
from engine.timeline import MAX_BPM, MIN_BPM, Timeline
from training.corpus.folder import VOCALS, write_folder
from training.folders.audio import read_stems
from training.folders.beats import BeatError, estimate_beats
from training.folders.harmony import chroma_of, estimate_chords, estimate_key
from training.folders.layouts import SourceSong, facts_file
from training.folders.timing import (
    GIVEN_TOLERANCE_SECONDS,
    HEARD_TOLERANCE_SECONDS,
    Placement,
    given_steady,
    placed,
    read_beats,
    steady,
)

BEATS_FILE, TEMPO_FILE = "beats.txt", "tempo.txt"
SUBDIVISION = 4
SOURCE = "folder"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of all songs beforehand, each None where it is not; a file beside the stems comes before it.

    Attributes:
        bpm: quarter notes a minute.
        first_beat_seconds: where the first downbeat is.
        beats_per_bar: quarter notes a bar.
        style: one of `engine.styles.STYLES`.
        split: `train`, `validation` or `test`.

    Raises:
        ValueError: a value is out of range.
    """

    bpm: float | None = None
    first_beat_seconds: float | None = None
    beats_per_bar: int | None = None
    style: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        """Check what is given."""
        if self.bpm is not None and not MIN_BPM <= self.bpm <= MAX_BPM:
            raise ValueError(
                f"tempo {self.bpm:g} is out of range; give {MIN_BPM:g} to {MAX_BPM:g} quarter notes a minute"
            )
        if self.first_beat_seconds is not None and (self.bpm is None or not math.isfinite(self.first_beat_seconds)):
            raise ValueError("a first beat needs a tempo, and is a number of seconds; give both, such as 92 and 0.35")
        if self.beats_per_bar is not None and not 1 <= self.beats_per_bar <= 32:
            raise ValueError(f"{self.beats_per_bar} beats a bar are not possible; give 1 to 32 quarter notes")
        if self.style is not None:
            style_index(self.style)
        if self.split is not None and self.split not in SPLITS:
            raise ValueError(f"split {self.split!r} is not known; expected one of: {', '.join(SPLITS)}")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a song.

    Attributes:
        facts: the content of song.json.
        beats_from: `given` or `heard`.
    """

    facts: Mapping[str, Any]
    beats_from: str

    def line(self) -> str:
        """Return it in words."""
        tempos = [bpm for _, bpm in self.facts["tempo_map"]]
        speed = f"{tempos[0]:.4g}" if len(tempos) == 1 else f"{min(tempos):.4g} to {max(tempos):.4g}"
        _, numerator, denominator = self.facts["time_signatures"][0]
        key, style = self.facts["key"] or "key unknown", self.facts["style"] or "style unknown"
        return f"{speed} bpm ({self.beats_from}), {numerator}/{denominator}, {key}, {style}"


def import_song(song: SourceSong, given: Given, folder: Path) -> Imported:
    """Write `song` as the song folder `folder`, whole or not at all; return what song.json says.

    Raises:
        ValueError: a track cannot be read, no beat can be found, or a file beside the stems is wrong; the message names
            the song and the remedy.
    """
    told = _read_facts(facts_file(song))
    stems = read_stems(song)
    try:
        placement, beats_from = _placement(song.folder, told, given, stems)
    except BeatError as error:
        raise BeatError(
            f"{song.folder}: {error} (--tempo 92, or {TEMPO_FILE} or {BEATS_FILE} beside its stems)"
        ) from error
    stems = {name: shifted(audio, placement.lead_samples) for name, audio in stems.items()}
    facts = _facts(song, told, given, placement.timeline, stems)
    write_folder(facts, stems, folder)
    return Imported(facts, beats_from)


def shifted(audio: Array, lead_samples: int) -> Array:
    """Return audio (2, samples) with `lead_samples` of silence before it, or without its first -`lead_samples`."""
    if lead_samples < 0:
        return np.ascontiguousarray(audio[:, -lead_samples:])
    return np.pad(audio, ((0, 0), (lead_samples, 0)))


def _row(span: ChordSpan) -> list[Any]:
    chord = span.chord
    return [span.start_beat, span.end_beat, chord.root, list(chord.pitch_classes), chord.bass, chord.name]


def _read_facts(path: Path) -> dict[str, Any]:
    """Return what song.json beside the stems says, checked; nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if "tempo_map" in told:
            Timeline(told["tempo_map"], told.get("time_signatures", [[0.0, 4, 4]]))
        elif told.get("chords"):
            raise ValueError("chords are given in beats, but no tempo_map says where those are")
        for row in told.get("chords") or ():
            ChordSpan.from_row(row)
        Given(style=told.get("style"), split=told.get("split"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not as docs/contracts.md says ({error}); correct or remove it") from error
    return dict(told)


def _placement(
    folder: Path, told: Mapping[str, Any], given: Given, stems: Mapping[str, Array]
) -> tuple[Placement, str]:
    """Return the song's timeline, and whether its beats were given or heard."""
    if "tempo_map" in told:
        signatures = told.get("time_signatures", [[0.0, 4, 4]])
        return Placement(Timeline(told["tempo_map"], signatures), 0), "given"
    if (folder / BEATS_FILE).is_file():
        return placed(read_beats(folder / BEATS_FILE, given.beats_per_bar), GIVEN_TOLERANCE_SECONDS), "given"
    bpm, first = _tempo_file(folder / TEMPO_FILE) or (given.bpm, given.first_beat_seconds)
    if bpm is not None and first is not None:
        seconds = stems[VOCALS].shape[1] / SAMPLE_RATE_HZ
        return placed(given_steady(bpm, first, given.beats_per_bar or 4, seconds), GIVEN_TOLERANCE_SECONDS), "given"
    heard = estimate_beats(stems, bpm, given.beats_per_bar)
    if bpm is not None:
        return placed(steady(heard, bpm), GIVEN_TOLERANCE_SECONDS), "tempo given, beats heard"
    return placed(heard, HEARD_TOLERANCE_SECONDS), "heard"


def _tempo_file(path: Path) -> tuple[float, float | None] | None:
    """Return the tempo and, if it is there, the first downbeat's seconds in tempo.txt; None without the file."""
    if not path.is_file():
        return None
    try:
        bpm, *first = [float(word) for word in path.read_text(encoding="utf-8").split()]
        checked = Given(bpm=bpm, first_beat_seconds=first[0] if first else None)
    except (OSError, ValueError) as error:
        raise BeatError(
            f"{path.name}: write the tempo and, if you know it, the first downbeat's seconds ({error})"
        ) from error
    return bpm, checked.first_beat_seconds


def _facts(
    song: SourceSong, told: Mapping[str, Any], given: Given, timeline: Timeline, stems: Mapping[str, Array]
) -> dict[str, Any]:
    """Return the content of song.json: what is told first, then what is given, then what is heard."""
    chords = estimate_chords(*chroma_of(stems), timeline)
    key = estimate_key(chords)
    last_beat = timeline.beat_at_sample(stems[VOCALS].shape[1])
    return {
        "id": song.name,
        "source": SOURCE,
        "split": told.get("split") or given.split or song.facts.get("split", "train"),
        "style": told.get("style") or given.style or song.facts.get("style"),
        "tempo_map": [list(point) for point in timeline.tempos],
        "time_signatures": [list(signature) for signature in timeline.time_signatures],
        "subdivision": told.get("subdivision", SUBDIVISION),
        "key": told.get("key", key.name if key else None),
        "chords": told["chords"] or [] if "chords" in told else [_row(span) for span in chords],
        "sections": told.get("sections", [[0.0, last_beat, "song"]]),
        "voice": told.get("voice", "real"),
        "seed": 0,
    }
