from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import codec, oobleck
from engine.accompany import CROSSFADE_SAMPLES, accompany
from engine.bundle import AudioBundle, Bundle, BundleError, CodecFacts, SamplingFacts, write_manifest
from engine.codec import Encoded, settling_frames
from engine.features import FeatureState, features_of
from engine.geometry import LATENT_HOP_SAMPLES, STEMS
from engine.runtime import Array, GraphError
from engine.timeline import Timeline
from engine.wish import Kept, Wish
from tests.test_engine_bundle import Shape, edit, write_bundle

SAMPLING = SamplingFacts(1, 1.0, 16, 8, 4)
WISH = Wish(steps=1, guidance_scale=1.0)
PLAN = Timeline.constant(120)
PIECE_FRAMES = 4
# Each graph is a convolution over three frames either way, a bend, and then one at its other rate.
DEPTH_FRAMES = 3


def random_array(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def write_codec_graph(path: Path, source: str, target: str, channels: tuple[int, int], nodes: list[Any]) -> None:
    """Write a graph of `nodes` over the weights `across` (mixes frames), `change` (changes the rate) and `bias`."""
    across = 0.3 * random_array(64, 64, 2 * DEPTH_FRAMES + 1, seed=2)
    down = 0.02 * random_array(64, 2, LATENT_HOP_SAMPLES, seed=3)
    weights = {"across": across, "change": down, "bias": random_array(64, seed=4)}
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    named: list[tuple[str, Shape]] = [
        (name, ["batch", size, f"{name}_length"]) for name, size in zip((source, target), channels, strict=True)
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named]
    graph = helper.make_graph(nodes, path.stem, values[:1], values[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose codec reads three frames either way."""
    folder = write_bundle(tmp_path / "bundle")
    hop: dict[str, Any] = {"strides": [LATENT_HOP_SAMPLES]}
    pads: dict[str, Any] = {"pads": [DEPTH_FRAMES, DEPTH_FRAMES]}
    bend = helper.make_node("Tanh", ["mixed"], ["bent"])
    down = helper.make_node("Conv", ["audio", "change", "bias"], ["mixed"], **hop)
    mix_last = helper.make_node("Conv", ["bent", "across"], ["latents"], **pads)
    write_codec_graph(folder / "encoder.onnx", "audio", "latents", (2, 64), [down, bend, mix_last])
    mix_first = helper.make_node("Conv", ["latents", "across", "bias"], ["mixed"], **pads)
    up = helper.make_node("ConvTranspose", ["bent", "change"], ["audio"], **hop)
    write_codec_graph(folder / "decoder.onnx", "latents", "audio", (64, 2), [mix_first, bend, up])
    facts = CodecFacts("oobleck", DEPTH_FRAMES, DEPTH_FRAMES)
    write_manifest(folder, facts, np.zeros(64), np.ones(64), SAMPLING)
    return folder


@pytest.fixture
def bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AudioBundle:
    monkeypatch.setattr("engine.oobleck.PIECE_FRAMES", PIECE_FRAMES)
    bundle = Bundle.load(folder, threads=1)
    assert isinstance(bundle, AudioBundle)
    return bundle


@dataclass
class Recorded:
    """Graphs that tell how many frames each call had."""

    inner: AudioBundle
    frames: list[int]
    encoder_margin_frames: int = DEPTH_FRAMES + 1
    decoder_margin_frames: int = DEPTH_FRAMES + 1

    def latents_of(self, audio: Array) -> Array:
        self.frames.append(audio.shape[2] // LATENT_HOP_SAMPLES)
        return self.inner.latents_of(audio)

    def audio_of(self, latents: Array) -> Array:
        self.frames.append(latents.shape[0] * latents.shape[2])
        return self.inner.audio_of(latents)


@pytest.mark.parametrize("samples", [1, 2048, 5 * 2048 + 1, 8 * 2048, 30 * 2048 - 7])
def test_a_pieced_signal_equals_the_whole(bundle: AudioBundle, samples: int) -> None:
    audio = random_array(2, samples)
    frames = -(-samples // LATENT_HOP_SAMPLES)
    padded = np.pad(audio, ((0, 0), (0, frames * LATENT_HOP_SAMPLES - samples)))
    encoded = codec.encode(bundle, audio)
    np.testing.assert_allclose(encoded.latents, bundle.latents_of(padded[None])[0], atol=2e-5)
    heard = features_of(audio)
    np.testing.assert_array_equal(encoded.pitch, heard.pitch)
    np.testing.assert_array_equal(encoded.curves, heard.curves)
    latents, shares = random_array(3, 64, frames), list[float]()
    decoded = codec.decode(bundle, latents, samples, shares.append)
    assert decoded.shape == (3, 2, samples)
    np.testing.assert_allclose(decoded, bundle.audio_of(latents)[:, :, :samples], atol=2e-5)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_margin_short_of_the_receptive_field_is_heard(bundle: AudioBundle) -> None:
    short = Recorded(bundle, [], DEPTH_FRAMES - 1, DEPTH_FRAMES - 1)
    audio, latents = random_array(2, 20 * LATENT_HOP_SAMPLES), random_array(1, 64, 20)
    assert np.abs(oobleck.encode_audio(short, audio) - bundle.latents_of(audio[None])[0]).max() > 0.01
    assert np.abs(oobleck.decode_audio(short, latents, audio.shape[1]) - bundle.audio_of(latents)).max() > 0.01


def test_no_call_takes_more_than_a_piece_of_one_stem_and_its_margins(bundle: AudioBundle) -> None:
    recorded = Recorded(bundle, [])
    oobleck.encode_audio(recorded, random_array(2, 50 * LATENT_HOP_SAMPLES))
    oobleck.decode_audio(recorded, random_array(3, 64, 50), 50 * LATENT_HOP_SAMPLES)
    assert len(recorded.frames) == 13 * 4
    assert max(recorded.frames) == PIECE_FRAMES + 2 * (DEPTH_FRAMES + 1)


def test_streaming_is_refused_with_a_remedy(bundle: AudioBundle) -> None:
    words = r"'oobleck' takes whole signals and cannot stream; bounce with this bundle"
    with pytest.raises(GraphError, match=words):
        codec.EncoderState.initial(bundle)
    with pytest.raises(GraphError, match=words):
        codec.DecoderState.initial(bundle, 3)
    begun = codec.EncoderState(FeatureState.initial(), {})
    with pytest.raises(GraphError, match=words):
        codec.encode_step(bundle, random_array(2, 10 * LATENT_HOP_SAMPLES), begun)
    overlap, pending = np.zeros((1, 2, 1536), np.float32), np.zeros((1, 2, 0), np.float32)
    with pytest.raises(GraphError, match=words):
        codec.decode_step(bundle, random_array(1, 64, 4), codec.DecoderState({}, 0, overlap, pending))


def test_another_kind_of_codec_and_another_codecs_graphs_are_refused(folder: Path) -> None:
    edit(folder, lambda facts: facts["codec"].update(kind="spectral"))
    with pytest.raises(BundleError, match=r"encoder\.onnx: takes \['audio'\].*expected \['curves', 'features'\]"):
        Bundle.load(folder)
    edit(folder, lambda facts: facts["codec"].update(kind="wax"))
    with pytest.raises(BundleError, match=r"manifest\.json: .*kind 'wax', but .* knows spectral, oobleck; export"):
        Bundle.load(folder)


@pytest.mark.parametrize("samples", [1, 12 * 2048 + 5, 40 * 2048])
def test_stems_are_as_long_as_the_vocal(bundle: AudioBundle, samples: int) -> None:
    stems = accompany(bundle, random_array(2, samples), PLAN, WISH)
    assert tuple(stems) == STEMS
    for audio in stems.values():
        assert audio.shape == (2, samples)
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() > 0.01


def test_a_range_made_anew_leaves_the_rest_and_is_coded_with_what_follows_it(
    bundle: AudioBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, start, end = 80, 40 * LATENT_HOP_SAMPLES, 44 * LATENT_HOP_SAMPLES
    heard: list[int] = []

    def encode(graphs: AudioBundle, audio: Array) -> Encoded:
        heard.append(audio.shape[1] // LATENT_HOP_SAMPLES)
        return plain(graphs, audio)

    plain = codec.encode
    monkeypatch.setattr("engine.codec.encode", encode)
    old = {stem: random_array(2, frames * LATENT_HOP_SAMPLES, seed=row) for row, stem in enumerate(STEMS)}
    new = accompany(bundle, random_array(2, frames * LATENT_HOP_SAMPLES), PLAN, WISH, Kept(old, start, end))
    for stem in STEMS:
        np.testing.assert_array_equal(new[stem][:, :start], old[stem][:, :start])
        np.testing.assert_array_equal(new[stem][:, end:], old[stem][:, end:])
        inner = slice(start + CROSSFADE_SAMPLES, end - CROSSFADE_SAMPLES)
        assert np.abs(new[stem][:, inner] - old[stem][:, inner]).max() > 0.01
    window_end = 52  # the window of 16 frames starts 4 before the range
    assert settling_frames(bundle) == 2 * (DEPTH_FRAMES + 1)
    assert heard == [window_end + settling_frames(bundle)] * 4


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_the_margins_cover_what_the_real_networks_read_before_and_after() -> None:
    pytest.importorskip("diffusers")
    import torch

    from export.oobleck import OobleckDecoder, OobleckEncoder, oobleck_export
    from tests.test_export_oobleck import tiny

    autoencoder = tiny(encoder_hidden_size=8, decoder_channels=4)
    facts = oobleck_export(autoencoder, {}).facts
    frames, at = 28, 13
    audio = torch.randn(1, 2, frames * LATENT_HOP_SAMPLES, requires_grad=True)
    OobleckEncoder(autoencoder.encoder)(audio)[..., at].sum().backward()
    latents = torch.randn(1, 64, frames, requires_grad=True)
    sound = OobleckDecoder(autoencoder.decoder)(latents)
    sound[..., at * LATENT_HOP_SAMPLES : (at + 1) * LATENT_HOP_SAMPLES].sum().backward()
    assert audio.grad is not None
    assert latents.grad is not None
    samples = audio.grad.abs().sum(dim=(0, 1)).nonzero() // LATENT_HOP_SAMPLES
    columns = latents.grad.abs().sum(dim=(0, 1)).nonzero()
    declared = (facts.encoder_lookahead_frames, facts.decoder_lookahead_frames)
    for read, lookahead in zip((samples, columns), declared, strict=True):
        margin = oobleck.margin_frames(lookahead)
        assert at - margin <= int(read.min()) < at < int(read.max()) <= at + margin
        assert int(read.min()) > 0
        assert int(read.max()) < frames - 1
