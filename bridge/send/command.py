"""`backline send`: from words on the command line to a DAW's part, and from what came of it to a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from bridge.audio_files import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, audio_facts, read_stereo
from bridge.clock import SystemClock
from bridge.errors import UserError
from bridge.send.link import UdpLink, parse_destination
from bridge.send.network import BadNetwork
from bridge.send.player import PlacedVocal, Player, SendReport
from bridge.send.song import SongPart, host_blocks
from bridge.tempo_map import read_tempo_map
from engine.timeline import Timeline

LEAST_BLOCK_SAMPLES, MOST_BLOCK_SAMPLES = 16, 8_192
MOST_SPEED = 100.0


def send(
    vocal: Annotated[Path, typer.Argument(readable=False, help="The vocal: WAV, FLAC, AIFF, Ogg or MP3.")],
    tempo: Annotated[float | None, typer.Option(help="Quarter notes a minute, 30 to 300.")] = None,
    tempo_map: Annotated[
        Path | None, typer.Option(readable=False, help="MIDI file with the song's tempos and time signatures.")
    ] = None,
    time_signature: Annotated[str | None, typer.Option(help="Such as 3/4; 4/4 if nothing says otherwise.")] = None,
    first_beat: Annotated[float, typer.Option(help="Seconds from the file's start to bar 1.")] = 0.0,
    to: Annotated[str, typer.Option(help="Where Backline listens.")] = "127.0.0.1:9140",
    block: Annotated[
        int, typer.Option(min=LEAST_BLOCK_SAMPLES, max=MOST_BLOCK_SAMPLES, help="Samples a block, as in a DAW.")
    ] = 512,
    rate: Annotated[
        int | None,
        typer.Option(min=LOWEST_RATE_HZ, max=HIGHEST_RATE_HZ, help="The DAW's sample rate; the file's if left out."),
    ] = None,
    loop: Annotated[str | None, typer.Option(help="Beats to repeat, such as 16:32, until --seconds or Ctrl-C.")] = None,
    from_beat: Annotated[float, typer.Option(help="Beat to start at.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(min=0.0, help="How much to play; the vocal if left out.")] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="Locate back and go on when the vocal ends.")] = False,
    loss: Annotated[float, typer.Option(min=0.0, max=100.0, help="Percent of datagrams to lose.")] = 0.0,
    reorder: Annotated[float, typer.Option(min=0.0, max=100.0, help="Percent of datagrams to send late.")] = 0.0,
    duplicate: Annotated[float, typer.Option(min=0.0, max=100.0, help="Percent of datagrams to send twice.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed loses other datagrams.")] = 0,
    speed: Annotated[float, typer.Option(help="2 sends twice as fast as it sounds.")] = 1.0,
) -> None:
    """Play the DAW's part: send a vocal and its transport over OSC, block by block, in time."""
    if not 0.0 < speed <= MOST_SPEED:
        raise UserError(f"--speed {speed:g} is not possible; give more than 0, at most {MOST_SPEED:g}")
    timeline = _timeline(tempo, tempo_map, time_signature)
    placed, rate_hz = _read(vocal, rate, first_beat)
    with _users_mistake():
        part = SongPart(timeline, rate_hz, block, placed.end_sample, from_beat, _beats(loop), repeat, seconds)
    link = UdpLink(*parse_destination(to))
    network = _network(loss, reorder, duplicate, seed)
    player = Player(placed, link, SystemClock(), network)
    try:
        with _progress(timeline) as progress:
            player.play(host_blocks(part), speed, progress)
    except KeyboardInterrupt:
        typer.echo("stopped")
    finally:
        link.close()
    _tell(player.report, to)


def _timeline(tempo: float | None, tempo_map: Path | None, time_signature: str | None) -> Timeline:
    """Return the song's timeline; its beat 0 is the host's sample 0."""
    signature = None if time_signature is None else _signature(time_signature)
    if tempo_map is not None:
        if tempo is not None:
            raise UserError("--tempo and --tempo-map both say the tempo; leave one of them out")
        return read_tempo_map(tempo_map, signature)
    if tempo is None:
        raise UserError("no tempo is given; add --tempo 92 or --tempo-map SONG.mid")
    with _users_mistake():
        return Timeline.constant(tempo, *(signature or (4, 4)))


