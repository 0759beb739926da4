"""`backline midi`: which ports and control maps there are, and teaching a map what a desk sends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.clock import SystemClock
from bridge.errors import UserError
from bridge.midi.control_map import control_map_files, load_control_map
from bridge.midi.learning import control_map_text, learnt
from bridge.midi.messages import CONTROL_CHANGE, NOTE_ON, MidiMessage
from bridge.midi.ports import MidiPorts, input_names

LOOK_SECONDS = 0.02
PORT_SECONDS = 3.0

midi_app = typer.Typer(help="MIDI: ports, control maps, and learning a desk's controls.", no_args_is_help=True)


@midi_app.command("list")
def list_command() -> None:
    """List the MIDI inputs and the control maps that there are."""
    try:
        names = input_names()
    except OSError as error:
        typer.echo(f"MIDI inputs: none can be had ({error})")
    else:
        typer.echo("MIDI inputs: " + (", ".join(names) or "none"))
    for name in control_map_files():
        control_map = load_control_map(name)
        typer.echo(f"{name}: {control_map.title}; {', '.join(control.name for control in control_map.control)}")


@midi_app.command("learn")
def learn_command(
    control_map: Annotated[str, typer.Argument(metavar="MAP", help="Control map, by name or as a .toml file.")],
    control: Annotated[str, typer.Argument(metavar="CONTROL", help="The control to bind; see backline midi list.")],
    out: Annotated[Path, typer.Option("-o", "--out", readable=False, help="The .toml file to write.")],
    port: Annotated[str | None, typer.Option(help="MIDI port, by part of its name; else the map's.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait for you.")] = 30.0,
) -> None:
    """Bind CONTROL to the fader, knob or button that is moved next."""
    taught = load_control_map(control_map)
    if out.exists() and not overwrite:
        raise UserError(f"{out} is there already; give --overwrite to replace it")
    wanted = port or taught.port
    if not wanted:
        raise UserError(f"{control_map} names no port; give --port with a part of its name (see backline midi list)")
    typer.echo(f"move {control} now")
    bound = learnt(taught, control, _next_message(wanted, seconds)).model_copy(update={"port": wanted})
    out.write_text(control_map_text(bound), encoding="utf-8")
    typer.echo(f"{out}: use it with backline serve --midi-map {out}")


def _next_message(port: str, seconds: float) -> MidiMessage:
    """Return the next movement on `port`.

    Raises:
        UserError: the port is not there, or nothing was moved in time.
    """
    clock = SystemClock()
    ports = MidiPorts(clock, (port,))
    ports.start()
    start = clock.now()
    try:
        while clock.now() - start < seconds:
            for message in ports.take():
                if message.kind in (CONTROL_CHANGE, NOTE_ON):
                    return message
            facts = ports.facts()[0]
            if facts.state != "open" and clock.now() - start > PORT_SECONDS:
                raise UserError(f"MIDI port {port!r}: {facts.reason}")
            clock.sleep(LOOK_SECONDS)
    finally:
        ports.stop()
    raise UserError(f"nothing was moved on {port!r} within {seconds:g} s; try again")
