"""A bundle: a folder with the trained encoder, decoder and denoiser as ONNX graphs, and the manifest about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from engine.chord_reader import UNIT_CHANNELS, ChordReader
from engine.conditions import CONDITION_CHANNELS, CURVE_CHANNELS
from engine.features import FEATURE_CHANNELS
from engine.geometry import ACCOMPANIMENT_CHANNELS, AUDIO_CHANNELS, LATENT_CHANNELS
from engine.harmoniser import Harmoniser
from engine.manifest import (
    CHORD_GRAPH,
    GRAPH_NAMES,
    MANIFEST_NAME,
    BundleError,
    CodecFacts,
    Manifest,
    SamplingFacts,
    read_manifest,
    write_manifest,
)
from engine.oobleck import margin_frames
from engine.runtime import Graph, GraphError, States, provider_names
from engine.styles import STYLES

__all__ = ["AudioBundle", "Bundle", "BundleError", "CodecFacts", "Manifest", "SamplingFacts", "write_manifest"]

Array = NDArray[np.float32]

_REMEDY = "export the bundle again with this version"

# The second dimension of each input that is not a state (0 where there is none), and the output.
_Contract = tuple[dict[str, int], tuple[str, ...]]
_DENOISER: _Contract = (
    {"x": ACCOMPANIMENT_CHANNELS, "timestep": 0, "conditions": CONDITION_CHANNELS, "style": len(STYLES)},
    ("v",),
)
_CHORDS: _Contract = ({"units": 0}, ("chords", "keys"))
# For each kind of codec, the contract of each graph.
_CONTRACTS: dict[str, dict[str, _Contract]] = {
    "spectral": {
        "encoder.onnx": ({"features": FEATURE_CHANNELS, "curves": CURVE_CHANNELS}, ("latents",)),
        "decoder.onnx": ({"latents": LATENT_CHANNELS, "noise": 2}, ("spectrum",)),
        "denoiser.onnx": _DENOISER,
    },
    "oobleck": {
        "encoder.onnx": ({"audio": AUDIO_CHANNELS}, ("latents",)),
        "decoder.onnx": ({"latents": LATENT_CHANNELS}, ("audio",)),
        "denoiser.onnx": _DENOISER,
    },
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
        chords: graph that reads chords off the vocal, if the bundle has it.
    """

    folder: Path
    manifest: Manifest
    encoder: Graph
    decoder: Graph
    denoiser: Graph
    chords: Graph | None = None

    @classmethod
    def load(cls, path: Path, providers: Sequence[str] = ("cpu",), threads: int = 0, offline: bool = True) -> Bundle:
        """Load the bundle in the folder `path`, checking every file of it; an `AudioBundle` if its codec needs that.

        Args:
            path: the folder.
            providers: see `engine.runtime.PROVIDERS`; the preferred one first.
            threads: threads within an operator; 0 leaves the number to onnxruntime.
            offline: whether threads may spin while they wait; false when playing live.

        Raises:
            BundleError: a file is missing, damaged, or made for another version, or the codec is of no known kind.
            ProviderError: a provider is not available.
            GraphError: a graph does not load.
        """
        provider_names(providers)
        manifest = read_manifest(path)
        contracts = _contracts_of(path, manifest.codec.kind)
        graphs = [Graph(path / name, providers, threads, offline) for name in GRAPH_NAMES]
        for name, graph in zip(GRAPH_NAMES, graphs, strict=True):
            _check_graph(path / name, graph, contracts[name])
        kind_of_bundle = AudioBundle if manifest.codec.kind == "oobleck" else cls
        encoder, decoder, denoiser = graphs
        return kind_of_bundle(path, manifest, encoder, decoder, denoiser, _chord_graph(path, manifest))

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

    def with_sampling(self, **changes: Any) -> Self:
        """Return this bundle with some of the fields of `sampling` changed.

        Raises:
            ValueError: a value is out of range.
        """
        return replace(self, manifest=replace(self.manifest, sampling=replace(self.sampling, **changes)))

    @property
    def harmony(self) -> Harmoniser | None:
        """What key and chords are read off a vocal with, if the bundle has it."""
        tables = self.manifest.harmony
        if tables is None:
            return None
        return Harmoniser(tables, ChordReader(self.chords, tables) if self.chords else None)

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


