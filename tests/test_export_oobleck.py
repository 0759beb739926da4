from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.geometry import LATENT_HOP_SAMPLES
from engine.runtime import Graph
from export.graphs import export_graph, round_weights
from export.oobleck import OobleckDecoder, OobleckEncoder, load_oobleck, oobleck_export
from export.parity import measure_parity, require

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")

diffusers = pytest.importorskip("diffusers")

SIZES = {"encoder_hidden_size": 128, "decoder_channels": 16, "channel_multiples": [1, 1, 1, 1, 1]}


def tiny(**changes: object) -> Any:
    torch.manual_seed(0)
    return diffusers.AutoencoderOobleck(**{**SIZES, **changes})


def test_an_autoencoder_in_a_folder_becomes_two_graphs(tmp_path: Path) -> None:
    autoencoder = tiny(downsampling_ratios=[32, 64], channel_multiples=[1, 1])  # five take minutes to trace
    audio = torch.rand(1, 2, 2 * LATENT_HOP_SAMPLES) - 0.5
    with torch.no_grad():
        latents = autoencoder.encode(audio).latent_dist.mode()
        sound = autoencoder.decode(latents).sample
    autoencoder.save_pretrained(tmp_path / "vae")
    codec = load_oobleck(tmp_path / "vae")
    assert codec.facts.kind == "oobleck"
    for plan in (codec.encoder, codec.decoder):
        round_weights(plan.network)
        require(measure_parity(plan, export_graph(plan, tmp_path)))
    found = Graph(tmp_path / "encoder.onnx", threads=1).run({"audio": audio.numpy()})["latents"]
    assert found.shape == (1, 64, 2)
    assert np.abs(found - latents.numpy()).max() < 0.02 * latents.abs().max()
    decoded = Graph(tmp_path / "decoder.onnx", threads=1).run({"latents": latents.numpy()})["audio"]
    assert decoded.shape == (1, 2, 2 * LATENT_HOP_SAMPLES)
    assert np.abs(decoded - sound.numpy()).max() < 0.02 * sound.abs().max()


def test_declared_lookahead_is_what_the_networks_read() -> None:
    autoencoder = tiny(encoder_hidden_size=8, decoder_channels=4)
    facts = oobleck_export(autoencoder, {}).facts
    frames, at = 20, 7
    audio = torch.randn(1, 2, frames * LATENT_HOP_SAMPLES, requires_grad=True)
    OobleckEncoder(autoencoder.encoder)(audio)[..., at].sum().backward()
    assert audio.grad is not None
    last_sample = int(audio.grad.abs().sum(dim=(0, 1)).nonzero().max())
    assert last_sample // LATENT_HOP_SAMPLES - at == facts.encoder_lookahead_frames
    latents = torch.randn(1, 64, frames, requires_grad=True)
    sound = OobleckDecoder(autoencoder.decoder)(latents)
    sound[..., at * LATENT_HOP_SAMPLES : (at + 1) * LATENT_HOP_SAMPLES].sum().backward()
    assert latents.grad is not None
    last_frame = int(latents.grad.abs().sum(dim=(0, 1)).nonzero().max())
    assert last_frame - at == facts.decoder_lookahead_frames


def test_another_geometry_or_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Backline needs \(44100, 2, 64, 2048\)"):
        oobleck_export(tiny(sampling_rate=48_000), {})
    with pytest.raises(ValueError, match="holds no AutoencoderOobleck"):
        load_oobleck(tmp_path)
