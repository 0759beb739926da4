"""A bundle's manifest: what the graphs were made for and from, as JSON, checked field by field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import geometry
from engine.conditions import layout_as_dict
from engine.expander import check_expansions
from engine.harmony_tables import HarmonyTables
from engine.mixer import check_stem_gains
from engine.planner import MIN_WINDOW_FRAMES, PAST_FRAMES, plan_windows
from engine.sampler import MAX_GUIDANCE_SCALE, check_guidance_scale
from engine.schedule import COSINE_OFFSET, MAX_BETA, TIMESTEPS, timestep_pairs
from engine.styles import STYLES, style_index
from engine.tone import check_tones

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
GRAPH_NAMES = ("encoder.onnx", "decoder.onnx", "denoiser.onnx")
CHORD_GRAPH = "chords.onnx"
"""The graph that a bundle may go without: it reads chords off the vocal."""
_READ_BYTES = 1 << 20


class BundleError(Exception):
    """A bundle cannot be used; the message names the file, the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class CodecFacts:
    """What the engine must know about a bundle's codec.

    Attributes:
        kind: which codec it is; `engine.codec` knows how to run each kind.
        encoder_lookahead_frames: latent frames that the encoder looks ahead.
        decoder_lookahead_frames: latent frames that the decoder looks ahead.
        options: further facts that the kind needs.
    """

    kind: str
    encoder_lookahead_frames: int
    decoder_lookahead_frames: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamplingFacts:
    """What the denoiser was trained or distilled for.

    Attributes:
        steps: steps that it works well with.
        guidance_scale: guidance that it works well with.
        distilled_guidance_scale: guidance that is in its weights, so that one pass a step gives it; 1 for none.
        stem_gains_db: stem to what is added to all that is made of it, as models play softer than the songs they
            learned; 0 for a stem not named. `python -m export.levels` measures it.
        style_tones_db: style to stem to what is added in the style to each band of `engine.tone`.
        stem_widths_db: stem to what the sides are raised by against the middle; measured with the gains.
        stem_expansions: stem to [below_db, ratio] of `engine.expander.Expansion`, as models leave a wash between
            strokes. `python -m export.expansions` measures it.
        window_frames: longest window, a multiple of 4.
        min_window_frames: shortest window, a multiple of 4.
        past_frames: known past before a window's new frames, a multiple of 4.

    Raises:
        ValueError: a value is out of range.
    """

    steps: int = 4
    guidance_scale: float = 2.0
    window_frames: int = geometry.WINDOW_FRAMES
    min_window_frames: int = MIN_WINDOW_FRAMES
    past_frames: int = PAST_FRAMES
    distilled_guidance_scale: float = 1.0
    stem_gains_db: Mapping[str, float] = field(default_factory=dict)
    style_tones_db: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    stem_widths_db: Mapping[str, float] = field(default_factory=dict)
    stem_expansions: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each value by the one who uses it."""
        timestep_pairs(self.steps)
        check_guidance_scale(self.guidance_scale)
        if not 1.0 <= self.distilled_guidance_scale <= MAX_GUIDANCE_SCALE:
            raise ValueError(f"distilled guidance {self.distilled_guidance_scale} is not 1 to {MAX_GUIDANCE_SCALE:g}")
        plan_windows(1, self.window_frames, self.past_frames, min_window_frames=self.min_window_frames)
        check_stem_gains(self.stem_gains_db)
        for style, tones_db in self.style_tones_db.items():
            style_index(style)
            check_tones(tones_db, f"{style} tone")
        check_stem_gains(self.stem_widths_db, "width")
        check_expansions(self.stem_expansions)

    def tones_of(self, style: str | None) -> Mapping[str, Sequence[float]]:
        """Return stem to what is added to its bands in `style`."""
        return self.style_tones_db.get(style, {}) if style is not None else {}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's manifest, checked.

    Attributes:
        codec: the codec's facts.
        sampling: the denoiser's facts.
        latent_mean: (64,) float32, subtracted from latents to normalise them.
        latent_std: (64,) float32, above 0, then divided by.
        training: facts about the training, for people to read.
        sha256: file name to checksum.
        harmony: what the key, and without a chord graph the chords, are read off a vocal with, if the bundle has it.
    """

    codec: CodecFacts
    sampling: SamplingFacts
    latent_mean: NDArray[np.float32]
    latent_std: NDArray[np.float32]
    training: Mapping[str, Any]
    sha256: Mapping[str, str]
    harmony: HarmonyTables | None = None


def agreed_facts() -> dict[str, Any]:
    """Return what a bundle and this version of Backline must agree on, as JSON values."""
    return {
        "geometry": {
            "sample_rate_hz": geometry.SAMPLE_RATE_HZ,
            "audio_channels": geometry.AUDIO_CHANNELS,
            "latent_channels": geometry.LATENT_CHANNELS,
            "latent_hop_samples": geometry.LATENT_HOP_SAMPLES,
            "spectrum_hop_samples": geometry.SPECTRUM_HOP_SAMPLES,
            "spectrum_window_samples": geometry.SPECTRUM_WINDOW_SAMPLES,
            "stems": list(geometry.STEMS),
        },
        "conditions": layout_as_dict(),
        "schedule": {
            "kind": "cosine",
            "prediction": "v",
            "timesteps": TIMESTEPS,
            "offset": COSINE_OFFSET,
            "max_beta": MAX_BETA,
        },
        "styles": list(STYLES),
    }


