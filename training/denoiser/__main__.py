"""`python -m training.denoiser --config configs/denoiser_cpu.toml`: train the denoiser on a folder of latents."""

import argparse
import sys
from pathlib import Path

import torch

from training.common.checkpoint import CheckpointError
from training.common.configs import load_config
from training.common.devices import start_processes, stop_processes
from training.denoiser.config import DenoiserTraining
from training.denoiser.songs import LatentsError
from training.denoiser.state import averaged_denoiser, distilled_guidance
from training.denoiser.teacher import Teacher
from training.denoiser.train import load_material, train

INTERRUPTED = 130


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m training.denoiser", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a TOML file such as configs/denoiser_cpu.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/denoiser"), help="checkpoints and curves; resumed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as budget.minutes=10")
    parser.add_argument("--teacher", type=Path, metavar="CHECKPOINT", help="distil its guidance; begins as its copy")
    parser.add_argument("--start-from", type=Path, metavar="CHECKPOINT", help="averaged weights of an earlier training")
    return parser.parse_args()


def _teacher(checkpoint: Path, config: DenoiserTraining, device: torch.device) -> Teacher:
    """Return the teacher of a distillation.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another kind.
        ValueError: the config has no distillation.
    """
    if config.distillation is None:
        raise ValueError("a teacher needs [distillation] in the config; see configs/denoiser_distil_cpu.toml")
    network, payload = averaged_denoiser(checkpoint)
    wanted = config.distillation
    passes_scale = wanted.guidance_scale / distilled_guidance(payload)
    mixed = config.run.mixed_precision
    return Teacher(network.to(device), passes_scale, mixed, wanted.steps, wanted.substeps)


def main() -> int:
    """Train; return the exit code."""
    options = arguments()
    try:
        config = load_config(options.config, DenoiserTraining, options.set)
        start = options.start_from or options.teacher
        weights = averaged_denoiser(start)[0].state_dict() if start else None
        material = load_material(config.data.latents)
        processes = start_processes(config.run.device, config.run.threads)
        teacher = _teacher(options.teacher, config, processes.device) if options.teacher else None
        train(config, material, options.out, processes, weights, teacher)
    except (ValueError, CheckpointError, LatentsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    finally:
        stop_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
