"""How often which triad follows which: `python -m training.chord_moves --latents DIR --out FILE`.

Counts of the train split, relative to the key, for the listener of the evaluation: it is kept as
`bridge/evaluation/chord_moves.txt`. A row for each triad that is left, major ones above the tonic first, then minor
ones, of major songs and then of minor songs; a column for each that follows.
"""

import argparse
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.harmony import TRIADS
from training.harmony import Song, read_songs


def chord_moves(songs: Iterable[Song]) -> NDArray[np.int64]:
    """Return (2 modes, from, to) how often a triad is followed by another one."""
    counts = np.zeros((2, TRIADS, TRIADS), np.int64)
    for song in songs:
        triads = [span.chord.triad_above(song.key.tonic) for span in song.chords if span.chord.root >= 0]
        for before, after in pairwise(triads):
            counts[int(song.key.minor), before, after] += before != after
    return counts


def main() -> int:
    """Count and write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.chord_moves", description=__doc__)
    parser.add_argument("--latents", type=Path, required=True, help="songs cached by training.encode_corpus")
    parser.add_argument("--out", type=Path, required=True, help="the text file")
    options = parser.parse_args()
    try:
        songs = [song for song in read_songs(options.latents) if song.split == "train"]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    np.savetxt(options.out, chord_moves(songs).reshape(-1, TRIADS), fmt="%d", header=f"{len(songs)} songs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
