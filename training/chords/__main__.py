"""Train the chord reader: `python -m training.chords --data DIR --latents DIR --run DIR --minutes 40`.

Learns from scores of the corpus's recipes (`--count` of them, POP909's where `--data` holds it) and from the songs of
`--latents` with their rendered voices; then compares it with the tables on the validation and test songs there.
`python -m export.chords` puts it into a bundle.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from engine.chord_reader import ChordReader
from engine.harmoniser import Harmoniser
from engine.runtime import Array
from training.chords.network import ChordNetwork
from training.chords.songs import ReadSong, composed_song, read_song, whole_song
from training.chords.train import LEARNING_RATE, ChordTraining, load_network, train_chords
from training.common.checkpoint import CheckpointError
from training.common.schedules import Budget
from training.corpus.pop909 import load_scores
from training.corpus.score import split_of
from training.corpus.songs import Recipe, list_recipes
from training.harmony import Settings, Song, estimate, read_songs
from training.harmony_scores import report

CORPUS_SEED = 11
HELD_OUT = 300
WAYS = 6  # in which each whole song is sung


class TorchReader:
    """The network in torch as `engine.chord_reader.ChordGraph`."""

    def __init__(self, network: ChordNetwork) -> None:
        """Read with `network`."""
        self._network = network.eval()

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return logits of chords and keys."""
        chords, keys = self._network(torch.from_numpy(inputs["units"]))
        return {"chords": chords.numpy(), "keys": keys.numpy()}


def composed_songs(count: int, data_dir: Path | None, workers: int, seed: int) -> tuple[list[ReadSong], list[ReadSong]]:
    """Return songs to learn from and songs held out.

    Those to learn from are of `count` recipes, and POP909's as they are, each sung in several ways; those held out are
    the recipes of the validation split, `HELD_OUT` at most.
    """
    all_recipes = list_recipes(data_dir, count, CORPUS_SEED + seed)
    recipes = [recipe for recipe in all_recipes if recipe.split == "train"]
    held_out = [recipe for recipe in all_recipes if recipe.split == "validation"][:HELD_OUT]
    scores = load_scores(data_dir, clean=False).values() if data_dir is not None else ()
    whole = [(score, way) for way in range(WAYS) for score in scores if split_of(score.composition) == "train"]
    make: Callable[[Recipe], ReadSong] = partial(composed_song, data_dir=data_dir, seed=CORPUS_SEED)
    with ProcessPoolExecutor(workers) as pool:
        sung = pool.map(whole_song, *zip(*whole, strict=True), chunksize=16) if whole else ()
        return [*pool.map(make, recipes, chunksize=16), *sung], [*pool.map(make, held_out, chunksize=16)]


def compare(network: ChordNetwork, songs: Sequence[Song]) -> None:
    """Print how well the tables and the network read the songs that were not learned from."""
    tables = estimate([song for song in songs if song.split == "train"], Settings())
    for split in ("validation", "test"):
        others = [song for song in songs if song.split == split]
        if others:
            print(report(f"{split}, tables", Harmoniser(tables), others))
            print(report(f"{split}, network", Harmoniser(tables, ChordReader(TorchReader(network), tables)), others))


def main() -> int:
    """Train; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.chords", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with pop909_structure.tar.xz; without it all is composed")
    parser.add_argument("--latents", type=Path, required=True, help="songs cached by training.encode_corpus")
    parser.add_argument("--run", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--count", type=int, default=24_000, help="recipes to compose")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, such as export.restore --chords writes")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help="at its height")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="another one composes other songs, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        songs = read_songs(options.latents)
        composed, held_out = composed_songs(options.count, options.data, options.threads, options.seed)
        rendered = [read_song(song) for song in songs if song.split == "train"]
        held_out += [read_song(song) for song in songs if song.split == "validation"]
        config = ChordTraining(
            options.run,
            Budget(minutes=options.minutes),
            learning_rate=options.learning_rate,
            start=options.start,
            seed=options.seed,
        )
        path = train_chords(config, composed, rendered, held_out)
        compare(load_network(path)[0], songs)
    except (ValueError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
