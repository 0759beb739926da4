"""`backline evaluate`: measure a bundle on songs that it never saw, and keep the tables."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.errors import UserError
from bridge.evaluation.provenance import provenance
from bridge.evaluation.real import real_figures, real_table
from bridge.evaluation.report import Section, print_section, write_section
from bridge.evaluation.songs import SongFacts, find_songs
from engine.bundle import Bundle, BundleError
from engine.runtime import GraphError

RESULTS_FILE = "results.md"
DEFAULT_PARTS = "codec,accompaniment"
# What can be measured, and the module of this package that does; each is imported when it is asked for.
PARTS = {
    "codec": "codec_section",
    "accompaniment": "accompaniment",
    "frechet": "frechet",
    "visibility": "visibility",
    "controls": "controls",
    "seams": "seams",
    "teacher": "teacher",
}
_NEEDED = ("matplotlib", "mir_eval", "pyloudnorm", "scipy")


class Measure(Protocol):
    """A part's `section`: `tell` is called as often as its `total` says, once a song where it has none."""

    def __call__(self, bundle: Bundle, songs: Sequence[SongFacts], seconds: float, tell: Callable[[], None]) -> Section:
        """Measure `bundle` on `seconds` of each of `songs`."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What one part alone takes in.

    Attributes:
        earlier: an earlier bundle to set the codec beside.
        clap: weights of LAION-CLAP, for `frechet`.
        aesthetics: weights of AudioBox-Aesthetics, for `frechet`.
        teacher: a bundle of the weights that it was distilled from, for `teacher`.
    """

    earlier: Bundle | None = None
    clap: Path | None = None
    aesthetics: Path | None = None
    teacher: Bundle | None = None


def evaluate(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle to measure.")],
    songs: Annotated[Path, typer.Option(help="Folder of song folders; see docs/contracts.md.")],
    parts: Annotated[str, typer.Option(help=f"What to measure, with commas between: {', '.join(PARTS)}.")] = (
        DEFAULT_PARTS
    ),
    split: Annotated[str, typer.Option(help="Which of the songs: test, validation or train.")] = "test",
    count: Annotated[int, typer.Option(min=2, help="How many songs, spread over all of the split.")] = 50,
    seconds: Annotated[float, typer.Option(min=5.0, help="How much of each song.")] = 47.5,
    out: Annotated[Path | None, typer.Option(help="Folder whose results.md takes the tables.")] = None,
    real: Annotated[Path | None, typer.Option(help="Folder of real recordings of a voice alone.")] = None,
    earlier: Annotated[Path | None, typer.Option(help="Bundle of an earlier state, to set the codec beside.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Bundle of the weights that it was distilled from, for the part teacher.")
    ] = None,
    clap: Annotated[
        Path | None, typer.Option(help="Weights of LAION-CLAP that you have, for the part frechet.")
    ] = None,
    aesthetics: Annotated[
        Path | None, typer.Option(help="Weights of AudioBox-Aesthetics that you have, for the part frechet.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; the bundle's own if left out.")
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the bundle's own if left out.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the model; 0 leaves it to onnxruntime.")] = 0,
) -> None:
    """Measure a bundle on songs that it never saw."""
    names = _part_names(parts)
    if "frechet" not in names and (clap or aesthetics):
        raise UserError("--clap and --aesthetics belong to the part frechet; add it to --parts, or leave them out")
    if ("teacher" in names) != (teacher is not None):
        raise UserError("the part teacher and --teacher go together; give both, or neither")
    _check_installed()
    found = find_songs(songs, split, count)
    model = _sampling_as(_load(bundle, threads), steps, guidance)
    extras = Extras(
        earlier=_load(earlier, threads) if earlier else None,
        clap=clap,
        aesthetics=aesthetics,
        teacher=_load(teacher, threads) if teacher else None,
    )
    console = Console()
    for name in names:
        _keep(_measured(name, model, extras, found, seconds, console), out, console)
    if real is not None:
        _keep(_real_section(real, out or Path(), bundle, console), out, console)


def _part_names(text: str) -> list[str]:
    """Return the parts that `text` names, in the order of PARTS; each is there and known."""
    asked = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(asked - PARTS.keys())
    if unknown or not asked:
        raise UserError(
            f"--parts {text!r}: {', '.join(unknown) or 'nothing'} is no part; name some of {', '.join(PARTS)}"
        )
    return [name for name in PARTS if name in asked]


def _measured(
    name: str, model: Bundle, extras: Extras, songs: Sequence[SongFacts], seconds: float, console: Console
) -> Section:
    """Return the section of one part, with its progress shown."""
    module = import_module(f"bridge.evaluation.{PARTS[name]}")
    section: Measure = module.section
    total: int = getattr(module, "total", len)(songs)
    if name == "codec" and extras.earlier is not None:
        section, total = partial(module.section, earlier=extras.earlier), 2 * total
    if name == "frechet":
        section = partial(module.section, clap=extras.clap, aesthetics=extras.aesthetics)
    if name == "teacher":
        section = partial(module.section, teacher=extras.teacher)
    with _progress(console, name, total) as tell:
        return section(model, songs, seconds, tell)


def _keep(section: Section, out: Path | None, console: Console) -> None:
    """Print a section and, where a folder is given, write it there: what is done stays if a later part fails."""
    print_section(section, console)
    if out is not None:
        write_section(out / RESULTS_FILE, section)


def _real_section(folder: Path, out: Path, bundle: Path, console: Console) -> Section:
    with _progress(console, "real recordings", None) as tell:
        table = real_table(real_figures(folder, out, bundle, tell))
    notes = (
        "Bounced with default settings and no effects, at the tempo heard in the voice, or at 100 where none is clear.",
    )
    return Section("real", "Real voices", "backline evaluate --real DIR", provenance().line, (table,), notes)


def _load(folder: Path, threads: int) -> Bundle:
    try:
        return Bundle.load(folder, threads=threads)
    except (BundleError, GraphError) as error:
        raise UserError(str(error)) from error


def _sampling_as(bundle: Bundle, steps: int | None, guidance_scale: float | None) -> Bundle:
    """Return the bundle with other steps or guidance as its own, so that every part plays with them."""
    sampling = bundle.sampling
    return bundle.with_sampling(
        steps=steps or sampling.steps,
        guidance_scale=sampling.guidance_scale if guidance_scale is None else guidance_scale,
    )


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
