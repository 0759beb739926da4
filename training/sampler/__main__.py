"""`python -m training.sampler --config configs/sampler_cpu.toml --start-from CHECKPOINT`: judge what few steps make."""

import argparse
import sys
from pathlib import Path

from training.common.checkpoint import CheckpointError
from training.common.configs import load_config
from training.common.devices import start_processes
from training.denoiser.__main__ import INTERRUPTED
from training.denoiser.songs import LatentsError
from training.denoiser.train import load_material
from training.sampler.config import SamplerTraining
from training.sampler.train import train_sampler


def main() -> int:
    """Train; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.sampler", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a TOML file such as configs/sampler_cpu.toml")
    parser.add_argument("--start-from", type=Path, required=True, metavar="CHECKPOINT", help="a distilled denoiser")
    parser.add_argument("--out", type=Path, default=Path("runs/sampler"), help="checkpoints and curves; resumed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as budget.minutes=10")
    options = parser.parse_args()
    try:
        config = load_config(options.config, SamplerTraining, options.set)
        material = load_material(config.data.latents)
        device = start_processes(config.run.device, config.run.threads).device
        train_sampler(config, material.training, options.start_from, options.out, device, show=True)
    except (ValueError, CheckpointError, LatentsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
