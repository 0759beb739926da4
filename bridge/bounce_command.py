"""`backline bounce`: from words on the command line to settings, and from a session to a few lines of report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.bounce import bounce as make_bounce
from bridge.bounce_settings import BarRange, BounceSettings, settings_of
from bridge.errors import UserError
from bridge.output_folder import SESSION_FILE
from bridge.session import Session, read_session
from bridge.tempo_map import read_tempo_map
from engine.geometry import SAMPLE_RATE_HZ, STEMS
from engine.harmony import Key
from engine.styles import style_index
from engine.timeline import Timeline, check_time_signature
from presets.store import PLAIN, Preset, load_preset

AUTO = "auto"
BUNDLE_VARIABLE = "BACKLINE_BUNDLE"
MAX_FIRST_BEAT_SECONDS = 600.0
BESIDE_SESSION = {"vocal", "out", "bundle", "overwrite", "dry", "session"}
STAGES = {"encode": "listening", "denoise": "composing", "decode": "playing", "mix": "mixing"}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Container(StrEnum):
    """The file formats that can be written, 24 bit each."""

    WAV = "wav"
    FLAC = "flac"


class OutputRate(StrEnum):
    """The sample rates that can be written."""

    KEEP = "keep"
    CD = "44100"
    VIDEO = "48000"


def bounce(
    context: typer.Context,
    out: Annotated[Path, typer.Option("-o", "--out", readable=False, help="Folder to make.")],
    vocal: Annotated[
        Path | None, typer.Argument(readable=False, help="The vocal: WAV, FLAC, AIFF, Ogg or MP3.")
    ] = None,
    tempo: Annotated[str | None, typer.Option(help="Quarter notes a minute, 30 to 300, or 'auto'.")] = None,
    tempo_map: Annotated[
        Path | None, typer.Option(readable=False, help="MIDI file with the song's tempos and time signatures.")
    ] = None,
    time_signature: Annotated[str | None, typer.Option(help="Such as 3/4; 4/4 if nothing says otherwise.")] = None,
    first_beat: Annotated[float | None, typer.Option(help="Seconds from the file's start to bar 1.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as 'A minor'; heard from the vocal if left out.")] = None,
    style: Annotated[str | None, typer.Option(help="Such as funk; see the README for all.")] = None,
    stems: Annotated[str | None, typer.Option(help="Stems to make, such as drums,bass; all if left out.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler: more is slower and finer.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely the vocal and the style are followed.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another take.")] = 0,
    from_bar: Annotated[int | None, typer.Option(help="First bar to make anew (with --keep), from 1.")] = None,
    to_bar: Annotated[int | None, typer.Option(help="Last bar to make anew (with --keep).")] = None,
    keep: Annotated[
        Path | None, typer.Option(readable=False, help="Folder of an earlier bounce; what is not made anew stays.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Preset's name, or a .toml file; see backline preset list.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Write the stems without gains and effects too.")] = False,
    container: Annotated[Container, typer.Option("--format", help="24-bit WAV or FLAC.")] = Container.WAV,
    rate: Annotated[
        OutputRate, typer.Option(help="Sample rate of the files; keep: the vocal's own.")
    ] = OutputRate.KEEP,
    bundle: Annotated[
        Path | None, typer.Option(envvar=BUNDLE_VARIABLE, readable=False, help="Folder of another model bundle.")
    ] = None,
    provider: Annotated[str, typer.Option(help="What runs the model: cpu, cuda, coreml, directml ...")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier bounce in the folder.")] = False,
    session: Annotated[
        Path | None, typer.Option(readable=False, help="session.json of a bounce to make again, bit for bit.")
    ] = None,
) -> None:
    """Make drums, bass and harmony for a vocal: stems, mix and a session to repeat it."""
    if session is None:
        expected = None
        chosen = _chosen(preset, style, steps, guidance)
        settings = BounceSettings(
            vocal=_wanted_vocal(vocal),
            out=out,
            timeline=_timeline(tempo, tempo_map, time_signature, first_beat),
            time_signature=_signature(time_signature) or (4, 4),
            preset=chosen,
            preset_name=preset,
            style=chosen.style,
            steps=chosen.steps,
            guidance=chosen.guidance,
            key=_meant(Key.parse, key) if key is not None else None,
            stems=_stems(stems),
            seed=seed,
            bars=_meant(BarRange, from_bar, to_bar),
            keep=keep,
            dry=dry,
            file_format=container.value,
            rate_hz=None if rate is OutputRate.KEEP else int(rate.value),
            bundle=bundle,
            provider=provider,
            overwrite=overwrite,
        )
    else:
        _check_session_alone(context)
        expected = read_session(session)
        settings = settings_of(expected, out, vocal, bundle, overwrite, dry)
    with _progress() as progress:
        done = make_bounce(settings, progress, expected)
    _report(done, settings.out, expected)


@dataclass(frozen=True, slots=True)
class _Bars:
    """One progress bar a stage, made when the stage begins."""

    display: Progress
    tasks: dict[str, TaskID]

    def __call__(self, stage: str, share: float) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.display.add_task(STAGES.get(stage, stage), total=1.0)
        self.display.update(self.tasks[stage], completed=share)


@contextmanager
def _progress() -> Iterator[_Bars]:
    """Yield what to call with a stage and its done share; shown where there is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        yield _Bars(display, {})


