"""The codec's graphs: encoder and decoder of a trained codec as plans, and what a bundle says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bundle import CodecFacts
from engine.codec import DECODER_LOOKAHEAD_FRAMES, PIECE_FRAMES
from engine.features import LOOKAHEAD_FRAMES
from engine.geometry import SPECTRA_PER_FRAME
from engine.manifest import Manifest
from export.graphs import BATCH, FRAMES, Axis, GraphPlan
from training.codec.config import CodecTrainingConfig
from training.codec.decoder import Decoder
from training.codec.encoder import Encoder
from training.codec.model import DecoderGraph, EncoderGraph
from training.common.checkpoint import load_checkpoint
from training.common.configs import config_from_table, config_to_table

KIND = "spectral"
ENCODER_GRAPH, DECODER_GRAPH = "encoder.onnx", "decoder.onnx"
CHECKPOINT_KIND = "codec-sound"
ENCODER_AXES = {"features": {0: BATCH, 2: FRAMES}, "curves": {0: BATCH, 2: FRAMES}, "state": {0: BATCH}}
# The oscillators' phases are summed within a call, so rounding grows with its length: up to the engine's pieces.
DECODER_CASES = ((1, 2), (3, 9), (1, PIECE_FRAMES), (3, PIECE_FRAMES))
DECODER_AXES = {
    "latents": {0: BATCH, 2: FRAMES},
    "noise": {2: Axis("frames", SPECTRA_PER_FRAME)},
    "held": {0: BATCH},
    "slow": {0: BATCH},
    "fast": {0: BATCH},
    "phase": {0: BATCH},
}


@dataclass(frozen=True, slots=True)
class CodecCopy:
    """The codec of an existing bundle, taken over to the byte.

    Attributes:
        encoder: its `encoder.onnx`.
        decoder: its `decoder.onnx`.
        facts: what the engine must know about it.
        training: what the bundle's manifest tells of its training.
    """

    encoder: Path
    decoder: Path
    facts: CodecFacts
    training: Mapping[str, Any]


def copied_codec(bundle: Path, manifest: Manifest) -> CodecCopy:
    """Return the codec of the bundle in the folder `bundle`, whose manifest is `manifest`."""
    told = manifest.training.get("codec", {})
    return CodecCopy(bundle / ENCODER_GRAPH, bundle / DECODER_GRAPH, manifest.codec, told)


@dataclass(frozen=True, slots=True)
class CodecExport:
    """A codec ready to be exported.

    Attributes:
        encoder: plan of `encoder.onnx`.
        decoder: plan of `decoder.onnx`.
        facts: what the engine must know about it.
        training: what the manifest tells of its training.
    """

    encoder: GraphPlan
    decoder: GraphPlan
    facts: CodecFacts
    training: dict[str, Any]


def load_codec(checkpoint: Path) -> CodecExport:
    """Return the encoder and the averaged decoder of a checkpoint of the codec's sound stage.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    payload = load_checkpoint(checkpoint, CHECKPOINT_KIND)
    config = config_from_table(payload.get("config", {}), CodecTrainingConfig, f"{checkpoint}: config")
    encoder, decoder = Encoder(config.encoder), Decoder(config.decoder)
    encoder.load_state_dict(payload["encoder"])
    decoder.load_state_dict(payload["average"]["network"])
    training = {
        "config": config_to_table(config),
        "step": payload.get("step"),
        "elapsed_seconds": payload.get("elapsed"),
    }
    return codec_export(encoder, decoder, training)


def codec_export(encoder: Encoder, decoder: Decoder, training: dict[str, Any]) -> CodecExport:
    """Return the export of `encoder` and `decoder`."""
    encoder_graph, decoder_graph = EncoderGraph(encoder).eval(), DecoderGraph(decoder).eval()
    return CodecExport(
        encoder=GraphPlan(
            ENCODER_GRAPH,
            encoder_graph,
            encoder_graph.example_inputs,
            ENCODER_AXES,
            EncoderGraph.output_names,
        ),
        decoder=GraphPlan(
            DECODER_GRAPH,
            decoder_graph,
            decoder_graph.example_inputs,
            DECODER_AXES,
            DecoderGraph.output_names,
            cyclic_outputs=frozenset({"phase_out"}),
            cases=DECODER_CASES,
        ),
        facts=CodecFacts(KIND, LOOKAHEAD_FRAMES, DECODER_LOOKAHEAD_FRAMES),
        training=training,
    )
