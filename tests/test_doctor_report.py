"""The doctor's words: a table, JSON, one line that sums up, and the exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from bridge.doctor import command
from bridge.doctor.finding import Figures, Finding, Request, Verdict
from bridge.doctor.report import as_json, conclusion, safe_settings, show


def way(provider_reaction_seconds: float, feasible: bool = True) -> Figures:
    return {
        "steps": 2,
        "guidance": 1.0,
        "window_frames": 256,
        "threads": 2,
        "p50_seconds": 0.2,
        "p95_seconds": 0.25,
        "chunk_frames": 8,
        "real_time_factor": 0.54,
        "reaction_seconds": provider_reaction_seconds,
        "feasible": feasible,
        "safe": feasible,
    }


DEVICE: Figures = {
    "name": "Card [hw:0]",
    "host_api": "ALSA",
    "outputs": 2,
    "inputs": 1,
    "rate_hz": 48_000,
    "default_output": True,
    "default_input": False,
}
FINE = (
    Finding("sound devices", Verdict.OK, "1 of 1 can play [here]", figures={"devices": [DEVICE]}),
    Finding("speed on cpu", Verdict.OK, "fine", figures={"provider": "cpu", "safe": way(0.58), "ways": [way(0.58)]}),
    Finding("speed on cuda", Verdict.OK, "fine", figures={"provider": "cuda", "safe": way(0.3), "ways": []}),
)
BAD = Finding("OSC over UDP", Verdict.BAD, "port 9140 is held", "end the program that holds it")


def shown(*findings: Finding) -> str:
    console = Console(file=io.StringIO(), width=140)
    with console.capture() as capture:
        show(findings, console)
    return capture.get()


def test_the_table_shows_findings_devices_and_ways() -> None:
    text = shown(*FINE, BAD)
    for words in ("1 of 1 can play [here]", "Card [hw:0]", "48000", "output", "54%", "250", "580", "X BAD", "end the"):
        assert words in text


def test_the_soonest_provider_is_recommended() -> None:
    safe = safe_settings(FINE)
    assert safe is not None
    assert safe["provider"] == "cuda"
    assert conclusion(FINE) == (
        "Safe here, on cuda: 2 steps, guidance 1.0, window 256 frames, chunk 8 frames. backline serve finds that by "
        "itself; to insist: --steps 2 --guidance 1 --chunk 8 --threads 2 --provider cuda. All is well."
    )


def test_what_is_bad_is_to_be_changed_first() -> None:
    assert conclusion((BAD,)) == (
        "No setting is known to be safe here. To be changed first: OSC over UDP: end the program that holds it."
    )


def test_json_holds_all_of_it() -> None:
    answer = json.loads(as_json((*FINE, BAD)))
    assert answer["verdict"] == "bad"
    assert answer["safe"]["provider"] == "cuda"
    assert answer["findings"][0]["figures"]["devices"][0]["name"] == "Card [hw:0]"
    assert len(answer["findings"]) == 4


@pytest.mark.parametrize(("findings", "code"), [(FINE, 0), ((*FINE, BAD), 1)])
def test_the_exit_code_says_whether_anything_is_bad(
    findings: tuple[Finding, ...], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Request] = []

    def run(request: Request, tell: object) -> tuple[Finding, ...]:
        asked.append(request)
        return findings

    monkeypatch.setattr(command, "run_checks", run)
    app = typer.Typer()
    app.command()(command.doctor)
    words = ["--device", "Card", "--bundle", str(tmp_path), "--seconds", "2", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code
    assert json.loads(result.stdout)["verdict"] == ("bad" if code else "ok")
    assert asked == [Request(bundle=tmp_path, device="Card", seconds=2.0)]
