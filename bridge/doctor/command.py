"""`backline doctor`: from words on the command line to findings and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bridge.bounce import factory_bundle
from bridge.bounce_command import BUNDLE_VARIABLE
from bridge.doctor.finding import Request, Verdict, worst
from bridge.doctor.report import as_json, show
from bridge.doctor.runner import run_checks

EXIT_BAD = 1


def doctor(
    device: Annotated[str | None, typer.Option(help="Sound device, by part of its name; 'null' for none.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(envvar=BUNDLE_VARIABLE, readable=False, help="Folder of another model bundle.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to play silence and count underruns.")] = 5.0,
    loopback: Annotated[
        str | None,
        typer.Option(help="Input on which the device comes back (a cable, a monitor): clicks measure its latency."),
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine, measure it, and say which settings are safe to play live with."""
    request = Request(bundle=bundle or factory_bundle(), device=device, loopback=loopback, seconds=seconds)
    console = Console(stderr=True)
    with console.status("looking") as status:
        findings = run_checks(request, tell=lambda name: status.update(f"looking at: {name}"))
    if json_wanted:
        typer.echo(as_json(findings))
    else:
        show(findings, Console())
    if worst(findings) is Verdict.BAD:
        raise typer.Exit(EXIT_BAD)
