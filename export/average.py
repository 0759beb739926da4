"""The mean of the weights of two trainings: `python -m export.average NEW OLD --share 0.5 --out FILE`.

What goes on from a bundle and what the bundle held often lie in one basin, and their mean is better than both (Wortsman
et al. 2022, *Model soups*). Checkpoints of denoisers or of chord readers, as trainings and `export.restore` write them.
Choose the share on validation songs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.chords.train import KIND as CHORDS_KIND
from training.common.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.denoiser.state import KIND as DENOISER_KIND


def averaged(new: dict[str, Any], old: dict[str, Any], share: float) -> dict[str, Any]:
    """Return the checkpoint `new` with its weights mixed with those of `old`.

    Args:
        new: of a denoiser or a chord reader; all else in it stays.
        old: another one of the same kind and size.
        share: of `new` in the weights, 0 to 1.

    Raises:
        ValueError: the share is out of range, or the two do not fit together.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share {share} is out of range; give 0 (all old) to 1 (all new)")
    if new.get("kind") != old.get("kind") or new.get("kind") not in (DENOISER_KIND, CHORDS_KIND):
        raise ValueError(f"kinds {new.get('kind')!r} and {old.get('kind')!r}: give two denoisers or two chord readers")
    ours, theirs = _weights(new), _weights(old)
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        raise ValueError("the two are of different sizes; only weights of one network can be averaged")
    for name, value in ours.items():
        if value.is_floating_point():
            ours[name] = torch.lerp(theirs[name].to(value.dtype), value, share)
    return new


def _weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights that an export takes, by name: the dictionary itself, so that it can be changed."""
    holder = checkpoint["average"] if checkpoint["kind"] == DENOISER_KIND else checkpoint
    weights: dict[str, Tensor] = holder["network"]
    return weights


def main() -> int:
    """Average; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.average", description=__doc__)
    parser.add_argument("new", type=Path, help="checkpoint whose other facts are kept")
    parser.add_argument("old", type=Path, help="checkpoint to mix in")
    parser.add_argument("--share", type=float, default=0.5, help="share of the new weights (default: 0.5)")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    options = parser.parse_args()
    try:
        mixed = averaged(load_checkpoint(options.new), load_checkpoint(options.old), options.share)
        save_checkpoint(options.out, mixed)
    except (OSError, ValueError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {options.share:.0%} of {options.new}, the rest of {options.old}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
