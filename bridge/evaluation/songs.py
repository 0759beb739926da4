"""Song folders as the evaluation reads them (docs/contracts.md): audio, timeline, chords, key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.audio_files import read_stereo
from bridge.errors import UserError
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.harmony import ChordSpan, Key
from engine.spectra import Array
from engine.styles import style_index
from engine.timeline import Timeline

VOCALS = "vocals"
SONG_FILE = "song.json"
_AUDIBLE = 10 ** (-40 / 20)


@dataclass(frozen=True, slots=True)
class SongFacts:
    """What song.json says.

    Attributes:
        folder: where the song lies.
        id: its unique name.
        split: train, validation or test.
        style: one of `engine.styles.STYLES`, or None where the file names none.
        timeline: tempo map and time signatures, beat 0 at sample 0.
        subdivision: grid positions per quarter note for drums, 4 or 3.
        key: the key, or None where the file names none that is major or minor.
        chords: in rising order; beats of the song; empty where the file names none.
        voice: what sang, as the file says.
    """

    folder: Path
    id: str
    split: str
    style: str | None
    timeline: Timeline
    subdivision: int
    key: Key | None
    chords: tuple[ChordSpan, ...]
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of a song that starts on a bar line.

    Attributes:
        facts: the song's; its timeline starts with the song.
        timeline: the song's, moved so that sample 0 is the excerpt's first.
        start_seconds: where in the song it starts.
        song_seconds: how long the whole song is.
        audio: vocals and stems by name, each (2, samples), all of one length.
    """

    facts: SongFacts
    timeline: Timeline
    start_seconds: float
    song_seconds: float
    audio: Mapping[str, Array]

    @property
    def samples(self) -> int:
        """Return the length in samples."""
        return self.audio[VOCALS].shape[1]


def find_songs(root: Path, split: str, count: int) -> list[SongFacts]:
    """Return up to `count` songs of `split` below `root`, spread evenly over their sorted names.

    Raises:
        UserError: there is no such folder or no such song.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; name one that holds song folders (docs/contracts.md)")
    facts = (read_facts(path.parent) for path in sorted(root.glob(f"**/{SONG_FILE}")) if path.parent.name[0] != ".")
    found = [song for song in facts if song.split == split]
    if not found:
        raise UserError(f"{root}: holds no song of split {split!r}; name another folder or --split")
    chosen = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    return [found[index] for index in chosen]


def read_facts(folder: Path) -> SongFacts:
    """Read song.json of `folder`.

    Raises:
        UserError: the file is missing, not JSON, or lacks what it must hold.
    """
    path = folder / SONG_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _facts(folder, content)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); see docs/contracts.md for a song folder"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is not as docs/contracts.md says ({error}); render the song again") from error


def read_excerpt(facts: SongFacts, seconds: float) -> Excerpt:
    """Read up to `seconds` of a song, from the bar before the voice first sounds.

    Raises:
        UserError: a file is missing or cannot be read, or the stems differ in length.
    """
    whole = {name: read_stereo(_audio_path(facts.folder, name), SAMPLE_RATE_HZ) for name in (VOCALS, *STEMS)}
    if len({audio.shape for audio in whole.values()}) != 1:
        raise UserError(f"{facts.folder}: its files differ in length; render the song again")
    start = _start_sample(facts.timeline, whole[VOCALS])
    stop = min(start + int(seconds * SAMPLE_RATE_HZ), whole[VOCALS].shape[1])
    return Excerpt(
        facts=facts,
        timeline=Timeline(facts.timeline.tempos, facts.timeline.time_signatures, -start),
        start_seconds=start / SAMPLE_RATE_HZ,
        song_seconds=whole[VOCALS].shape[1] / SAMPLE_RATE_HZ,
        audio={name: np.ascontiguousarray(audio[:, start:stop]) for name, audio in whole.items()},
    )


def _facts(folder: Path, content: dict[str, Any]) -> SongFacts:
    return SongFacts(
        folder=folder,
        id=str(content["id"]),
        split=str(content["split"]),
        style=_style(content.get("style")),
        timeline=Timeline(content["tempo_map"], content["time_signatures"]),
        subdivision=int(content["subdivision"]),
        key=_key(content.get("key")),
        chords=tuple(ChordSpan.from_row(row) for row in content["chords"] or ()),
        voice=str(content.get("voice", "")),
    )


def _style(name: str | None) -> str | None:
    if name is not None:
        style_index(name)  # refuses one that no bundle knows
    return name


def _key(name: str | None) -> Key | None:
    try:
        return Key.parse(name) if name else None
    except ValueError:
        return None  # a mode that is neither major nor minor


def _audio_path(folder: Path, name: str) -> Path:
    for suffix in (".flac", ".wav"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise UserError(f"{folder}: has no {name}.flac or {name}.wav; see docs/contracts.md for a song folder")


def _start_sample(timeline: Timeline, vocals: Array) -> int:
    """Return the first sample of the bar before the one in which the voice first sounds; 0 for a silent one."""
    level = np.abs(vocals).max(axis=0)
    first = int(np.argmax(level > _AUDIBLE * max(float(level.max()), 1e-6)))
    bar = timeline.bar_at_beat(timeline.beat_at_sample(first)) - 1
    return timeline.sample_at_bar(max(bar, 0))
