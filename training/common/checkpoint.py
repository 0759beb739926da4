"""Checkpoints that survive a kill at any moment: written beside their place, flushed to the disk, then renamed."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LAST = "last.pt"
BEST = "best.pt"


class CheckpointError(Exception):
    """A checkpoint that is missing, damaged or of another kind; the message names the file and the remedy."""


def save_checkpoint(path: Path, payload: Mapping[str, Any]) -> None:
    """Write `payload` (tensors, numbers, strings, lists and dicts of them) to `path`, all of it or nothing.

    Whenever the process dies, `path` holds either its earlier content or the whole of the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(dict(payload), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path, kind: str | None = None) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; only tensors and plain values are unpickled.

    Args:
        path: a file of `save_checkpoint`.
        kind: what the payload's `kind` entry must be, such as `denoiser`; None: anything.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist; train first or name another file")
    try:
        payload: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({error}); delete it and use an earlier one"
        ) from error
    if kind is not None and payload.get("kind") != kind:
        raise CheckpointError(f"checkpoint {path} is of kind {payload.get('kind')!r}; expected {kind!r}")
    return payload


def remove_partial_files(directory: Path) -> None:
    """Delete what a kill in the middle of `save_checkpoint` may have left in `directory`."""
    for partial in directory.glob(".*.partial"):
        partial.unlink(missing_ok=True)
