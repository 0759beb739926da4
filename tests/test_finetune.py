import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import export.finetune as tuning
from engine.bundle import Bundle, SamplingFacts
from engine.manifest import read_manifest
from export.__main__ import main as export_main
from export.codec import copied_codec
from export.denoiser import load_denoiser
from export.finetune import held_out_loss, main
from tests.bundle_support import TINY, traced_once, write_tiny_bundle
from tests.folders_support import grid, stems_of, write_stems
from tests.synthetic_latents import write_songs
from training.common.configs import load_config
from training.denoiser.config import DenoiserTraining
from training.denoiser.model import Denoiser
from training.denoiser.teacher import Teacher
from training.denoiser.train import load_material
from training.denoiser.validation import validation_batches

GRAPHS = ("encoder.onnx", "decoder.onnx", "denoiser.onnx")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "start")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of 8 seconds as a user's folder has them."""
    folder = tmp_path_factory.mktemp("mine")
    for name, bpm in (("One", 100.0), ("Two", 120.0)):
        write_stems(folder / name, stems_of(grid(bpm, 14), seconds=8.0))
        (folder / name / "tempo.txt").write_text(f"{bpm} 0")
    return folder


def with_sampling(bundle: Path, folder: Path, **sampling: float) -> Path:
    """Write `bundle` with other facts on how it is sampled; return its folder."""
    folder.mkdir()
    for name in GRAPHS:
        (folder / name).symlink_to(bundle / name)
    facts = json.loads((bundle / "manifest.json").read_text())
    facts["sampling"] |= sampling
    (folder / "manifest.json").write_text(json.dumps(facts))
    return folder


def words_of(bundle: Path, songs: Path, out: Path, *more: str) -> list[str]:
    paths = ["--bundle", str(bundle), "--songs", str(songs), "--out", str(out), "--config", str(TINY)]
    return [*paths, "--workers", "1", "--set", "budget.steps=12", "--set", "run.validate_every_steps=6", *more]


@pytest.fixture(scope="module")
def tuned(bundle: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "new"
    with traced_once():
        assert main(words_of(bundle, songs, out)) == 0
    return out


def test_one_command_makes_a_bundle_that_the_engine_loads(bundle: Path, tuned: Path) -> None:
    found, before = Bundle.load(tuned, threads=1), Bundle.load(bundle, threads=1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 192, 64), dtype=np.float32)
    conditions = rng.standard_normal((1, before.denoiser.input_shapes["conditions"][1], 64), dtype=np.float32)
    inputs = (x, np.array([400.0], np.float32), conditions, np.eye(10, dtype=np.float32)[:1])
    changed = np.abs(found.denoise(*inputs) - before.denoise(*inputs)).max()
    assert 0.0 < changed < 10.0
    assert (found.latent_mean == before.latent_mean).all()
    assert found.sampling == before.sampling


def test_the_codec_and_the_harmony_are_taken_over_unchanged(bundle: Path, tuned: Path) -> None:
    for name in GRAPHS[:2]:
        assert (tuned / name).read_bytes() == (bundle / name).read_bytes()
    assert (tuned / GRAPHS[2]).read_bytes() != (bundle / GRAPHS[2]).read_bytes()
    found, before = read_manifest(tuned), read_manifest(bundle)
    assert found.harmony is not None
    assert before.harmony is not None
    assert found.harmony.to_dict() == before.harmony.to_dict()
    assert found.training["codec"] == before.training["codec"]
    told = found.training["fine_tuned"]
    assert told["songs"] == 1
    assert told["from"] == dict(before.sha256)
    assert "before" in told["held_out"]


class Written:
    """What a bundle was to be written of, instead of one that is written."""

    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **options: Any) -> None:
        self.arguments, self.options = arguments, options


