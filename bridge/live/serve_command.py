"""`backline serve`: from words on the command line to a running server, its view, and its end."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bridge.bounce_command import BUNDLE_VARIABLE
from bridge.clock import SystemClock
from bridge.errors import UserError
from bridge.live.line_log import LineLog
from bridge.live.serve import Server
from bridge.live.serve_options import NULL_DEVICE, ServeOptions
from bridge.live.view import LiveView, TerminalView
from bridge.midi.control_map import ControlMap, load_control_map
from bridge.midi.listener import MidiRoles
from bridge.osc.contract import DEFAULT_PORT
from bridge.sound.output import (
    BLOCK_SAMPLES,
    DEVICE_LATENCY_SECONDS,
    MOST_DEVICE_LATENCY_SECONDS,
    LatencyTerms,
    ring_seconds_for,
)
from engine.geometry import SAMPLE_RATE_HZ
from presets.store import load_preset

Text = str | None
WAIT_SECONDS = 0.2
HERE = f"127.0.0.1:{DEFAULT_PORT}"


def serve(
    preset: Annotated[Text, typer.Option(help="Preset to begin with; see backline preset list.")] = None,
    device: Annotated[Text, typer.Option(help=f"Sound card, by part of its name; '{NULL_DEVICE}' for none.")] = None,
    input_device: Annotated[Text, typer.Option(help="Take the vocal from this sound card instead of OSC.")] = None,
    listen: Annotated[
        str, typer.Option(help="Address to listen on, with or without a port.")
    ] = f"127.0.0.1:{DEFAULT_PORT}",
    tcp: Annotated[bool, typer.Option("--tcp", help="Listen on TCP too, at the same port.")] = False,
    allow: Annotated[list[str] | None, typer.Option(help="A peer or network that may talk; may be repeated.")] = None,
    oscquery: Annotated[int, typer.Option(help="HTTP port of the OSCQuery description; 0 for none.")] = 0,
    output: Annotated[Path | None, typer.Option(readable=False, help="Write what is heard to this WAV file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
    take: Annotated[str, typer.Option(help="Name of the take that is kept; the time's if left out.")] = "",
    no_take: Annotated[bool, typer.Option("--no-take", help="Keep no take.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(envvar=BUNDLE_VARIABLE, readable=False, help="Folder of a bundle.")
    ] = None,
    provider: Annotated[str, typer.Option(help="What runs the model: cpu, cuda, coreml, directml.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of the model; 0 measures.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, max=800, help="Steps of the sampler; else as measured.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, max=20, help="Guidance; else as measured.")] = None,
    chunk: Annotated[int | None, typer.Option(min=4, max=64, help="Latent frames a chunk (4 = 186 ms).")] = None,
    reaction: Annotated[float, typer.Option(min=50, help="Wanted reaction to a sung note, in ms.")] = 600.0,
    block: Annotated[int, typer.Option(min=16, max=8192, help="Samples of the sound card's block.")] = BLOCK_SAMPLES,
    ring: Annotated[
        float | None,
        typer.Option(min=10, max=1000, help="Sound that waits for the card, in ms; else 50, or more for its driver."),
    ] = None,
    device_latency: Annotated[
        float,
        typer.Option(
            min=5,
            max=1e3 * MOST_DEVICE_LATENCY_SECONDS,
            help="Sound that the driver is asked to hold, in ms: more for a machine that stands still at times.",
        ),
    ] = 1e3 * DEVICE_LATENCY_SECONDS,
    offset: Annotated[float, typer.Option(min=-1000, max=1000, help="Play that many ms later than the host.")] = 0.0,
    vocal_gain: Annotated[
        float, typer.Option(min=-40, max=40, help="Lift a quiet vocal for the band's ears, in dB.")
    ] = 0.0,
    wait: Annotated[bool, typer.Option("--wait", help="Be silent until /backline/generate/start.")] = False,
    midi_clock: Annotated[Text, typer.Option(help="MIDI port whose clock is followed.")] = None,
    midi_chords: Annotated[Text, typer.Option(help="MIDI port whose notes are chords.")] = None,
    midi_map: Annotated[list[str] | None, typer.Option(help="Control map, NAME or NAME@PORT; repeatable.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Follow Ableton Link.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Lines instead of the view, for a service.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0, help="End by itself after so many seconds.")] = None,
) -> None:
    """Play live: a DAW sends the vocal and its transport over OSC and hears the accompaniment from the sound card."""
    address, port = _address(listen)
    if chunk is not None and chunk % 4:
        raise UserError(f"--chunk {chunk}: give a multiple of 4")
    options = ServeOptions(
        bundle=bundle,
        provider=provider,
        threads=(threads,) if threads else (),
        preset=load_preset(preset) if preset else None,
        device=device,
        input_device=input_device,
        listen=address,
        port=port,
        tcp=tcp,
        oscquery_port=oscquery or None,
        allow=tuple(allow or ()),
        output=output,
        overwrite=overwrite,
        take=None if no_take else take,
        block_samples=block,
        ring_seconds=ring_seconds_for(device_latency / 1e3) if ring is None else ring / 1e3,
        device_latency_seconds=device_latency / 1e3,
        reaction_seconds=reaction / 1e3,
        steps=steps,
        guidance=guidance,
        chunk_frames=chunk,
        offset_seconds=offset / 1e3,
        vocal_gain_db=vocal_gain,
        waits=wait,
        midi=MidiRoles(midi_clock, midi_chords, tuple(_control_map(words) for words in midi_map or ())),
        link=link,
    )
    clock = SystemClock()
    server = Server(options, _say, clock)
    server.open()
    try:
        _say_ready(server)
        view = LiveView(clock, lambda: server.reporter.status("view"), _display(headless, options, clock))
        view.start()
        try:
            _wait(seconds)
        finally:
            view.stop()
    except KeyboardInterrupt:  # SIGINT, or SIGTERM: the usual way to end
        _say("ending")
    finally:
        server.close()
    _say_end(server)


def _wait(seconds: float | None) -> None:
    """Wait for the end."""
    never = threading.Event()
    left = seconds
    while left is None or left > 0:
        never.wait(WAIT_SECONDS if left is None else min(left, WAIT_SECONDS))
        left = None if left is None else left - WAIT_SECONDS


def _display(headless: bool, options: ServeOptions, clock: SystemClock) -> TerminalView | LineLog:
    if headless or not sys.stdout.isatty():
        return LineLog(_say, clock.now())
    return TerminalView(Console(), options.ring_seconds)


def _say_ready(server: Server) -> None:
    """Print what was reached and what was chosen."""
    chosen, session = server.settings, server.session
    _say(f"chosen: {chosen.speed.way}, {chosen.speed.threads} thread(s), chunks of {chosen.chunk_frames} frames")
    if not chosen.feasible:
        _say("warning: this machine cannot keep that up; give --steps 1, or close other programs")
    facts = session.out.facts()
    _say(f"sound: {facts.name} at {facts.rate_hz} Hz, blocks of {facts.block_samples}; {_latency(facts.latency)}")
    reaction = server.reporter.status("ready").reaction_vocal
    _say(
        f"reaction to a sung note {1e3 * reaction.total:.0f} ms: hearing {1e3 * reaction.hearing:.0f}, waiting at most "
        f"{1e3 * reaction.waiting:.0f}, making {1e3 * reaction.making:.0f}, guard {1e3 * reaction.guard:.0f}, "
        f"sounding {1e3 * reaction.sounding:.0f}"
    )
    if server.take is not None:
        _say(f"take: {server.take.folder}")
    _say(f"ready: OSC on {server.address}")


def _latency(terms: LatencyTerms) -> str:
    return (
        f"latency {1e3 * terms.total_seconds:.1f} ms: ring {1e3 * terms.ring_seconds:.1f}, resampler "
        f"{1e3 * terms.resampler_seconds:.1f}, block {1e3 * terms.block_seconds:.1f}, "
        f"device {1e3 * terms.device_seconds:.1f}"
    )


def _say_end(server: Server) -> None:
    pace, session = server.session.generator.pace, server.session
    played = {level.value: count / SAMPLE_RATE_HZ for level, count in session.player.counts.items() if count}
    _say(f"chunks: {pace.on_time} on time, {pace.late} late; played: " + _seconds(played))
    if server.take is not None:
        _say(f"the take can be rendered: backline take bounce {server.take.folder.name}")


def _seconds(played: dict[str, float]) -> str:
    return ", ".join(f"{seconds:.1f} s {level}" for level, seconds in played.items()) or "nothing"


def _say(words: str) -> None:
    typer.echo(words)
    sys.stdout.flush()


def _control_map(words: str) -> ControlMap:
    """Return the control map of `NAME` or `NAME@PORT`."""
    name, _, port = words.partition("@")
    control_map = load_control_map(name)
    control_map = control_map.model_copy(update={"port": port}) if port else control_map
    if not control_map.port:
        raise UserError(f"--midi-map {words}: it names no port; give {name}@PORT (see backline midi list)")
    return control_map


def _address(text: str) -> tuple[str, int]:
    """Return address and port of `127.0.0.1:9140`, `127.0.0.1`, `:9140` or `[::1]:9140`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(DEFAULT_PORT)
    if not port.isdecimal() or not 0 <= int(port) < 65_536:
        raise UserError(f"--listen {text}: the port is a number from 0 to 65535, such as 127.0.0.1:{DEFAULT_PORT}")
    return host.strip("[]") or "127.0.0.1", int(port)
