import itertools
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from training.common.checkpoint import CheckpointError, load_checkpoint, remove_partial_files, save_checkpoint
from training.common.configs import config_from_table, config_to_table, load_config
from training.common.ema import ExponentialMovingAverage
from training.common.progress import clock_text
from training.common.schedules import Budget, EarlyStopping, annealed_rate


@dataclass(frozen=True, slots=True)
class Inner:
    width: int = 8
    shares: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    rate: float = 0.1
    steps: int | None = None
    folder: Path = Path("a")
    inner: Inner = field(default_factory=Inner)


def test_config_is_read_with_defaults_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "x"\nrate = 2\n[inner]\nshares = [1, 0.5]\n')
    config = load_config(path, Outer, ["inner.width=16", "folder=/tmp/b", "steps=3"])
    assert config == Outer("x", 2.0, 3, Path("/tmp/b"), Inner(16, (1.0, 0.5)))


def test_config_goes_through_a_table_and_back() -> None:
    config = Outer("x", 0.5, None, Path("b/c"), Inner(4, (0.25, 0.75)))
    assert config_from_table(config_to_table(config), Outer) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nwrong = 1', "unknown key 'wrong'"),
        ('name = "x"\n[inner]\nwidth = "wide"', "inner: width is 'wide'; expected int"),
        ('name = "x"\ninner = 3', "inner is 3; expected a table"),
        ("rate = 1.0", "name"),
        ("name = ", "not valid TOML"),
    ],
)
def test_config_that_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_config(path, Outer)
    assert str(path) in str(caught.value)


def test_override_without_a_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "x"')
    with pytest.raises(ValueError, match="no '='"):
        load_config(path, Outer, ["rate"])


def test_checkpoint_comes_back_and_is_checked_by_kind(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "last.pt"
    save_checkpoint(path, {"kind": "a", "weights": torch.arange(3.0), "step": 7})
    payload = load_checkpoint(path, "a")
    assert payload["step"] == 7
    assert torch.equal(payload["weights"], torch.arange(3.0))
    with pytest.raises(CheckpointError, match="is of kind 'a'; expected 'b'"):
        load_checkpoint(path, "b")


def test_missing_and_truncated_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt")
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read"):
        load_checkpoint(path)


def test_failed_write_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def breaks_half_way(payload: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", breaks_half_way)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


WRITER = """
import sys, torch
from pathlib import Path
from training.common.checkpoint import save_checkpoint
step = 0
while True:
    step += 1
    save_checkpoint(Path(sys.argv[1]), {"step": step, "weights": torch.full((2_000_000,), float(step))})
    print(step, flush=True)
"""


def test_kill_in_the_middle_of_writing_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        deadline = time.monotonic() + 20.0
        while not list(tmp_path.glob(".*.partial")) and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    payload = load_checkpoint(path)
    assert payload["step"] >= 1
    assert torch.equal(payload["weights"], torch.full((2_000_000,), float(payload["step"])))
    remove_partial_files(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_average_follows_the_weights() -> None:
    network = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(network.weight)
    average = ExponentialMovingAverage(network, 0.5)
    nn.init.ones_(network.weight)
    average.update(network)  # decay min(0.5, 1 / 10)
    assert torch.allclose(average.network.weight, torch.full((2, 2), 0.9))
    for _ in range(20):
        average.update(network)
    assert torch.allclose(average.network.weight, torch.ones(2, 2), atol=1e-4)


def test_average_continues_from_its_state() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    one = ExponentialMovingAverage(network, 0.9)
    two = ExponentialMovingAverage(nn.Linear(3, 3), 0.9)
    two.load_state_dict(one.state_dict())
    nn.init.ones_(network.weight)
    one.update(network)
    two.update(network)
    assert torch.equal(one.network.weight, two.network.weight)


def test_budget_is_of_one_kind() -> None:
    assert Budget(steps=10).fraction(5, 1e9) == 0.5
    assert Budget(minutes=2.0).fraction(10**9, 30.0) == 0.25
    assert Budget(steps=10).seconds_left(5, 60.0) == pytest.approx(60.0)
    assert Budget(steps=10).seconds_left(0, 0.0) is None
    assert Budget(minutes=2.0).seconds_left(0, 30.0) == 90.0
    for wrong in ({}, {"steps": 3, "minutes": 1.0}, {"minutes": -1.0}):
        with pytest.raises(ValueError, match="budget"):
            Budget(**wrong)  # type: ignore[arg-type]


def test_rate_warms_up_and_anneals() -> None:
    rates = [annealed_rate(1.0, step, step / 100, warm_up_steps=9) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.02)


def test_stopping_counts_measurements_without_a_better_loss() -> None:
    stopping = EarlyStopping(2)
    for loss, stops in ((1.0, False), (0.9, False), (0.95, False), (0.92, True)):
        stopping = stopping.after(loss)
        assert stopping.should_stop is stops
    assert stopping.best == 0.9
    assert not EarlyStopping(0, math.inf, 100).should_stop


def test_times_are_shown_as_clocks() -> None:
    assert clock_text(3725.4) == "1:02:05"
    assert clock_text(None) == "?"