def _report(session: Session, out: Path, expected: Session | None) -> None:
    """Say what was made, and on standard error what to know about it."""
    for warning in session.warnings:
        typer.echo(f"backline: warning: {warning}", err=True)
    tempo = session.timeline.tempos[0][1]
    if session.tempo_confidence is not None:
        seconds = session.timeline.first_beat_sample / SAMPLE_RATE_HZ
        typer.echo(
            f"tempo {tempo:g} bpm, {session.tempo_confidence:.0%} sure; bar 1 at {seconds:.3f} s "
            f"(if another beat is the first of the bar: --tempo {tempo:g} --first-beat SECONDS)"
        )
    typer.echo(f"{out}: {', '.join(session.files)}, {SESSION_FILE}")
    if expected is not None:
        names = [name for name, digest in expected.files.items() if session.files.get(name) != digest]
        if names:
            typer.echo(f"backline: warning: not the same bits as in the session: {', '.join(names)}", err=True)
        else:
            typer.echo("the same as in the session, bit for bit")


def _check_session_alone(context: typer.Context) -> None:
    """Refuse options that a session brings along."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in BESIDE_SESSION and source is not None and source.name == "COMMANDLINE":
            option = "--format" if name == "container" else "--" + name.replace("_", "-")
            raise UserError(f"{option} cannot be changed, --session brings it along; leave one of them out")


def _wanted_vocal(vocal: Path | None) -> Path:
    if vocal is None:
        raise UserError("no vocal is named; write backline bounce VOCAL --tempo 92 -o OUT, or name a --session")
    return vocal


def _timeline(
    tempo: str | None, tempo_map: Path | None, time_signature: str | None, first_beat: float | None
) -> Timeline | None:
    """Return the timeline that was asked for, or None to estimate it."""
    signature = _signature(time_signature)
    if first_beat is not None and not -MAX_FIRST_BEAT_SECONDS <= first_beat <= MAX_FIRST_BEAT_SECONDS:
        raise UserError(f"--first-beat {first_beat:g} is not possible; give seconds from the file's start")
    first_beat_sample = round((first_beat or 0.0) * SAMPLE_RATE_HZ)
    if tempo_map is not None:
        if tempo is not None:
            raise UserError("--tempo and --tempo-map both say the tempo; leave one of them out")
        return read_tempo_map(tempo_map, signature, first_beat_sample)
    if tempo is None:
        raise UserError("no tempo is given; add --tempo 92, --tempo auto or --tempo-map SONG.mid")
    if tempo.lower() == AUTO:
        if first_beat is not None:
            raise UserError("--tempo auto finds the first beat itself; leave --first-beat out, or give the tempo")
        return None
    return _meant(Timeline.constant, _bpm(tempo), *(signature or (4, 4)), first_beat_sample)


def _bpm(tempo: str) -> float:
    try:
        return float(tempo)
    except ValueError as error:
        raise UserError(f"tempo {tempo!r} is not a number; give quarter notes a minute, 30 to 300, or auto") from error


def _signature(text: str | None) -> tuple[int, int] | None:
    """Return `3/4` as (3, 4)."""
    if text is None:
        return None
    top, slash, bottom = text.partition("/")
    if not (slash and top.strip().isdecimal() and bottom.strip().isdecimal()):
        raise UserError(f"time signature {text!r} is not possible; write it as 4/4, 3/4 or 6/8")
    signature = int(top), int(bottom)
    _meant(check_time_signature, *signature)
    return signature


def _stems(text: str | None) -> tuple[str, ...]:
    """Return `drums,bass` as a tuple in the stems' own order."""
    if text is None:
        return STEMS
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in STEMS]
    if unknown or not names:
        raise UserError(f"stem {(unknown or [text])[0]!r} is not known; expected one or more of: {','.join(STEMS)}")
    return tuple(stem for stem in STEMS if stem in names)


def _chosen(name: str | None, style: str | None, steps: int | None, guidance: float | None) -> Preset:
    """Return the preset, with what the call itself says in place of its own."""
    preset = PLAIN if name is None else load_preset(name)
    said = {"style": style, "steps": steps, "guidance": guidance}
    if style is not None:
        _meant(style_index, style)
    return preset.model_copy(update={key: value for key, value in said.items() if value is not None})


def _meant(function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
    """Return what `function` makes of a user's words; its complaint is the user's to mend."""
    try:
        return function(*arguments, **options)
    except ValueError as error:
        raise UserError(str(error)) from error
