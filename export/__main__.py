"""Trained weights to a bundle: `python -m export --codec CHECKPOINT --denoiser CHECKPOINT --out FOLDER`."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from engine.bundle import BundleError, SamplingFacts
from engine.harmony_tables import HarmonyTables
from engine.manifest import CHORD_GRAPH, Manifest, read_manifest
from export.codec import CodecCopy, CodecExport, copied_codec, load_codec
from export.denoiser import denoiser_plan, load_denoiser
from export.oobleck import load_oobleck
from export.parity import ParityError
from export.write import write_bundle
from training.common.checkpoint import CheckpointError
from training.denoiser.state import distilled_guidance


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    codec = parser.add_mutually_exclusive_group(required=True)
    codec.add_argument("--codec", type=Path, help="checkpoint of the codec's sound stage")
    codec.add_argument("--codec-from", type=Path, metavar="BUNDLE", help="the codec of a bundle, taken over unchanged")
    codec.add_argument("--oobleck", type=Path, help="folder of a diffusers AutoencoderOobleck, instead of a codec")
    parser.add_argument("--denoiser", type=Path, required=True, help="best.pt or last.pt of the denoiser's training")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--steps", type=int, help="sampler steps that suit it; else the bundle's of --codec-from, or 4")
    parser.add_argument("--guidance", type=float, help="guidance that suits it; else that bundle's, or 2")
    parser.add_argument(
        "--harmony",
        type=Path,
        help="JSON file of training.harmony: chords are read off the vocal; else the tables of --codec-from's bundle",
    )
    return parser.parse_args()


def read_harmony(path: Path) -> HarmonyTables:
    """Return the tables in the file `path`.

    Raises:
        ValueError: it is missing or holds no tables.
    """
    try:
        return HarmonyTables.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no harmony tables ({error}); make them with python -m training.harmony") from error


def export(options: argparse.Namespace) -> None:
    """Write the bundle that the command line asks for."""
    source = read_manifest(options.codec_from) if options.codec_from else None
    asked = {"steps": options.steps, "guidance_scale": options.guidance}
    given = {name: value for name, value in asked.items() if value is not None}
    network, training, payload = load_denoiser(options.denoiser)
    sampling = dataclasses.replace(
        source.sampling if source else SamplingFacts(),
        distilled_guidance_scale=distilled_guidance(training),
        **given,
    )
    harmony = read_harmony(options.harmony) if options.harmony else source.harmony if source else None
    codec = find_codec(options, source)
    mean, std = payload["latent_mean"].numpy(), payload["latent_std"].numpy()
    facts = {"denoiser": training}
    chords = options.codec_from / CHORD_GRAPH if source and CHORD_GRAPH in source.sha256 else None
    plan = denoiser_plan(network)
    write_bundle(options.out, codec, plan, mean, std, sampling, facts, harmony=harmony, chords=chords)


def find_codec(options: argparse.Namespace, source: Manifest | None) -> CodecExport | CodecCopy:
    """Return the codec that the command line names; `source` is the manifest of --codec-from's bundle."""
    if source:
        return copied_codec(options.codec_from, source)
    return load_codec(options.codec) if options.codec else load_oobleck(options.oobleck)


def main() -> int:
    """Export; return the exit code."""
    options = arguments()
    try:
        export(options)
    except (ValueError, CheckpointError, BundleError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
