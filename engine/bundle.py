"""A bundle: a folder with the trained encoder, decoder and denoiser as ONNX graphs, and the manifest about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.conditions import CONDITION_CHANNELS, CURVE_CHANNELS
from engine.features import FEATURE_CHANNELS
from engine.geometry import ACCOMPANIMENT_CHANNELS, LATENT_CHANNELS
from engine.harmony_tables import HarmonyTables
from engine.manifest import (
    GRAPH_NAMES,
    BundleError,
    CodecFacts,
    Manifest,
    SamplingFacts,
    read_manifest,
    write_manifest,
)
from engine.runtime import Graph, States, provider_names
from engine.styles import STYLES

__all__ = ["Bundle", "BundleError", "CodecFacts", "Manifest", "SamplingFacts", "write_manifest"]

Array = NDArray[np.float32]

# For each graph: the second dimension of each input that is not a state (0 where there is none), and its output.
_CONTRACTS: dict[str, tuple[dict[str, int], str]] = {
    "encoder.onnx": ({"features": FEATURE_CHANNELS, "curves": CURVE_CHANNELS}, "latents"),
    "decoder.onnx": ({"latents": LATENT_CHANNELS, "noise": 2}, "spectrum"),
    "denoiser.onnx": (
        {"x": ACCOMPANIMENT_CHANNELS, "timestep": 0, "conditions": CONDITION_CHANNELS, "style": len(STYLES)},
        "v",
    ),
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        folder: where it lies.
        manifest: its facts.
        encoder: graph from features to latents.
        decoder: graph from latents to spectra.
        denoiser: graph that predicts v.
    """

    folder: Path
    manifest: Manifest
    encoder: Graph
    decoder: Graph
    denoiser: Graph

    @classmethod
    def load(cls, path: Path, providers: Sequence[str] = ("cpu",), threads: int = 0, offline: bool = True) -> Bundle:
        """Load the bundle in the folder `path`, checking every file of it.

        Args:
            path: the folder.
            providers: see `engine.runtime.PROVIDERS`; the preferred one first.
            threads: threads within an operator; 0 leaves the number to onnxruntime.
            offline: whether threads may spin while they wait; false when playing live.

        Raises:
            BundleError: a file is missing, damaged, or made for another version.
            ProviderError: a provider is not available.
            GraphError: a graph does not load.
        """
        provider_names(providers)
        manifest = read_manifest(path)
        graphs = [Graph(path / name, providers, threads, offline) for name in GRAPH_NAMES]
        for name, graph in zip(GRAPH_NAMES, graphs, strict=True):
            _check_graph(path / name, graph)
        return cls(path, manifest, *graphs)

    @property
    def latent_mean(self) -> Array:
        """(64,) mean of the codec's latents."""
        return self.manifest.latent_mean

    @property
    def latent_std(self) -> Array:
        """(64,) deviation of the codec's latents."""
        return self.manifest.latent_std

    @property
    def sampling(self) -> SamplingFacts:
        """What the denoiser was trained for."""
        return self.manifest.sampling

    @property
    def harmony(self) -> HarmonyTables | None:
        """What key and chords are read off a vocal with, if the bundle has it."""
        return self.manifest.harmony

    def denoise(self, x: Array, timestep: Array, conditions: Array, style: Array) -> Array:
        """Return v (batch, 192, frames); see `engine.sampler.Denoise` for the arguments."""
        inputs = {"x": x, "timestep": timestep, "conditions": conditions, "style": style}
        return self.denoiser.run(inputs)["v"]

    def run_encoder(self, features: Array, curves: Array, states: Mapping[str, Array]) -> tuple[Array, States]:
        """Return latents (batch, 64, frames) and the new states; see `engine.codec.CodecGraphs`."""
        outputs, states = self.encoder.step({"features": features, "curves": curves}, states)
        return outputs["latents"], states

    def run_decoder(self, latents: Array, noise: Array, states: Mapping[str, Array]) -> tuple[Array, States]:
        """Return the spectrum (batch, 2, hops, bins, 2) and the new states; see `engine.codec.CodecGraphs`."""
        outputs, states = self.decoder.step({"latents": latents, "noise": noise}, states)
        return outputs["spectrum"], states

    def encoder_states(self, batch: int) -> States:
        """Return the encoder's states before the first frame."""
        return self.encoder.initial_states(batch)

    def decoder_states(self, batch: int) -> States:
        """Return the decoder's states before the first frame."""
        return self.decoder.initial_states(batch)


def _check_graph(path: Path, graph: Graph) -> None:
    """Raise BundleError unless the graph at `path` has the contract's inputs, channels and output."""
    channels, output = _CONTRACTS[path.name]
    inputs = set(graph.input_shapes) - set(graph.state_names)
    outputs = set(graph.output_names) - {f"{name}_out" for name in graph.state_names}
    remedy = "export the bundle again with this version"
    if inputs != set(channels) or outputs != {output}:
        raise BundleError(
            f"{path}: takes {sorted(inputs)} and gives {sorted(outputs)}, "
            f"expected {sorted(channels)} and {output}, states apart; {remedy}"
        )
    for name, expected in channels.items():
        found = graph.input_shapes[name][1:2]
        if found and isinstance(found[0], int) and found[0] != expected:
            raise BundleError(f"{path}: input {name} has {found[0]} channels, expected {expected}; {remedy}")
