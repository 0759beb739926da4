"""The command line: `backline bounce`, `backline preset`, and whatever else this installation offers.

Every mistake ends in one line on standard error and exit code 2; an interrupt in exit code 130; nothing in a traceback.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.bounce import factory_bundle
from bridge.bounce_command import BUNDLE_VARIABLE, bounce
from bridge.doctor.command import doctor
from bridge.errors import UserError
from bridge.evaluation.command import evaluate
from bridge.live.serve_command import serve
from bridge.live.take_command import take_app
from bridge.midi.command import midi_app
from bridge.send.command import send
from bridge.session import backline_version
from engine.manifest import BundleError, read_manifest
from engine.runtime import available_providers
from presets.chains import Effect
from presets.store import PresetError, load_preset, preset_files, user_folder

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Drums, bass and harmony for a sung vocal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
preset_app = typer.Typer(help="The presets: how an accompaniment is made and mixed.", no_args_is_help=True)
app.add_typer(preset_app, name="preset")
app.command()(bounce)
app.command()(evaluate)
app.command()(serve)
app.command()(doctor)
app.command()(send)
app.add_typer(take_app, name="take")
app.add_typer(midi_app, name="midi")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"backline {backline_version()}")
        raise typer.Exit


@app.callback()
def backline(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Drums, bass and harmony for a sung vocal."""


@preset_app.command("list")
def list_presets() -> None:
    """List the presets, the factory's and your own."""
    table = Table("preset", "style", "sound", box=None)
    for name in preset_files():
        try:
            preset = load_preset(name)
        except PresetError as error:
            typer.echo(f"backline: {error}", err=True)
            continue
        table.add_row(name, preset.style or "any", preset.description)
    Console().print(table)
    typer.echo(f"Your own presets: {user_folder()}")


@preset_app.command("show")
def show_preset(name: Annotated[str, typer.Argument(help="The preset's name, or the path of a .toml file.")]) -> None:
    """Show what a preset does."""
    preset = load_preset(name)
    typer.echo(f"{name}: {preset.title}\n{preset.description}")
    typer.echo(f"style {preset.style or 'any'}, steps {preset.steps or 'any'}, guidance {preset.guidance or 'any'}")
    for track in ("drums", "bass", "other", "vocal", "bus"):
        gain = "" if track == "bus" else f" {getattr(preset.gains_db, track):+.1f} dB"
        chain = ", ".join(_in_words(effect) for effect in preset.chains.of(track))
        typer.echo(f"{track}:{gain} {chain or 'no effects'}")


@app.command("info")
def show_bundle(
    bundle: Annotated[
        Path | None, typer.Argument(envvar=BUNDLE_VARIABLE, readable=False, help="Folder of a bundle; the factory one.")
    ] = None,
) -> None:
    """Check a model bundle and say what it is."""
    folder = bundle or factory_bundle()
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        raise UserError(str(error)) from error
    size_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    sampling = manifest.sampling
    typer.echo(f"{folder}: whole, {size_bytes / 1e6:.1f} MB, codec {manifest.codec.kind}")
    typer.echo(f"made for {sampling.steps} steps at guidance {sampling.guidance_scale:g}")
    typer.echo(f"this onnxruntime runs it with: {', '.join(available_providers())}")
    typer.echo(f"training: {json.dumps(manifest.training, indent=2)}")


def _in_words(effect: Effect) -> str:
    """Return an effect as `high-pass(cutoff_hz 80)`."""
    values = effect.model_dump(exclude={"effect"})
    return f"{effect.effect}({', '.join(f'{key} {value:g}' for key, value in values.items())})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: words after `backline`; None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = typer.main.get_command(app).main(args=words, prog_name="backline", standalone_mode=False)
    except (UserError, PresetError) as error:
        return _mistaken(str(error))
    except typer.TyperException as error:
        return _mistaken(error.format_message())
    except MemoryError:
        return _mistaken("not enough memory for a song of this length; bounce it in parts")
    except (KeyboardInterrupt, typer.Abort):
        print("backline: stopped; nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let a polite request to end clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def _mistaken(message: str) -> int:
    """Say what is wrong in one line and return the exit code for it."""
    line = " ".join(message.split())
    if not line:
        return EXIT_MISTAKE
    print(f"backline: {line}", file=sys.stderr)
    return EXIT_MISTAKE
