"""Others' multitracks to song folders: `python -m training.folders SOURCE --out DIR [--tempo 92]`.

SOURCE holds songs in the layout of MUSDB18-HQ or MoisesDB, or any SONG/{vocals,drums,bass,other}.wav;
docs/fine-tuning.md says what may lie beside the stems. Songs that were imported already are kept.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.styles import STYLES
from training.corpus.folder import is_finished
from training.folders.importing import SPLITS, Given, import_song
from training.folders.layouts import find_songs


def import_all(source: Path, out: Path, given: Given, say: Callable[[str], None]) -> int:
    """Import every song of `source` that `out` does not have yet; return how many were left out, told through `say`.

    Raises:
        ValueError: `source` holds no songs, or `out` would hold none.
    """
    songs = find_songs(source)
    out.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for done, song in enumerate(songs, start=1):
        folder = out / song.name
        if is_finished(folder):
            continue
        try:
            say(f"{done}/{len(songs)} {song.name}: {import_song(song, given, folder).line()}")
        except ValueError as error:
            left_out += 1
            say(f"{done}/{len(songs)} left out: {error}")
    if left_out == len(songs):
        raise ValueError(f"{source}: none of its {left_out} songs could be used; the lines above say why")
    return left_out


def add_given_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is known of all songs."""
    parser.add_argument("--tempo", type=float, metavar="BPM", help="of all songs; else each is heard")
    parser.add_argument(
        "--first-beat", type=float, metavar="SECONDS", help="the first downbeat; 0 for exported projects"
    )
    parser.add_argument("--beats-per-bar", type=int, metavar="N", help="quarter notes a bar; else 4 or 3 is heard")
    parser.add_argument("--style", help=f"of all songs, else unknown: {', '.join(STYLES)}")
    parser.add_argument("--split", help=f"of all songs: {', '.join(SPLITS)}")


def given_of(options: argparse.Namespace) -> Given:
    """Return what the command line gives.

    Raises:
        ValueError: a value is out of range.
    """
    return Given(options.tempo, options.first_beat, options.beats_per_bar, options.style, options.split)


def main(words: Sequence[str] | None = None) -> int:
    """Import; return the exit code: 1 where songs were left out."""
    parser = argparse.ArgumentParser(prog="python -m training.folders", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of songs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the song folders")
    add_given_options(parser)
    options = parser.parse_args(words)
    try:
        left_out = import_all(options.source, options.out, given_of(options), lambda line: print(line, flush=True))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
