"""The runs of the benchmark of live settings: how they are written, what they see, and what a row says."""

from dataclasses import asdict

import pytest

from benchmarks.live_quality import Line, Run, quality_table


def line(run: Run, song: str, other: float) -> Line:
    figures = {"drums_ms": [4.0, 6.0], "bass": 0.5, "agreement": 0.4, "other": other}
    return {"run": asdict(run), "song": song, **figures}


def test_a_run_is_written_as_what_differs_and_read_back() -> None:
    run = Run(steps=2, guidance=1.0, chords="given")
    assert run.name == "steps=2, guidance=1.0, chords=given"
    assert Run.parse(run.name.replace(", ", ",")) == run
    assert Run.parse("").name == "(reference)"


@pytest.mark.parametrize("text", ["stepps=2", "chords=some", "vocal=", "chunk=80", "past=-4"])
def test_a_run_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not known|a future of"):
        Run.parse(text)


def test_a_chunk_sees_past_and_backup_of_the_run_and_the_vocal_up_to_its_lead() -> None:
    run = Run(past=32, future=48, chunk=16, lead=8)
    plan = run.plan(64)
    assert (plan.window_start, plan.window_frames, plan.end_frame) == (32, 80, 80)
    assert run.visible_end(plan) == 56
    assert run.visible_end(run.plan(0)) == 0


def test_a_row_tells_its_worst_loss_against_the_reference() -> None:
    short = Run(past=64)
    lines = [line(Run(), song, 0.8) for song in "abc"] + [line(short, song, 0.6) for song in "abc"]
    reference, row = quality_table(lines).rows
    assert reference[0] == "(reference)"
    assert row[:2] == ("past=64", "3")
    assert "25 % harmony on chord" in row
