"""Where takes lie and what they are called: folders of the user's data, by names that are never paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs

from bridge.errors import UserError
from bridge.live.take_records import HEADER_FILE, LATENTS_FILE, LOG_FILE, TakeHeader, read_header

MAX_NAME_LENGTH = 64
MOST_SUFFIXES = 1_000
STILL_WRITTEN_SECONDS = 5.0  # the log of a take that is being played grows every second

_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9 _-]*[A-Za-z0-9_-])?")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


@dataclass(frozen=True, slots=True)
class TakeSummary:
    """One take of a list.

    Attributes:
        name: its name.
        header: what it says of itself; None if that cannot be read.
        size_bytes: what it takes on the disk.
    """

    name: str
    header: TakeHeader | None
    size_bytes: int


def takes_folder() -> Path:
    """Return the folder of all takes; it may not exist."""
    return platformdirs.user_data_path("backline", appauthor=False) / "takes"


def check_name(name: str) -> str:
    """Return `name` if a take may be called that.

    Raises:
        UserError: it is empty, too long, a path, or has other than letters, digits, spaces, `_` and `-`.
    """
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        shown = repr(name[: MAX_NAME_LENGTH + 1])
        raise UserError(
            f"{shown} is no name for a take; use 1 to {MAX_NAME_LENGTH} letters, digits, _ and -, and spaces within"
        )
    return name


def make_take_folder(now: datetime, name: str | None = None, root: Path | None = None) -> Path:
    """Make the folder of a new take and return it.

    Args:
        now: local time, which names the take unless `name` does.
        name: a name of the user's.
        root: where takes lie; None for the user's data.

    Raises:
        UserError: the name is wrong, or the folder cannot be made.
    """
    wanted = check_name(name) if name is not None else now.strftime("%Y-%m-%d_%H-%M-%S")
    parent = root or takes_folder()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, MOST_SUFFIXES):
            suffix = "" if number == 1 else f"-{number}"
            folder = parent / f"{wanted[: MAX_NAME_LENGTH - len(suffix)]}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UserError(
            f"{parent}: no take can be kept there ({error.strerror}); make room or mend its rights"
        ) from error
    raise UserError(f"{parent}: holds {MOST_SUFFIXES} takes called {wanted!r}; delete some of them")


def take_names(root: Path | None = None) -> tuple[str, ...]:
    """Return the names of all takes, the oldest first."""
    folders = [path.parent for path in (root or takes_folder()).glob(f"*/{HEADER_FILE}")]
    return tuple(folder.name for folder in sorted(folders, key=_began))


def list_takes(root: Path | None = None) -> tuple[TakeSummary, ...]:
    """Return what there is, the oldest first."""
    summaries = []
    for name in take_names(root):
        folder = (root or takes_folder()) / name
        try:
            header = read_header(folder)
        except UserError:
            header = None
        summaries.append(TakeSummary(name, header, size_bytes(folder)))
    return tuple(summaries)


def find_take(name: str, root: Path | None = None) -> Path:
    """Return the folder of the take called `name`; the newest for an empty name.

    Raises:
        UserError: there is none.
    """
    parent = root or takes_folder()
    if name == "":
        names = take_names(parent)
        if not names:
            raise UserError(f"{parent}: holds no takes; play one with backline serve")
        return parent / names[-1]
    folder = parent / check_name(name)
    if not (folder / HEADER_FILE).is_file():
        raise UserError(f"there is no take called {name!r}; see backline take list")
    return folder


def delete_take(name: str, now_seconds: float, root: Path | None = None) -> None:
    """Delete the take called `name`.

    Args:
        name: its name.
        now_seconds: the time since the epoch.
        root: where takes lie.

    Raises:
        UserError: there is none, it is being played, or it cannot be deleted.
    """
    folder = find_take(check_name(name), root)
    if is_being_written(folder, now_seconds):
        raise UserError(f"take {name!r} is being played; stop backline serve first")
    if folder.is_symlink():
        raise UserError(f"{folder}: is a link and no take's folder; remove it by hand")
    try:
        for file in (LATENTS_FILE, LOG_FILE, f".{HEADER_FILE}.partial", HEADER_FILE):
            (folder / file).unlink(missing_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder}: the take is deleted, but its folder holds other files, which stay")
        folder.rmdir()
    except OSError as error:
        raise UserError(f"{folder}: cannot be deleted ({error.strerror}); mend its rights") from error


def is_being_written(folder: Path, now_seconds: float) -> bool:
    """Return whether the take in `folder` is still played: it has no end, and its log has just grown."""
    log = folder / LOG_FILE
    try:
        fresh = log.is_file() and now_seconds - log.stat().st_mtime < STILL_WRITTEN_SECONDS
        return fresh and read_header(folder).counts is None
    except (OSError, UserError):
        return False


def size_bytes(folder: Path) -> int:
    """Return what the files in `folder` take."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _began(folder: Path) -> tuple[str, str]:
    try:
        return read_header(folder).created, folder.name
    except UserError:
        return "", folder.name
