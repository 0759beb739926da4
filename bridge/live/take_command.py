"""`backline take`: what was played, listed, shown, rendered again and deleted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from bridge.bounce_command import BUNDLE_VARIABLE, Container
from bridge.live.take_bounce import Progress as Advance
from bridge.live.take_bounce import TakeBounceOptions, TakeBounceReport, bounce_take
from bridge.live.take_index import Part, TakeIndex, read_index
from bridge.live.take_records import TakeHeader
from bridge.live.take_store import delete_take, find_take, is_being_written, list_takes, takes_folder
from engine.geometry import SAMPLE_RATE_HZ

take_app = typer.Typer(help="The takes: what was played live, to render again to the bit.", no_args_is_help=True)

TakeName = Annotated[str, typer.Argument(help="The take's name; see backline take list.")]


@take_app.command("list")
def list_command() -> None:
    """List the takes, the oldest first."""
    table = Table("take", "began", "length", "size", "state", box=None)
    now_seconds = time.time()
    for take in list_takes():
        header = take.header
        length = _clock(header.counts.samples) if header and header.counts else "?"
        began = header.created[:19].replace("T", " ") if header else "?"
        state = _state(header, is_being_written(takes_folder() / take.name, now_seconds))
        table.add_row(take.name, began, length, f"{take.size_bytes / 1e6:.1f} MB", state)
    Console().print(table)
    typer.echo(f"They lie in {takes_folder()}; an hour takes about 95 MB.")


@take_app.command("show")
def show_command(name: TakeName) -> None:
    """Show what a take holds: its parts, and what the chunks were made with."""
    index = read_index(find_take(name))
    header, chunks = index.header, [roll.chunk for roll in index.rolls.values()]
    typer.echo(f"{index.folder.name}: {_clock(index.whole.samples)}, {len(chunks)} chunks, began {header.created}")
    typer.echo(f"bundle {header.bundle} ({header.bundle_sha256[:12]}...), ran with {header.provider}")
    typer.echo(f"Backline {header.backline_version}")
    if chunks:
        typer.echo(f"seeds: {_counted(chunk.seed for chunk in chunks)}")
        typer.echo(f"styles: {_counted(chunk.style or 'any' for chunk in chunks)}")
        typer.echo(f"keys: {_counted(chunk.key or 'unknown' for chunk in chunks)}")
    for number, part in enumerate(index.parts, 1):
        typer.echo(f"part {number}: {_part_in_words(part, index)}")
    if index.ended:
        typer.echo(f"it ends before the music did: {index.ended}")


@take_app.command("bounce")
def bounce_command(
    name: TakeName,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", readable=False, help="Folder to make; the take's name if left out.")
    ] = None,
    container: Annotated[Container, typer.Option("--format", help="24-bit WAV or FLAC.")] = Container.WAV,
    rate: Annotated[int, typer.Option(help="Sample rate of the files: 44100, 48000, 88200 or 96000.")] = SAMPLE_RATE_HZ,
    floating: Annotated[bool, typer.Option("--float", help="32-bit float WAV, to the bit what was heard.")] = False,
    mix_only: Annotated[bool, typer.Option("--mix-only", help="Write the mix without the stems.")] = False,
    part: Annotated[int | None, typer.Option(help="One part of it; see backline take show.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier bounce in the folder.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(envvar=BUNDLE_VARIABLE, readable=False, help="Folder of the bundle that played.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="What runs the model; what did then if left out.")] = None,
) -> None:
    """Render a take exactly as it was heard: stems and mix."""
    options = TakeBounceOptions(container.value, rate, floating, mix_only, part, overwrite)
    folder = out or Path(find_take(name).name)
    with _progress() as advance:
        report = bounce_take(name, folder, bundle, options, advance, provider)
    _report(report, folder)


@take_app.command("delete")
def delete_command(name: TakeName) -> None:
    """Delete a take."""
    delete_take(name, time.time())
    typer.echo(f"{name}: deleted")


@contextmanager
def _progress() -> Iterator[Advance]:
    """Yield what to call with the share done; shown where there is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("playing   "), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("playing", total=1.0)
        yield lambda share: display.update(task, completed=share)


def _report(report: TakeBounceReport, folder: Path) -> None:
    """Say what was written, and on standard error what is not as it was heard."""
    how = "as it was heard, to the bit" if report.exact else "not all as it was heard"
    typer.echo(f"{folder}: {_clock(report.samples)} of take {report.take}, {how}")
    if report.ended:
        typer.echo(f"backline: it ends before the music did: {report.ended}", err=True)
    if report.differing:
        first = ", ".join(map(str, report.differing[:5]))
        typer.echo(
            f"backline: {len(report.differing)} chunks ({first} ...) do not come out the same to the bit here; "
            "use the machine, the provider and the onnxruntime that played them",
            err=True,
        )
    for track, count in report.clipped.items():
        typer.echo(f"backline: {track} was beyond full scale at {count} samples and is cut off there", err=True)


def _state(header: TakeHeader | None, playing: bool) -> str:
    if header is None:
        return "damaged"
    if header.broken:
        return f"ends early: {header.broken}"
    if header.counts is None:
        return "is being played" if playing else "was cut off"
    return "whole"


def _part_in_words(part: Part, index: TakeIndex) -> str:
    timeline_place = f"from song position {part.song_position / SAMPLE_RATE_HZ:.3f} s"
    return f"{_clock(part.samples)} at {_clock(part.start_sample)} of {_clock(index.whole.samples)}, {timeline_place}"


def _counted(values: Iterator[object]) -> str:
    """Return values with how often they come, the most frequent first."""
    counts = Counter(map(str, values))
    shown = [f"{value} ({count})" for value, count in counts.most_common(5)]
    return ", ".join(shown) + (", ..." if len(counts) > 5 else "")


def _clock(samples: int) -> str:
    """Return a length as `1:02:03.4`."""
    tenths = round(samples * 10 / SAMPLE_RATE_HZ)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"