def _signature(text: str) -> tuple[int, int]:
    """Return `3/4` as (3, 4)."""
    top, _, bottom = text.partition("/")
    try:
        return int(top), int(bottom)
    except ValueError as error:
        raise UserError(f"time signature {text!r} is not possible; write it as 4/4, 3/4 or 6/8") from error


def _beats(text: str | None) -> tuple[float, float] | None:
    """Return `16:32` as (16.0, 32.0)."""
    if text is None:
        return None
    start, _, end = text.partition(":")
    try:
        return float(start), float(end)
    except ValueError as error:
        raise UserError(f"--loop {text!r} is not possible; write two beats as 16:32") from error


def _read(path: Path, rate_hz: int | None, first_beat_seconds: float) -> tuple[PlacedVocal, int]:
    """Return the vocal at the host's rate, bar 1 at the host's sample 0, and that rate."""
    facts = audio_facts(path)
    rate = rate_hz or facts.rate_hz
    if not abs(first_beat_seconds) <= 600.0:
        raise UserError(f"--first-beat {first_beat_seconds:g} is not possible; give seconds from the file's start")
    audio = read_stereo(path, rate)
    return PlacedVocal(audio[:1] if facts.channels == 1 else audio, -round(first_beat_seconds * rate)), rate


def _network(loss: float, reorder: float, duplicate: float, seed: int) -> BadNetwork[bytes] | None:
    """Return the bad network that was asked for (in percent), if any."""
    if not (loss or reorder or duplicate):
        return None
    return BadNetwork(loss / 100.0, reorder / 100.0, duplicate / 100.0, np.random.default_rng(seed))


@contextmanager
def _users_mistake() -> Iterator[None]:
    """Turn a complaint about a value into one that the user can mend."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


@contextmanager
def _progress(timeline: Timeline) -> Iterator[Callable[[SendReport], None]]:
    """Yield what to tell the progress to: one line, shown where there is a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("waiting", total=None)
        yield lambda report: display.update(task, description=in_one_line(report, timeline))


def in_one_line(report: SendReport, timeline: Timeline) -> str:
    """Return where the host is and what was sent so far."""
    position = report.position
    place = "before the first block"
    if position is not None:
        bar = timeline.bar_at_beat(position.ppq)
        place = f"bar {bar + 1}, beat {position.ppq - timeline.beat_at_bar(bar) + 1:.1f}"
    minutes, seconds = divmod(int(report.host_seconds), 60)
    errors = f", {report.replies.error_count} errors" if report.replies.error_count else ""
    refused = f", {report.refused} refused" if report.refused else ""
    return f"{minutes}:{seconds:02d}  {place}  {report.packets} vocal packets{errors}{refused}"


def _tell(report: SendReport, to: str) -> None:
    """Say what was sent, what became of it and what came back."""
    typer.echo(
        f"sent to {to}: {report.host_seconds:.2f} s of the song as {report.snapshots} snapshots and "
        f"{report.packets} vocal packets, {report.sent_bytes / 1e6:.2f} MB in {report.datagrams} datagrams"
    )
    if report.network is not None:
        network = report.network
        typer.echo(
            f"the bad network lost {network.lost}, reordered {network.reordered} and doubled {network.duplicated} "
            f"of {network.taken} datagrams"
        )
    for address, count in report.replies.messages:
        typer.echo(f"came back: {address} ({count})")
    for text, count in report.replies.errors:
        typer.echo(f"backline: warning: {count} x {text}", err=True)
    if report.replies.unreadable:
        typer.echo(f"backline: warning: {report.replies.unreadable} answers are no OSC", err=True)
    if report.late_blocks:
        typer.echo(f"backline: warning: {report.late_blocks} blocks left late; this machine is busy", err=True)
    if report.refused:
        typer.echo(
            f"backline: warning: {report.refused} datagrams were refused: nobody listens at {to}; "
            "start backline serve, or name another address with --to",
            err=True,
        )