@dataclass(frozen=True, slots=True)
class AudioBundle(Bundle):
    """A bundle whose codec goes from audio to latents and back, on whole signals; see `engine.oobleck.AudioGraphs`."""

    @property
    def encoder_margin_frames(self) -> int:
        """Frames on either side that a frame of latents depends on, at most."""
        return margin_frames(self.manifest.codec.encoder_lookahead_frames)

    @property
    def decoder_margin_frames(self) -> int:
        """Frames on either side that a frame of audio depends on, at most."""
        return margin_frames(self.manifest.codec.decoder_lookahead_frames)

    def latents_of(self, audio: Array) -> Array:
        """Map audio (batch, 2, 2048 x frames) to latents (batch, 64, frames)."""
        return self.encoder.run({"audio": audio})["latents"]

    def audio_of(self, latents: Array) -> Array:
        """Map latents (batch, 64, frames) to audio (batch, 2, 2048 x frames)."""
        return self.decoder.run({"latents": latents})["audio"]

    def run_encoder(self, *_: object, **__: object) -> NoReturn:
        """Raise GraphError: this codec does not stream."""
        self._refuse_to_stream()

    def run_decoder(self, *_: object, **__: object) -> NoReturn:
        """Raise GraphError: this codec does not stream."""
        self._refuse_to_stream()

    def encoder_states(self, *_: object, **__: object) -> NoReturn:
        """Raise GraphError: this codec does not stream."""
        self._refuse_to_stream()

    def decoder_states(self, *_: object, **__: object) -> NoReturn:
        """Raise GraphError: this codec does not stream."""
        self._refuse_to_stream()

    def _refuse_to_stream(self) -> NoReturn:
        raise GraphError(
            f"{self.folder}: the codec {self.manifest.codec.kind!r} takes whole signals and cannot stream; "
            "bounce with this bundle, or play live with one whose codec is 'spectral'"
        )


def _contracts_of(folder: Path, kind: str) -> dict[str, _Contract]:
    """Return the contracts of the graphs of a bundle whose codec is of `kind`; raise BundleError if it is unknown."""
    if kind not in _CONTRACTS:
        raise BundleError(
            f"{folder / MANIFEST_NAME}: the codec is of kind {kind!r}, "
            f"but this Backline knows {', '.join(_CONTRACTS)}; {_REMEDY}"
        )
    return _CONTRACTS[kind]


def _chord_graph(path: Path, manifest: Manifest) -> Graph | None:
    """Return the graph that reads chords, if the bundle has it: a small one, for which one thread is the fastest."""
    if CHORD_GRAPH not in manifest.sha256:
        return None
    graph = Graph(path / CHORD_GRAPH, threads=1, offline=False)
    _check_graph(path / CHORD_GRAPH, graph, _CHORDS)
    if graph.input_shapes["units"][2] != UNIT_CHANNELS:
        raise BundleError(
            f"{path / CHORD_GRAPH}: input units has {graph.input_shapes['units'][2]} channels, "
            f"expected {UNIT_CHANNELS}; {_REMEDY}"
        )
    return graph


def _check_graph(path: Path, graph: Graph, contract: _Contract) -> None:
    """Raise BundleError unless the graph at `path` has the contract's inputs, channels and outputs."""
    channels, wanted = contract
    inputs = set(graph.input_shapes) - set(graph.state_names)
    outputs = set(graph.output_names) - {f"{name}_out" for name in graph.state_names}
    if inputs != set(channels) or outputs != set(wanted):
        raise BundleError(
            f"{path}: takes {sorted(inputs)} and gives {sorted(outputs)}, "
            f"expected {sorted(channels)} and {sorted(wanted)}, states apart; {_REMEDY}"
        )
    for name, expected in channels.items():
        found = graph.input_shapes[name][1:2]
        if found and isinstance(found[0], int) and found[0] != expected:
            raise BundleError(f"{path}: input {name} has {found[0]} channels, expected {expected}; {_REMEDY}")
