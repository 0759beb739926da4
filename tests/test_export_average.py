"""The mean of two trainings' weights: of denoisers and of chord readers, and of nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch

from export.average import averaged, main
from training.common.checkpoint import load_checkpoint, save_checkpoint


def denoiser(value: float, size: int = 3) -> dict[str, Any]:
    weights = {"layer.weight": torch.full((size,), value), "count": torch.tensor(7)}
    return {"kind": "denoiser", "step": int(value), "average": {"network": weights, "updates": 4}}


def test_weights_lie_between_the_two_and_all_else_is_the_new_ones() -> None:
    mixed = averaged(denoiser(8.0), denoiser(4.0), 0.75)
    torch.testing.assert_close(mixed["average"]["network"]["layer.weight"], torch.full((3,), 7.0))
    assert mixed["average"]["network"]["count"] == 7
    assert mixed["step"] == 8
    same = averaged(denoiser(8.0), denoiser(4.0), 1.0)
    assert torch.equal(same["average"]["network"]["layer.weight"], torch.full((3,), 8.0))
    readers = [{"kind": "chords", "network": {"weight": torch.tensor([value])}} for value in (1.0, 3.0)]
    assert float(averaged(readers[0], readers[1], 0.5)["network"]["weight"]) == 2.0


@pytest.mark.parametrize(
    ("old", "share", "words"),
    [
        (denoiser(1.0), 1.5, "out of range"),
        (denoiser(1.0, size=4), 0.5, "different sizes"),
        ({"kind": "chords", "network": {}}, 0.5, "two denoisers"),
    ],
)
def test_what_does_not_fit_is_refused(old: dict[str, Any], share: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        averaged(denoiser(2.0), old, share)


def test_from_files_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old, out = (tmp_path / name for name in ("new.pt", "old.pt", "out.pt"))
    save_checkpoint(new, denoiser(2.0))
    save_checkpoint(old, denoiser(1.0))
    monkeypatch.setattr("sys.argv", ["average", str(new), str(old), "--share", "0.25", "--out", str(out)])
    assert main() == 0
    torch.testing.assert_close(load_checkpoint(out)["average"]["network"]["layer.weight"], torch.full((3,), 1.25))
    monkeypatch.setattr("sys.argv", ["average", str(new), str(tmp_path / "none.pt"), "--out", str(tmp_path / "no.pt")])
    assert main() == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "no.pt").exists()
