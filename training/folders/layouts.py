"""Where the stems of others' multitracks lie: MUSDB18-HQ, MoisesDB, and any folder with a file a stem."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.geometry import STEMS
from engine.styles import STYLES
from training.corpus.folder import SONG_FILE, VOCALS

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
MOISES_FILE = "data.json"
OTHER_NAMES = ("other", "guitar", "piano")  # file names that sound as "other"; the last two as separators write them
PARTS = (VOCALS, *STEMS)
MUSDB_SPLITS = {"train": "train", "test": "test"}
# The validation songs of the package musdb (configs/mus.yaml), so that figures can be compared.
MUSDB_VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)


class LayoutError(ValueError):
    """A folder that holds no songs in a known layout; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class SourceSong:
    """One song as it lies on the disk.

    Attributes:
        name: unique among the songs found, fit for a folder's name.
        folder: where it lies; a song.json, beats.txt or tempo.txt in it says what need not be estimated.
        tracks: vocals, drums, bass and other to the files that are summed; a stem that is missing has none.
        facts: what the layout says that song.json can say: split, style.
    """

    name: str
    folder: Path
    tracks: Mapping[str, tuple[Path, ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def find_songs(source: Path) -> list[SourceSong]:
    """Return the songs in or below `source`, in the order of their names.

    Raises:
        LayoutError: there are none, the songs are MUSDB18's `.stem.mp4` files, or a song lacks its vocals or all else.
    """
    if not source.is_dir():
        raise LayoutError(
            f"{source}: no such folder; name one with songs in it, such as SONG/vocals.wav, drums.wav ..."
        )
    songs = [song for folder in _folders(source) if (song := _song(folder, source)) is not None]
    if not songs:
        raise LayoutError(
            f"{source}: holds no songs; expected SONG/vocals.wav, drums.wav, bass.wav, other.wav (or .flac, .ogg, "
            f".mp3), or MoisesDB's SONG/{MOISES_FILE} beside a folder a stem"
        )
    for song in songs:
        _check(song)
    return songs


def _folders(source: Path) -> Iterator[Path]:
    """Yield `source` and the folders below it, in order, but for hidden ones."""
    for name, children, files in os.walk(source):
        children[:] = sorted(child for child in children if not child.startswith("."))
        packed = next((file for file in sorted(files) if file.lower().endswith(".stem.mp4")), None)
        if packed:
            raise LayoutError(
                f"{Path(name) / packed}: MUSDB18's packed stems cannot be read; get MUSDB18-HQ (WAV files), or unpack "
                "these with `pip install musdb` and `musdbconvert MUSDB18 MUSDB18-WAV`, which needs ffmpeg"
            )
        yield Path(name)


def _song(folder: Path, source: Path) -> SourceSong | None:
    """Return the song in `folder`, or None where it is not a song's."""
    name = safe_name(folder.relative_to(source.parent if folder == source else source))
    if (folder / MOISES_FILE).is_file():
        return SourceSong(name, folder, _moises_tracks(folder), _moises_facts(folder / MOISES_FILE))
    files = {path.stem.lower(): path for path in sorted(folder.iterdir()) if is_audio(path)}
    if VOCALS not in files:
        return None
    tracks: dict[str, tuple[Path, ...]] = {part: (files[part],) for part in PARTS if part in files}
    tracks["other"] = tuple(files[name] for name in OTHER_NAMES if name in files)
    return SourceSong(name, folder, {part: tracks.get(part, ()) for part in PARTS}, _musdb_facts(folder))


def is_audio(path: Path) -> bool:
    """Return whether `path` is a file that is read as a track."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def safe_name(path: Path) -> str:
    """Return `path` as one name that any file system takes."""
    return re.sub(r"[^\w .&'()+-]+", "_", " - ".join(path.parts)).strip(" .") or "song"


def _moises_tracks(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return MoisesDB's tracks: a folder a stem; all but vocals, drums and bass are `other`."""
    tracks: dict[str, tuple[Path, ...]] = dict.fromkeys(PARTS, ())
    for stem in sorted(path for path in folder.iterdir() if path.is_dir()):
        part = stem.name if stem.name in PARTS else "other"
        tracks[part] += tuple(sorted(path for path in stem.iterdir() if is_audio(path)))
    return tracks


def _moises_facts(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        genre = str(told.get("genre", "")).lower().replace("_", "-").replace(" ", "-")
    except (OSError, ValueError, AttributeError) as error:
        raise LayoutError(f"{path}: cannot be read ({error}); download this song of MoisesDB again") from error
    return {"style": genre} if genre in STYLES else {}


def _musdb_facts(folder: Path) -> dict[str, Any]:
    """Return the split of a song in MUSDB18's layout, which has a mixture beside the stems."""
    split = MUSDB_SPLITS.get(folder.parent.name)
    if split is None or not any(path.stem == "mixture" for path in folder.iterdir()):
        return {}
    return {"split": "validation" if folder.name in MUSDB_VALIDATION else split}


def _check(song: SourceSong) -> None:
    if not song.tracks[VOCALS]:
        raise LayoutError(f"{song.folder}: has no vocals; add them, or move this song out of the folder")
    if not any(song.tracks[stem] for stem in STEMS):
        raise LayoutError(f"{song.folder}: has vocals alone; add drums, bass or other, which are what is learned")


def facts_file(song: SourceSong) -> Path:
    """Return the path of the song.json that may lie beside the stems."""
    return song.folder / SONG_FILE
