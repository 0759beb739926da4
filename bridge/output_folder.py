"""The folder that a command makes: whole at the end, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import UserError

SESSION_FILE = "session.json"
FULL_BELOW_BYTES = 1_000_000


def check_output(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output folder that cannot or must not be made.

    Args:
        out: the folder to make.
        overwrite: whether an earlier bounce there may go.
        inputs: files and folders that are read, and so must not lie in a folder that is replaced.

    Raises:
        UserError: it exists, is a file, holds an input, or its place is not writable.
    """
    if out.is_file():
        raise UserError(f"{out}: is a file; name a folder with -o")
    if out.exists():
        if not overwrite:
            raise UserError(f"{out}: exists already; name another folder with -o, or allow --overwrite")
        if any(out.iterdir()) and not (out / SESSION_FILE).is_file():
            raise UserError(
                f"{out}: holds no {SESSION_FILE}, so it is no bounce and is not replaced; name another folder"
            )
        for path in inputs:
            if path.resolve().is_relative_to(out.resolve()):
                raise UserError(f"{out}: holds {path.name}, which is read; name another folder with -o")
    parent = next((folder for folder in out.absolute().parents if folder.exists()), None)
    if parent is None or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"{out}: cannot be made, {parent} is not a folder that can be written; choose another place")


def check_room(out: Path, wanted_bytes: int) -> None:
    """Refuse a disk with less than `wanted_bytes` free at `out`."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < wanted_bytes:
        raise UserError(
            f"{out}: the disk has {free / 1e6:.0f} MB free and the files need {wanted_bytes / 1e6:.0f} MB; "
            "free some room or choose another disk"
        )


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its place when the block ends well, and is gone otherwise.

    Raises:
        UserError: the disk is full or a file cannot be written.
    """
    made_parents = [folder for folder in out.absolute().parents if not folder.exists()]
    staging = out.absolute().parent / f".{out.name}.{os.getpid()}.partial"
    try:
        staging.mkdir(parents=True)
        yield staging
        _take_place(staging, out)
    except BaseException as error:
        problem = _write_problem(error, staging.parent) if isinstance(error, OSError) else None
        shutil.rmtree(staging, ignore_errors=True)
        for folder in made_parents:
            _remove_if_empty(folder)
        if problem is not None:
            raise UserError(f"{out}: {problem}") from error
        raise


def _take_place(staging: Path, out: Path) -> None:
    """Move `staging` to `out`, putting away what is there."""
    if not out.exists():
        staging.rename(out)
        return
    old = staging.with_suffix(".old")
    out.rename(old)
    try:
        staging.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _write_problem(error: OSError, folder: Path) -> str:
    """Return what is wrong in words; encoders do not always say that the disk is full, so it is asked."""
    if error.errno == errno.ENOSPC or (folder.exists() and shutil.disk_usage(folder).free < FULL_BELOW_BYTES):
        return "the disk is full; free some room or choose another disk with -o"
    return f"cannot be written ({error.strerror or error}); free some room, or choose another place with -o"
