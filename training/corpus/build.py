"""Build the training corpus: `python -m training.corpus.build --config FILE --data DIR --out DIR`."""

import argparse
import multiprocessing
import os
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.styles import STYLES
from training.corpus.composer import LENGTH_SECONDS
from training.corpus.folder import is_finished, write_song
from training.corpus.performance import Company, hire, perform
from training.corpus.render import Orchestra, RenderError, find_soundfont
from training.corpus.songs import Recipe, arrange, list_recipes

VOICE_CACHE_FOLDER = ".voices"


@dataclass(frozen=True, slots=True)
class CorpusConfig:
    """What a corpus TOML file says.

    Attributes:
        songs: how many renderings.
        seed: all chance in arrangement and rendering comes from it.
        least_seconds, most_seconds: how long a song is; songs of POP909 may be shorter than the least.
        recorded_share, formant_share, espeak_share: how often each kind of voice sings.
        soundfont: a General MIDI .sf2 file; empty for the usual places.
    """

    songs: int
    seed: int
    least_seconds: float = LENGTH_SECONDS[0]
    most_seconds: float = LENGTH_SECONDS[1]
    recorded_share: float = 0.7
    formant_share: float = 0.2
    espeak_share: float = 0.1
    soundfont: str = ""

    def shares(self) -> dict[str, float]:
        """Return the shares of the kinds of voices by name."""
        return {"recorded": self.recorded_share, "formant": self.formant_share, "espeak": self.espeak_share}


def read_config(path: Path) -> CorpusConfig:
    """Read a corpus configuration.

    Raises:
        ValueError: the file is not TOML, or has a key that is missing, unknown or of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    known = {field.name for field in fields(CorpusConfig)}
    unknown = set(table) - known
    if unknown:
        raise ValueError(f"{path}: unknown keys {sorted(unknown)}; expected some of {sorted(known)}")
    try:
        config = CorpusConfig(**table)
    except TypeError as error:
        raise ValueError(f"{path}: {error}; expected at least `songs` and `seed`") from error
    if config.songs < 1 or min(config.shares().values()) < 0:
        raise ValueError(f"{path}: songs is {config.songs} and shares are {config.shares()}; expected >= 1 and >= 0")
    if not 10 <= config.least_seconds <= config.most_seconds - 2:
        lengths = f"least_seconds is {config.least_seconds:g} and most_seconds {config.most_seconds:g}"
        raise ValueError(f"{path}: {lengths}; expected 10 or more, and 2 more for the most")
    return config


@dataclass(slots=True)
class Worker:
    """What a process keeps between songs."""

    data_dir: Path | None
    out_dir: Path
    company: Company
    orchestra: Orchestra


_worker: Worker | None = None


def start_worker(config: CorpusConfig, data_dir: Path | None, out_dir: Path) -> None:
    """Load soundfont and voices once in this process."""
    global _worker
    company = hire(data_dir, out_dir / VOICE_CACHE_FOLDER, config.shares())
    _worker = Worker(data_dir, out_dir, company, Orchestra(find_soundfont(config.soundfont)))


def render_recipe(recipe: Recipe) -> str:
    """Arrange, perform and write one song with this process's worker; return its id."""
    assert _worker is not None
    song = arrange(recipe, _worker.data_dir)
    voice, stems = perform(song, _worker.company, _worker.orchestra)
    write_song(song, voice, stems, _worker.out_dir / song.id)
    return song.id


def mixed_order(recipes: Sequence[Recipe], seed: int) -> list[Recipe]:
    """Return `recipes` shuffled, so that the first songs already have every split, style and source."""
    order = np.random.default_rng([seed, 77]).permutation(len(recipes))
    return [recipes[int(index)] for index in order]


def render_all(
    recipes: Sequence[Recipe], config: CorpusConfig, data_dir: Path | None, out_dir: Path, workers: int
) -> Iterator[str]:
    """Yield the id of each song once it is written; with one worker in this process, else in spawned ones."""
    if workers <= 1:
        start_worker(config, data_dir, out_dir)
        yield from map(render_recipe, recipes)
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, start_worker, (config, data_dir, out_dir)) as pool:
        futures = [pool.submit(render_recipe, recipe) for recipe in recipes]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def build(
    config: CorpusConfig,
    data_dir: Path | None,
    out_dir: Path,
    workers: int = 2,
    first: int | None = None,
    split: str | None = None,
    style: str | None = None,
) -> int:
    """Render what `out_dir` does not hold yet, of one split and style or of all; return how many were rendered now."""
    console = Console(stderr=True)
    out_dir.mkdir(parents=True, exist_ok=True)
    listed = list_recipes(data_dir, config.songs, config.seed, (config.least_seconds, config.most_seconds))
    asked = [recipe for recipe in listed if split in (None, recipe.split) and style in (None, recipe.style)]
    recipes = mixed_order(asked, config.seed)[:first]
    waiting = [recipe for recipe in recipes if not is_finished(out_dir / recipe.id)]
    console.print(f"{len(recipes)} songs, {len(recipes) - len(waiting)} there already; voices are analysed once")
    company = hire(data_dir, out_dir / VOICE_CACHE_FOLDER, config.shares())
    _report_voices(company, config, console)
    with Progress(
        TextColumn("songs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), console=console,
    ) as progress:  # fmt: skip
        task = progress.add_task("songs", total=len(waiting))
        for done, song_id in enumerate(render_all(waiting, config, data_dir, out_dir, workers), start=1):
            progress.advance(task)
            if not console.is_terminal:
                print(f"{done}/{len(waiting)} {song_id}", file=sys.stderr, flush=True)
    return len(waiting)


def _report_voices(company: Company, config: CorpusConfig, console: Console) -> None:
    if config.recorded_share > 0 and not company.recorded:
        console.print("no recorded voices found: the formant voice sings instead (see docs for where to get them)")
    if config.espeak_share > 0 and not company.spoken:
        console.print("espeak-ng is not installed: its voices are left out")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus.build", description="Build the training corpus.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file, such as configs/corpus_cpu.toml")
    parser.add_argument("--data", type=Path, default=None, help="folder with POP909, Groove MIDI and voices; optional")
    parser.add_argument("--out", type=Path, required=True, help="where the song folders go")
    parser.add_argument("--songs", type=int, default=None, help="instead of the configuration's number of songs")
    parser.add_argument("--first", type=int, default=None, help="render only the first so many of them")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="render only the songs of this split")
    parser.add_argument("--style", choices=STYLES, help="render only the songs of this style")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parse_arguments(arguments)
    try:
        config = read_config(options.config)
        if options.songs is not None:
            changes: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(config)}
            config = CorpusConfig(**{**changes, "songs": options.songs})
        build(config, options.data, options.out, options.workers, options.first, options.split, options.style)
    except (ValueError, OSError, RenderError) as error:
        print(f"corpus: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
