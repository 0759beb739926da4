"""`backline evaluate`: measure a bundle on songs that it never saw, and keep the table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.errors import UserError
from bridge.evaluation.accompaniment import SongFigures, player, song_figures
from bridge.evaluation.codec import codec_figures, reconstruction
from bridge.evaluation.provenance import provenance
from bridge.evaluation.real import real_figures, real_table
from bridge.evaluation.report import Section, print_section, write_section
from bridge.evaluation.songs import Excerpt, SongFacts, find_songs, read_excerpt
from bridge.evaluation.summary import ACCOMPANIMENT_NOTES, CODEC_NOTES, accompaniment_table, codec_table
from engine.bundle import Bundle, BundleError
from engine.runtime import GraphError

RESULTS_FILE = "results.md"
_NEEDED = ("matplotlib", "pyloudnorm", "scipy")


def evaluate(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle to measure.")],
    songs: Annotated[Path, typer.Option(help="Folder of song folders; see docs/contracts.md.")],
    split: Annotated[str, typer.Option(help="Which of the songs: test, validation or train.")] = "test",
    count: Annotated[int, typer.Option(min=2, help="How many songs, spread over all of the split.")] = 50,
    seconds: Annotated[float, typer.Option(min=5.0, help="How much of each song.")] = 47.5,
    out: Annotated[Path | None, typer.Option(help="Folder whose results.md takes the tables.")] = None,
    real: Annotated[Path | None, typer.Option(help="Folder of real recordings of a voice alone.")] = None,
    codec_only: Annotated[bool, typer.Option("--codec-only", help="Measure the codec alone.")] = False,
    earlier: Annotated[Path | None, typer.Option(help="Bundle of an earlier state, to set the codec beside.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; the bundle's own if left out.")
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the bundle's own if left out.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the model; 0 leaves it to onnxruntime.")] = 0,
) -> None:
    """Measure a bundle on songs that it never saw."""
    _check_installed()
    found = find_songs(songs, split, count)
    model = _load(bundle, threads)
    console = Console()
    sections = [_codec_section(model, _load(earlier, threads) if earlier else None, found, seconds, console)]
    if not codec_only:
        if len(found) < 2:
            raise UserError(
                f"{songs}: holds one song of split {split!r}; each is set against another, give two or more"
            )
        sampling = model.sampling
        play = player(model, steps or sampling.steps, guidance if guidance is not None else sampling.guidance_scale)
        with _progress(console, "songs", len(found)) as tell:
            figures = []
            for seed, (excerpt, partner) in enumerate(_pairs(found, seconds)):
                figures.append(song_figures(excerpt, partner, play, seed))
                tell()
        sections.append(_accompaniment_section(figures, steps or sampling.steps))
    if real is not None:
        sections.append(_real_section(real, out or Path(), bundle, console))
    for section in sections:
        print_section(section, console)
        if out is not None:
            write_section(out / RESULTS_FILE, section)


def _codec_section(
    model: Bundle, earlier: Bundle | None, songs: Sequence[SongFacts], seconds: float, console: Console
) -> Section:
    with _progress(console, "codec", len(songs) * (2 if earlier else 1)) as tell:
        now = codec_figures(reconstruction(model), (read_excerpt(song, seconds) for song in songs), tell)
        before = None
        if earlier is not None:
            before = codec_figures(reconstruction(earlier), (read_excerpt(song, seconds) for song in songs), tell)
    table = codec_table(now, before)
    command = "backline evaluate --codec-only"
    return Section("codec", "Codec", command, provenance().line, (table,), CODEC_NOTES)


def _accompaniment_section(figures: Sequence[SongFigures], steps: int) -> Section:
    title = f"Accompaniment, {steps} steps"
    source = provenance().line
    table = accompaniment_table(figures)
    return Section("accompaniment", title, "backline evaluate", source, (table,), ACCOMPANIMENT_NOTES)


def _real_section(folder: Path, out: Path, bundle: Path, console: Console) -> Section:
    with _progress(console, "real recordings", None) as tell:
        table = real_table(real_figures(folder, out, bundle, tell))
    notes = (
        "Bounced with default settings and no effects, at the tempo heard in the voice, or at 100 where none is clear.",
    )
    return Section("real", "Real voices", "backline evaluate --real DIR", provenance().line, (table,), notes)


def _pairs(songs: Sequence[SongFacts], seconds: float) -> Iterator[tuple[Excerpt, Excerpt]]:
    """Yield each song with the next one, the last with the first; two excerpts are held at a time, and the first."""
    first = current = read_excerpt(songs[0], seconds)
    for following in songs[1:]:
        partner = read_excerpt(following, seconds)
        yield current, partner
        current = partner
    yield current, first


def _load(folder: Path, threads: int) -> Bundle:
    try:
        return Bundle.load(folder, threads=threads)
    except (BundleError, GraphError) as error:
        raise UserError(str(error)) from error


def _check_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"evaluate needs {', '.join(missing)}; install them with: pip install 'backline[evaluate]'")


@contextmanager
def _progress(console: Console, what: str, total: int | None) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
