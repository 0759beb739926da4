import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import export.write as writing
from engine.bundle import Bundle, SamplingFacts
from engine.manifest import read_manifest
from export import restore
from export.codec import CodecExport, codec_export, load_codec
from export.denoiser import denoiser_plan, example_inputs, load_denoiser
from export.graphs import GraphPlan, round_weights
from export.parity import Parity, ParityError
from export.write import write_bundle
from tests.bundle_support import FACTORY, traced_once
from tests.harmony_support import rule_tables
from tests.synthetic_latents import write_songs
from training.codec import partials_stage, sound_stage
from training.codec.config import CodecTrainingConfig
from training.codec.decoder import Decoder, DecoderConfig
from training.codec.encoder import Encoder, EncoderConfig
from training.common.checkpoint import load_checkpoint, save_checkpoint
from training.common.configs import config_from_table, load_config
from training.common.devices import Processes
from training.denoiser.config import DenoiserTraining
from training.denoiser.state import averaged_denoiser
from training.denoiser.train import load_material, train

CONFIGS = Path(__file__).parents[1] / "configs"


def small_codec() -> CodecExport:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(token_width=8, heads=2, width=16, blocks=1))
    decoder = Decoder(DecoderConfig(slow_width=16, slow_blocks=1, fast_width=16, fast_blocks=1))
    return codec_export(encoder, decoder, {"step": 3})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny denoiser trained for a few steps."""
    directory = tmp_path_factory.mktemp("training")
    write_songs(directory / "latents", 4, 80)
    config = load_config(CONFIGS / "denoiser_tiny.toml", DenoiserTraining, ["budget.steps=8"])
    alone = Processes(0, 1, torch.device("cpu"))
    train(config, load_material(directory / "latents"), directory / "run", alone, show=False)
    return directory / "run" / "best.pt"


@pytest.fixture(scope="module")
def written(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Parity, ...]]:
    network, training, payload = load_denoiser(checkpoint)
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    mean, std = payload["latent_mean"].numpy(), payload["latent_std"].numpy()
    facts = SamplingFacts(steps=6)
    plan = denoiser_plan(network)
    told = {"denoiser": training}
    with traced_once():
        parities = write_bundle(out, small_codec(), plan, mean, std, facts, told, lambda _: None, rule_tables())
    return out, parities


def test_a_bundle_is_loaded_by_the_engine_and_agrees_with_torch(
    written: tuple[Path, tuple[Parity, ...]], checkpoint: Path
) -> None:
    out, parities = written
    assert {parity.graph for parity in parities} == {"encoder.onnx", "decoder.onnx", "denoiser.onnx"}
    assert max(parity.error for parity in parities) < 1e-4
    bundle = Bundle.load(out, threads=1)
    assert bundle.sampling.steps == 6
    assert bundle.harmony is not None
    assert bundle.harmony.tables.states == rule_tables().states
    assert bundle.latent_mean == pytest.approx(0.5)
    assert bundle.latent_std == pytest.approx(2.0)
    network, _ = averaged_denoiser(checkpoint)
    round_weights(network)
    inputs = example_inputs(1, 13)
    found = bundle.denoise(*(tensor.numpy() for tensor in inputs))
    expected = network(*inputs).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_training_starts_again_from_a_bundle(
    written: tuple[Path, tuple[Parity, ...]],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = tmp_path / "start.pt"
    monkeypatch.setattr(sys, "argv", ["restore", str(written[0]), "--out", str(start)])
    assert restore.main() == 0
    assert "--start-from" in capsys.readouterr().out
    restored, payload = averaged_denoiser(start)
    original, _ = averaged_denoiser(checkpoint)
    round_weights(original)
    for (name, found), expected in zip(restored.named_parameters(), original.parameters(), strict=True):
        assert torch.equal(found, expected), name
    assert payload["latent_std"].numpy() == pytest.approx(2.0)
    monkeypatch.setattr(sys, "argv", ["restore", str(tmp_path), "--out", str(start)])
    assert restore.main() == 2


def test_a_bundles_codec_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "codec"
    monkeypatch.setattr(sys, "argv", ["restore", str(FACTORY), "--codec", "--out", str(run)])
    assert restore.main() == 0
    assert f"run={run}" in capsys.readouterr().out
    codec = load_codec(run / sound_stage.CHECKPOINT)
    told = read_manifest(FACTORY).training["codec"]["config"]
    config = dataclasses.replace(config_from_table(told, CodecTrainingConfig), run=run)
    head = load_checkpoint(run / partials_stage.CHECKPOINT, "codec-partials")["head"]
    louder = {name: weight + 0.01 for name, weight in head.items()}
    save_checkpoint(run / partials_stage.CHECKPOINT, {"kind": "codec-partials", "head": louder})
    training = sound_stage.SoundTraining(config)
    training.load(load_checkpoint(run / sound_stage.CHECKPOINT, "codec-sound"))
    for decoder in (training.decoder, training.average.network):  # the sound stage goes on with the newer head
        assert torch.equal(decoder.partials.state_dict()["layers.0.weight"], louder["layers.0.weight"])
    features, curves, state = codec.encoder.examples(1, 5)
    latents = codec.encoder.network(features, curves, state)[0]
    found = Bundle.load(FACTORY).run_encoder(features.numpy(), curves.numpy(), {"state": state.numpy()})[0]
    assert np.abs(found - latents.detach().numpy()).max() < 1e-4 * np.abs(found).max()


def test_a_graph_that_differs_leaves_the_earlier_bundle(
    written: tuple[Path, tuple[Parity, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = written[0]
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def writes_nothing(plan: GraphPlan, folder: Path) -> Path:
        (folder / plan.name).write_bytes(b"wrong")
        return folder / plan.name

    monkeypatch.setattr(writing, "export_graph", writes_nothing)
    monkeypatch.setattr(writing, "measure_parity", lambda plan, path: (Parity(plan.name, "y", 0.5, 1, 2),))
    codec, zeros = small_codec(), np.zeros(64, dtype=np.float32)
    with pytest.raises(ParityError, match=r"encoder\.onnx"):
        write_bundle(out, codec, codec.encoder, zeros, zeros + 1.0, SamplingFacts(), {}, say=lambda _: None)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    read_manifest(out)
