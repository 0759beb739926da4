"""Writing a song folder (docs/contracts.md): four stems and `song.json`, whole or not at all."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from engine.geometry import SAMPLE_RATE_HZ, STEMS
from training.corpus.effects import Audio
from training.corpus.notes import Song

VOCALS = "vocals"
SONG_FILE = "song.json"


def is_finished(folder: Path) -> bool:
    """Return whether `folder` holds a whole song; song.json is written last, in a folder that is then renamed."""
    return (folder / SONG_FILE).is_file()


def describe(song: Song, voice: str) -> dict[str, Any]:
    """Return the content of song.json."""
    return {
        "id": song.id,
        "source": song.source,
        "split": song.split,
        "style": song.style,
        "tempo_map": [list(point) for point in song.tempo_map],
        "time_signatures": [list(signature) for signature in song.time_signatures],
        "subdivision": song.subdivision,
        "key": song.key,
        "chords": [[c.start_beat, c.end_beat, c.root, list(c.pitch_classes), c.bass, c.label] for c in song.chords],
        "sections": [list(section) for section in song.sections],
        "voice": voice,
        "seed": song.seed,
    }


def write_song(song: Song, voice: str, stems: Mapping[str, Audio], folder: Path) -> None:
    """Write an arranged song that `voice` sang as `folder`; see `write_folder`."""
    write_folder(describe(song, voice), stems, folder)


def write_folder(facts: Mapping[str, Any], stems: Mapping[str, Audio], folder: Path) -> None:
    """Write `stems` (each (2, samples) in [-1, 1]) and song.json as `folder`, by way of a temporary folder beside it.

    Raises:
        ValueError: a stem is missing, has another length than the others, or holds what is not a number.
    """
    _check(stems)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, audio in stems.items():
        whole = np.rint(np.clip(audio.T, -1.0, 1.0) * 32_767).astype(np.int16)
        soundfile.write(partial / f"{name}.flac", whole, SAMPLE_RATE_HZ, subtype="PCM_16")
    (partial / SONG_FILE).write_text(json.dumps(facts), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _check(stems: Mapping[str, Audio]) -> None:
    wanted = {VOCALS, *STEMS}
    if set(stems) != wanted:
        raise ValueError(f"stems are {sorted(stems)}; expected {sorted(wanted)}")
    lengths = {audio.shape for audio in stems.values()}
    if len(lengths) != 1:
        raise ValueError(f"stems have shapes {sorted(lengths)}; expected one shape (2, samples) for all")
    for name, audio in stems.items():
        if not np.isfinite(audio).all():
            raise ValueError(f"stem {name} holds NaN or infinite samples; the rendering of this song is broken")
