"""A bundle's weights back in torch, to train on from it.

`python -m export.restore BUNDLE --out runs/start.pt` gives the denoiser, for `training.denoiser --start-from`; with
`--chords` the chord reader, for `training.chords --start`, and with `--codec` a folder that
`training.codec --stage partials` and `--stage sound` go on from.
"""

import argparse
import sys
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engine.bundle import BundleError
from engine.manifest import CHORD_GRAPH, read_manifest
from export.codec import CHECKPOINT_KIND, DECODER_GRAPH, ENCODER_GRAPH
from training.chords.network import ChordNetwork
from training.chords.train import KIND as CHORDS_KIND
from training.codec import features_stage, partials_stage, sound_stage
from training.codec.config import CodecTrainingConfig
from training.codec.decoder import Decoder
from training.codec.encoder import Encoder
from training.common.checkpoint import save_checkpoint
from training.common.configs import config_from_table
from training.denoiser.model import SOUNDS_WEIGHT, Denoiser, DenoiserConfig
from training.denoiser.state import KIND

DENOISER_GRAPH = "denoiser.onnx"


def weights_of(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights called `names` that the graph at `path` holds, as float32 tensors.

    Raises:
        BundleError: the graph cannot be read or lacks a name.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors have no common type
        raise BundleError(f"{path}: not readable as ONNX ({error}); export or download the bundle again") from error
    held = {initialiser.name: initialiser for initialiser in model.graph.initializer}
    missing = [name for name in names if name not in held]
    if missing:
        raise BundleError(f"{path}: lacks weight {missing[0]!r} and {len(missing) - 1} more; it is of another network")
    return {name: torch.from_numpy(numpy_helper.to_array(held[name]).copy()).float() for name in names}


def restore_parameters(path: Path, network: nn.Module, prefix: str = "", but: Set[str] = frozenset()) -> None:
    """Give the parameters of `network` the weights of the graph at `path`, where `prefix` stands before each name.

    Those named in `but` stay as they are.

    Raises:
        BundleError: the graph cannot be read, lacks a weight, or holds one of another shape.
    """
    parameters = {name: parameter for name, parameter in network.named_parameters() if name not in but}
    weights = weights_of(path, [prefix + name for name in parameters])
    with torch.no_grad():
        for name, parameter in parameters.items():
            weight = weights[prefix + name]
            if weight.shape != parameter.shape:
                raise BundleError(f"{path}: {name} is {tuple(weight.shape)}, expected {tuple(parameter.shape)}")
            parameter.copy_(weight)


def denoiser_checkpoint(bundle: Path) -> dict[str, Any]:
    """Return a bundle's denoiser as a checkpoint like `best.pt`, which `training.denoiser --start-from` takes.

    Raises:
        BundleError: the bundle is damaged or does not say how large its denoiser is.
    """
    manifest = read_manifest(bundle)
    facts = manifest.training.get("denoiser", {})
    if "config" not in facts:
        raise BundleError(f"{bundle}: its manifest has no training.denoiser.config; export it with this version")
    network = Denoiser(config_from_table(facts["config"]["model"], DenoiserConfig))
    restore_parameters(bundle / DENOISER_GRAPH, network, but={SOUNDS_WEIGHT})
    return {
        "kind": KIND,
        "config": facts["config"],
        "step": int(facts.get("step", 0)),
        "elapsed_seconds": float(facts.get("elapsed_seconds", 0.0)),
        "average": {"network": network.state_dict(), "updates": 0},
        "latent_mean": torch.from_numpy(manifest.latent_mean.copy()),
        "latent_std": torch.from_numpy(manifest.latent_std.copy()),
    }


def chord_checkpoint(bundle: Path) -> dict[str, Any]:
    """Return a bundle's chord reader as a checkpoint, which `training.chords --start` takes.

    Raises:
        BundleError: the bundle is damaged, has no chord reader, or one of an unusual size that it does not tell.
    """
    told = read_manifest(bundle).training.get("chords", {})
    sizes = told.get("sizes", {})  # bundles that do not say have the usual ones
    network = ChordNetwork(**sizes)
    restore_parameters(bundle / CHORD_GRAPH, network)
    return {"kind": CHORDS_KIND, "sizes": sizes, "network": network.state_dict(), "training": told}


def codec_checkpoints(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return a bundle's codec as the checkpoints of its stages, by file name; what `export.balance` wrote is left out.

    Raises:
        BundleError: the bundle is damaged, or does not say how large its codec is.
    """
    told = read_manifest(bundle).training.get("codec", {})
    if "config" not in told:
        raise BundleError(f"{bundle}: its manifest has no training.codec.config; export it with this version")
    config = config_from_table(told["config"], CodecTrainingConfig)
    encoder, decoder = Encoder(config.encoder), Decoder(config.decoder)
    restore_parameters(bundle / ENCODER_GRAPH, encoder, "encoder.")
    restore_parameters(bundle / DECODER_GRAPH, decoder, "decoder.")
    begun = {"step": 0, "elapsed": 0.0}
    weights = {"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}
    average = {"network": decoder.state_dict(), "updates": 0}
    return {
        features_stage.CHECKPOINT: features_stage.encoder_checkpoint(encoder),
        partials_stage.CHECKPOINT: {"kind": "codec-partials", "head": decoder.partials.state_dict(), **begun},
        sound_stage.CHECKPOINT: {
            "kind": CHECKPOINT_KIND,
            "config": told["config"],
            **weights,
            "average": average,
            **begun,
        },
    }


def main() -> int:
    """Write a bundle's denoiser or chord reader as a checkpoint, or its codec as several; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.restore", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle's folder")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint, or with --codec the folder, to write")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--codec", action="store_true", help="the codec instead of the denoiser")
    which.add_argument("--chords", action="store_true", help="the chord reader instead of the denoiser")
    options = parser.parse_args()
    try:
        if options.codec:
            options.out.mkdir(parents=True, exist_ok=True)
            for name, payload in codec_checkpoints(options.bundle).items():
                save_checkpoint(options.out / name, payload)
            further = f"codec ... run={options.out}"
        elif options.chords:
            save_checkpoint(options.out, chord_checkpoint(options.bundle))
            further = f"chords ... --start {options.out}"
        else:
            save_checkpoint(options.out, denoiser_checkpoint(options.bundle))
            further = f"denoiser --start-from {options.out}"
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: go on with python -m training.{further}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
