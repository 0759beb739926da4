"""The table of speeds: stages, shares, verdict and ratio."""

import numpy as np
import pytest

from benchmarks.speed import SECONDS, STAGES, Run, measure, speed_table, synthetic_vocal
from engine.accompany import Timings
from engine.geometry import STEMS, WINDOW_SAMPLES


def run(name: str, steps: int, factor: float) -> Run:
    """Return a run in which each stage takes a quarter of `factor` times the vocal's length."""
    return Run(name, steps, dict.fromkeys(STAGES, factor * SECONDS / 4))


def test_the_table_gives_factor_share_verdict_and_ratio() -> None:
    rows = speed_table([run("onnxruntime", 4, 0.03), run("onnxruntime", 8, 0.07), run("torch eager", 4, 0.12)]).rows
    assert [row[7] for row in rows] == ["0.0300", "0.0700", "0.1200"]
    assert [row[-1] for row in rows] == ["met", "**short**", ""]
    assert [row[8] for row in rows] == ["1", "1", "4.0"]
    assert rows[0][2] == "0.357 s (25 %)"


def test_the_first_run_warms_up_and_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = iter([100.0, 3.0, 1.0, 2.0])

    def accompany(*_: object, timings: Timings) -> dict[str, np.ndarray]:
        duration = next(durations)
        timings.seconds.update(encode=duration, denoise=duration, decode=duration)
        return {stem: np.zeros((2, WINDOW_SAMPLES), np.float32) for stem in STEMS}

    monkeypatch.setattr("benchmarks.speed.accompany", accompany)
    found = measure("onnxruntime", object(), 4, repeats=3)
    assert found.seconds["decode"] == 2.0
    assert 0.0 < found.seconds["mix"] < 1.0


def test_the_vocal_is_one_window_long_and_does_not_clip() -> None:
    vocal = synthetic_vocal()
    assert vocal.shape == (2, WINDOW_SAMPLES)
    assert 0.1 < np.abs(vocal).max() <= 1.0