def write_manifest(
    folder: Path,
    codec: CodecFacts,
    latent_mean: Sequence[float] | NDArray[np.floating],
    latent_std: Sequence[float] | NDArray[np.floating],
    sampling: SamplingFacts | None = None,
    training: Mapping[str, Any] | None = None,
    harmony: HarmonyTables | None = None,
) -> Path:
    """Write `folder`'s manifest over the graphs that lie in it, and return its path.

    Raises:
        BundleError: a graph is missing.
        ValueError: the latent statistics are not 64 numbers each, or a deviation is not above 0.
    """
    _statistics(latent_mean, latent_std)
    sampling = sampling or SamplingFacts()
    facts = {
        "format_version": FORMAT_VERSION,
        **agreed_facts(),
        "codec": {name: _plain(getattr(codec, name)) for name in CodecFacts.__slots__},
        "sampling": {name: _plain(getattr(sampling, name)) for name in SamplingFacts.__slots__},
        "latent_mean": [float(value) for value in latent_mean],
        "latent_std": [float(value) for value in latent_std],
        "training": _plain(training or {}),
        "files": {name: file_facts(folder / name) for name in graph_names((folder / CHORD_GRAPH).is_file())},
        **({"harmony": harmony.to_dict()} if harmony else {}),
    }
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return path


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle `folder`, checked against this version of Backline and the files beside it.

    Raises:
        BundleError: the folder, the manifest or a file is missing, damaged or made for another version.
    """
    path = folder / MANIFEST_NAME
    facts = _read_json(path)
    if facts.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{path}: format version {facts.get('format_version')!r}, but this Backline reads {FORMAT_VERSION}; "
            "get a bundle made for this version, or the version that made this one"
        )
    for name, expected in agreed_facts().items():
        _check_agreed(path, name, facts.get(name), expected)
    try:
        manifest = Manifest(
            CodecFacts(**facts["codec"]),
            SamplingFacts(**facts["sampling"]),
            *_statistics(facts["latent_mean"], facts["latent_std"]),
            facts["training"],
            {name: str(facts["files"][name]["sha256"]) for name in graph_names(CHORD_GRAPH in facts["files"])},
            HarmonyTables.from_dict(facts["harmony"]) if "harmony" in facts else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: field missing or wrong ({error}); export or download the bundle again") from error
    for name, sha256 in manifest.sha256.items():
        _check_file(folder / name, sha256)
    return manifest


def graph_names(with_chords: bool) -> tuple[str, ...]:
    """Return the files of a bundle's graphs."""
    return (*GRAPH_NAMES, CHORD_GRAPH) if with_chords else GRAPH_NAMES


def sha256_of(path: Path) -> str:
    """Return the SHA-256 checksum of the file at `path`, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in the JSON file at `path`."""
    if not path.is_file():
        raise BundleError(f"{path}: no such file; give the folder of a bundle, which holds a {MANIFEST_NAME}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable as JSON ({error}); export or download the bundle again") from error
    if not isinstance(facts, dict):
        raise BundleError(f"{path}: not a JSON object; export or download the bundle again")
    return facts


def _check_agreed(path: Path, name: str, found: object, expected: object) -> None:
    """Raise BundleError unless what the manifest says of `name` is what this version expects."""
    if found != expected:
        raise BundleError(
            f"{path}: {name} {_difference(found, expected)}; this bundle is of another version: "
            "export or download one made for this version"
        )


def _difference(found: object, expected: object) -> str:
    """Return in words where `found` first differs from `expected`."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in (*expected, *found):
            if found.get(key) != expected.get(key):
                return f"{key} is {found.get(key)!r}, expected {expected.get(key)!r}"
    return f"is {found!r}, expected {expected!r}"


def _check_file(path: Path, sha256: str) -> None:
    """Raise BundleError unless the file at `path` is there and has the checksum `sha256`."""
    remedy = "export or download the bundle again"
    if not path.is_file():
        raise BundleError(f"{path}: missing; {remedy}")
    found = sha256_of(path)
    if found != sha256:
        raise BundleError(f"{path}: damaged (sha256 {found[:12]}..., expected {sha256[:12]}...); {remedy}")


def file_facts(path: Path) -> dict[str, str | int]:
    """Return the checksum and size of the file at `path`."""
    if not path.is_file():
        raise BundleError(f"{path}: missing; export all of {', '.join(GRAPH_NAMES)} before the manifest")
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _statistics(
    mean: Sequence[float] | NDArray[np.floating], std: Sequence[float] | NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the latent mean and deviation as arrays, checked."""
    arrays = np.asarray(mean, dtype=np.float32), np.asarray(std, dtype=np.float32)
    for name, array in zip(("latent_mean", "latent_std"), arrays, strict=True):
        if array.shape != (geometry.LATENT_CHANNELS,) or not np.isfinite(array).all():
            raise ValueError(f"{name} has shape {array.shape}, expected {geometry.LATENT_CHANNELS} finite numbers")
    if not (arrays[1] > 0).all():
        raise ValueError("latent_std must be above 0 in every channel; leave no channel unused")
    return arrays


def _plain(value: Any) -> Any:
    """Return `value` with mappings as dicts and numpy numbers as Python's, for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value