def test_what_was_done_is_not_done_again(
    bundle: Path, songs: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tuned.with_name("new.work")
    made = {path: path.stat().st_mtime_ns for path in (work / "latents").iterdir()}
    assert {path.name for path in made} == {"One.npz", "Two.npz", "statistics.npz"}
    written = Written()
    monkeypatch.setattr("training.folders.__main__.import_song", None)
    monkeypatch.setattr("training.encode_songs.encode_all", None)
    monkeypatch.setattr(tuning, "write_bundle", written)
    step = load_denoiser(work / "run" / "last.pt")[1]["step"]
    assert main(words_of(bundle, songs, tmp_path / "again", "--work", str(work))) == 0
    assert {path: path.stat().st_mtime_ns for path in (work / "latents").iterdir()} == made
    assert load_denoiser(work / "run" / "last.pt")[1]["step"] == step == 12
    assert written.arguments[0] == tmp_path / "again"


def test_an_interruption_leaves_no_bundle_and_says_how_to_go_on(
    bundle: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "train", interrupted)
    out = tmp_path / "new"
    assert main(words_of(bundle, songs, out)) == 130
    assert not out.exists()
    assert "new.work" in capsys.readouterr().err


def test_what_cannot_be_gone_on_from_is_refused_before_any_work(
    bundle: Path, songs: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words_of(bundle, songs, tuned)) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(words_of(tuned, songs, tmp_path / "a", "--work", str(tuned.with_name("new.work")))) == 2
    assert "another bundle" in capsys.readouterr().err
    assert main(words_of(tmp_path, songs, tmp_path / "b")) == 2
    assert "manifest.json" in capsys.readouterr().err
    plain = with_sampling(bundle, tmp_path / "plain", guidance_scale=1.0)
    assert main(words_of(plain, songs, tmp_path / "c", "--distil", "1")) == 2
    assert "leave out --distil" in capsys.readouterr().err
    assert main(words_of(bundle, songs, tmp_path / "d", "--distil", "0")) == 2
    assert "must be above 0" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain"]


def test_guidance_in_the_weights_is_taken_out_before_a_loss_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config(TINY, DenoiserTraining)
    plain = Denoiser(config.model)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    write_songs(tmp_path, 4, 96)
    batches = validation_batches(load_material(tmp_path).held_out, config.data, 2)

    class Distilled(Denoiser):
        """A denoiser that says in one pass what `plain` says with guidance 2 in two."""

        def forward(self, x: Tensor, timestep: Tensor, conditions: Tensor, style: Tensor) -> Tensor:
            return Teacher(plain, 2.0, mixed=False).guided(x, timestep, conditions, style)

    distilled = Distilled(plain.config)
    wanted = held_out_loss(plain, batches)
    assert abs(held_out_loss(distilled, batches) - wanted) > 1e-3
    assert held_out_loss(distilled, batches, distilled_scale=2.0) == pytest.approx(wanted, rel=1e-5)


def test_a_distilled_bundle_is_gone_on_from_and_its_guidance_costs_two_passes_again(
    bundle: Path, songs: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled = with_sampling(bundle, tmp_path / "distilled", guidance_scale=2.0, distilled_guidance_scale=2.0)
    written = Written()
    monkeypatch.setattr(tuning, "write_bundle", written)
    work = tuned.with_name("new.work")
    assert main(words_of(distilled, songs, tmp_path / "a", "--work", str(work))) == 0
    sampling = written.arguments[5]
    assert sampling == SamplingFacts(steps=6, guidance_scale=2.0)


def test_guidance_is_distilled_again_on_demand(
    bundle: Path, songs: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written()
    monkeypatch.setattr(tuning, "write_bundle", written)
    monkeypatch.setattr(tuning, "DISTIL_CONFIG", TINY)
    work = tuned.with_name("new.work")
    assert main(words_of(bundle, songs, tmp_path / "a", "--work", str(work), "--distil", "0.01")) == 0
    sampling, told = written.arguments[5:7]
    assert sampling == SamplingFacts(steps=6, guidance_scale=1.5, distilled_guidance_scale=1.5)
    assert told["denoiser"]["config"]["distillation"] == {"guidance_scale": 1.5, "steps": 0, "substeps": 8}
    learned, again = (load_denoiser(work / run / "best.pt")[0].state_dict() for run in ("run", "distilled"))
    assert any((learned[name] != again[name]).any() for name in learned)


def test_export_takes_codec_harmony_and_sampling_from_a_bundle(
    bundle: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written()
    monkeypatch.setattr("export.__main__.write_bundle", written)
    checkpoint = tuned.with_name("new.work") / "run" / "best.pt"
    words = ["export", "--denoiser", str(checkpoint), "--guidance", "3", "--out", str(tmp_path / "b"), "--codec-from"]
    monkeypatch.setattr("sys.argv", [*words, str(bundle)])
    assert export_main() == 0
    _, codec, _, _, _, sampling, _ = written.arguments
    assert codec == copied_codec(bundle, read_manifest(bundle))
    assert sampling == SamplingFacts(steps=6, guidance_scale=3.0)
    assert written.options["harmony"] is not None
    monkeypatch.setattr("sys.argv", [*words, str(tmp_path / "none")])
    assert export_main() == 2
