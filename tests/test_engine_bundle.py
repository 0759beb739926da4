import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import runtime
from engine.bundle import Bundle, BundleError, CodecFacts, SamplingFacts, write_manifest
from engine.conditions import CONDITION_CHANNELS
from engine.features import FEATURE_CHANNELS
from engine.runtime import Graph, GraphError, ProviderError
from engine.styles import STYLES
from tests.harmony_support import rule_tables

Shape = list[int | str]
CODEC = CodecFacts("spectral", 2, 1, {"width": np.int64(8)})


def write_graph(
    path: Path, inputs: dict[str, Shape], outputs: dict[str, Shape], nodes: list[Any], weights: dict[str, float]
) -> None:
    """Write a graph whose weights are float16 scalars, each followed by the cast that a bundle's weights have."""
    stored = [numpy_helper.from_array(np.array(value, np.float16), name) for name, value in weights.items()]
    casts = [helper.make_node("Cast", [name], [f"{name}_32"], to=TensorProto.FLOAT) for name in weights]

    def values(shapes: dict[str, Shape]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph([*casts, *nodes], path.stem, values(inputs), values(outputs), stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_bundle(folder: Path, condition_channels: int = CONDITION_CHANNELS) -> Path:
    """Write a bundle whose graphs scale their input: the encoder by 0.5, the decoder by 2, the denoiser by 0.25."""
    folder.mkdir()
    state: Shape = ["batch", 3]
    counted = helper.make_node("Add", ["state", "one_32"], ["state_out"])
    write_graph(
        folder / "encoder.onnx",
        {
            "features": ["batch", FEATURE_CHANNELS, "frames"],
            "curves": ["batch", 2, "frames"],
            "state": state,
        },
        {"latents": ["batch", FEATURE_CHANNELS, "frames"], "state_out": state},
        [helper.make_node("Mul", ["features", "half_32"], ["latents"]), counted],
        {"half": 0.5, "one": 1.0},
    )
    write_graph(
        folder / "decoder.onnx",
        {"latents": ["batch", 64, "frames"], "noise": [2, 2, "hops", "bins"], "state": state},
        {"spectrum": ["batch", 64, "frames"], "state_out": state},
        [helper.make_node("Mul", ["latents", "two_32"], ["spectrum"]), counted],
        {"two": 2.0, "one": 1.0},
    )
    write_graph(
        folder / "denoiser.onnx",
        {
            "x": ["batch", 192, "frames"],
            "timestep": ["batch"],
            "conditions": ["batch", condition_channels, "frames"],
            "style": ["batch", len(STYLES)],
        },
        {"v": ["batch", 192, "frames"]},
        [helper.make_node("Mul", ["x", "quarter_32"], ["v"])],
        {"quarter": 0.25},
    )
    facts = {"steps": np.int64(12), "loss": np.float32(0.5)}
    write_manifest(folder, CODEC, np.zeros(64), np.full(64, 2.0), SamplingFacts(steps=8), facts)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def random_array(*shape: int) -> runtime.Array:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def test_a_bundle_comes_back_as_written(folder: Path) -> None:
    bundle = Bundle.load(folder, threads=1)
    assert bundle.manifest.codec == CodecFacts("spectral", 2, 1, {"width": 8})
    assert bundle.sampling == SamplingFacts(steps=8)
    assert bundle.manifest.training == {"steps": 12, "loss": 0.5}
    np.testing.assert_array_equal(bundle.latent_std, np.full(64, 2.0, np.float32))
    np.testing.assert_array_equal(bundle.latent_mean, np.zeros(64, np.float32))


def test_a_bundle_has_harmony_tables_where_they_were_given(folder: Path) -> None:
    assert Bundle.load(folder, threads=1).harmony is None
    write_manifest(folder, CODEC, np.zeros(64), np.ones(64), harmony=rule_tables())
    harmony = Bundle.load(folder, threads=1).harmony
    assert harmony is not None
    assert harmony.tables.to_dict() == rule_tables().to_dict()
    edit(folder, lambda facts: facts["harmony"].update(first=facts["harmony"]["first"][:1]))
    with pytest.raises(BundleError, match=r"manifest\.json: .*harmony first has shape"):
        Bundle.load(folder)


def test_its_graphs_run_for_any_batch_and_length(folder: Path) -> None:
    bundle = Bundle.load(folder, threads=1, offline=False)
    for batch, frames in ((1, 4), (2, 16)):
        x = random_array(batch, 192, frames)
        others = np.zeros(batch, np.float32), random_array(batch, CONDITION_CHANNELS, frames)
        v = bundle.denoise(x, *others, random_array(batch, len(STYLES)))
        np.testing.assert_array_equal(v, x * np.float32(0.25))


def test_states_start_at_zero_and_are_handed_on(folder: Path) -> None:
    bundle = Bundle.load(folder, threads=1)
    features, curves = random_array(2, FEATURE_CHANNELS, 3), random_array(2, 2, 3)
    latents, states = bundle.run_encoder(features, curves, bundle.encoder_states(2))
    np.testing.assert_array_equal(latents, features * np.float32(0.5))
    _, states = bundle.run_encoder(features, curves, states)
    assert list(states) == ["state"]
    np.testing.assert_array_equal(states["state"], np.full((2, 3), 2.0))
    spectrum, states = bundle.run_decoder(random_array(1, 64, 2), random_array(2, 2, 8, 5), bundle.decoder_states(1))
    np.testing.assert_array_equal(spectrum, random_array(1, 64, 2) * 2)
    np.testing.assert_array_equal(states["state"], np.ones((1, 3)))


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "denoiser.onnx"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: missing; export or download"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "denoiser.onnx"])
def test_one_changed_byte_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: damaged \(sha256 .*export or download"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda facts: facts.update(format_version=2), "format version 2, but this Backline reads 1"),
        (lambda facts: facts.pop("format_version"), "format version None"),
        (lambda facts: facts["geometry"].update(latent_hop_samples=1024), "latent_hop_samples is 1024, expected 2048"),
        (lambda facts: facts["conditions"].update(key=[112, 12, 1]), r"conditions key is \[112, 12, 1\]"),
        (lambda facts: facts["conditions"].update(mood=[338, 1, 1]), "conditions mood is"),
        (lambda facts: facts["schedule"].update(timesteps=1000), "schedule timesteps is 1000, expected 800"),
        (lambda facts: facts.update(styles=["pop"]), r"styles is \['pop'\]"),
        (lambda facts: facts.pop("latent_std"), "field missing or wrong"),
        (lambda facts: facts.update(latent_std=[0.0] * 64), "above 0"),
        (lambda facts: facts.update(latent_mean=[0.0] * 63), "latent_mean has shape"),
        (lambda facts: facts["codec"].pop("kind"), "kind"),
        (lambda facts: facts["sampling"].update(steps_a_second=3), "steps_a_second"),
        (lambda facts: facts["sampling"].update(window_frames=1022), "window_frames 1022"),
        (lambda facts: facts["sampling"].update(stem_gains_db={"flute": 1.0}), "flute"),
        (lambda facts: facts["sampling"].update(stem_gains_db={"drums": 40.0}), "40.0 dB"),
        (lambda facts: facts["sampling"].update(stem_gains_db={"drums": float("nan")}), "nan dB"),
        (lambda facts: facts["files"].pop("denoiser.onnx"), "denoiser.onnx"),
    ],
)
def test_a_manifest_of_another_version_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(folder)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json: not .*JSON"):
        Bundle.load(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: no such file; give the folder"):
        Bundle.load(tmp_path / "nowhere")


def test_a_denoiser_with_other_conditions_is_refused_although_its_checksum_is_right(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "other", condition_channels=100)
    with pytest.raises(BundleError, match="conditions has 100 channels, expected 344"):
        Bundle.load(folder)


def test_graphs_in_one_anothers_place_are_refused(folder: Path) -> None:
    (folder / "decoder.onnx").write_bytes((folder / "denoiser.onnx").read_bytes())
    write_manifest(folder, CODEC, np.zeros(64), np.ones(64))
    with pytest.raises(BundleError, match=r"decoder\.onnx: takes .*expected \['latents', 'noise'\] and \['spectrum'\]"):
        Bundle.load(folder)


def test_a_manifest_needs_all_graphs_and_sound_statistics(folder: Path) -> None:
    with pytest.raises(ValueError, match="latent_std must be above 0"):
        write_manifest(folder, CODEC, np.zeros(64), np.zeros(64))
    (folder / "decoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"decoder\.onnx: missing; export all of"):
        write_manifest(folder, CODEC, np.zeros(64), np.ones(64))


def test_a_provider_that_is_unknown_or_not_built_in_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderError, match=r"'abacus' is not available.*cpu"):
        Bundle.load(folder, providers=("abacus",))
    monkeypatch.setattr(runtime, "available_providers", lambda: ("cpu",))
    with pytest.raises(ProviderError, match="'cuda' is not available; this onnxruntime offers: cpu"):
        Bundle.load(folder, providers=("cuda",))


def test_a_provider_whose_device_is_missing_is_refused_in_one_quiet_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class FallenBackSession:
        """What onnxruntime gives when a device is missing: a session on the CPU, and lines on the terminal."""

        def __init__(self, *_: object, **__: object) -> None:
            print("Failed to load a library")

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr("engine.runtime.onnxruntime.InferenceSession", FallenBackSession)
    monkeypatch.setattr("engine.runtime.available_providers", lambda: ("cpu", "coreml"))
    with pytest.raises(ProviderError, match=r"CoreMLExecutionProvider did not start.*use provider 'cpu'"):
        Graph(folder / "denoiser.onnx", ("coreml",))
    assert capfd.readouterr() == ("", "")


def test_a_call_with_wrong_names_or_shapes_says_so(folder: Path, tmp_path: Path) -> None:
    graph = Graph(folder / "denoiser.onnx", threads=1)
    with pytest.raises(GraphError, match=r"takes inputs .*'timestep'"):
        graph.run({"x": random_array(1, 192, 4)})
    others = {"conditions": random_array(1, CONDITION_CHANNELS, 4), "style": random_array(1, len(STYLES))}
    with pytest.raises(GraphError, match=r"did not run with shapes.*\(1, 191, 4\)"):
        graph.run({"x": random_array(1, 191, 4), "timestep": np.zeros(1, np.float32), **others})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"broken\.onnx does not load"):
        Graph(broken)
