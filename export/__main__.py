"""Trained weights to a bundle: `python -m export --codec CHECKPOINT --denoiser CHECKPOINT --out FOLDER`."""

import argparse
import json
import sys
from pathlib import Path

from engine.bundle import BundleError, SamplingFacts
from engine.harmony_tables import HarmonyTables
from export.codec import load_codec
from export.denoiser import denoiser_plan, load_denoiser
from export.oobleck import load_oobleck
from export.parity import ParityError
from export.write import write_bundle
from training.common.checkpoint import CheckpointError


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    codec = parser.add_mutually_exclusive_group(required=True)
    codec.add_argument("--codec", type=Path, help="checkpoint of the codec's sound stage")
    codec.add_argument("--oobleck", type=Path, help="folder of a diffusers AutoencoderOobleck, instead of a codec")
    parser.add_argument("--denoiser", type=Path, required=True, help="best.pt or last.pt of the denoiser's training")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--steps", type=int, default=SamplingFacts().steps, help="sampler steps that suit it")
    parser.add_argument("--guidance", type=float, default=SamplingFacts().guidance_scale, help="guidance that suits it")
    parser.add_argument("--harmony", type=Path, help="JSON file of training.harmony: chords are read off the vocal")
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


def main() -> int:
    """Export; return the exit code."""
    options = arguments()
    try:
        sampling = SamplingFacts(steps=options.steps, guidance_scale=options.guidance)
        network, training, payload = load_denoiser(options.denoiser)
        harmony = read_harmony(options.harmony) if options.harmony else None
        codec = load_codec(options.codec) if options.codec else load_oobleck(options.oobleck)
        mean, std = payload["latent_mean"].numpy(), payload["latent_std"].numpy()
        facts = {"denoiser": training}
        write_bundle(options.out, codec, denoiser_plan(network), mean, std, sampling, facts, harmony=harmony)
    except (ValueError, CheckpointError, BundleError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
