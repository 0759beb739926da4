"""`session.json`: all that a bounce came from, so that it can be made again bit for bit."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.audio_files import FileFormat
from bridge.errors import UserError
from engine.timeline import Timeline
from presets.store import Preset


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(_Frozen):
    """A file that was read."""

    path: str
    sha256: str


class TimelineRecord(_Frozen):
    """The song's timeline; see `engine.timeline.Timeline`."""

    tempos: tuple[tuple[float, float], ...]
    time_signatures: tuple[tuple[float, int, int], ...]
    first_beat_sample: int

    @classmethod
    def of(cls, timeline: Timeline) -> TimelineRecord:
        """Return the record of `timeline`."""
        return cls(
            tempos=tuple(timeline.tempos),
            time_signatures=tuple(timeline.time_signatures),
            first_beat_sample=timeline.first_beat_sample,
        )

    def timeline(self) -> Timeline:
        """Return the timeline that was recorded."""
        return Timeline(self.tempos, self.time_signatures, self.first_beat_sample)


class Session(_Frozen):
    """A bounce: what it was made of, and what came out."""

    format_version: Literal[1] = 1
    backline_version: str
    vocal: FileRecord
    bundle_sha256: str
    timeline: TimelineRecord
    tempo_confidence: float | None = None
    key: str | None
    style: str | None
    stems: tuple[str, ...]
    steps: int
    guidance: float
    seed: Annotated[int, Field(ge=0, lt=1 << 64)]
    from_bar: int | None
    to_bar: int | None
    keep: str | None
    kept: dict[str, FileRecord]
    preset_name: str | None
    preset: Preset
    dry: bool
    file_format: FileFormat
    rate_hz: int
    provider: str
    headroom_db: float
    master_gain_db: float
    dry_gain_db: float
    files: dict[str, str]
    warnings: tuple[str, ...]


def backline_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return metadata.version("backline")
    except metadata.PackageNotFoundError:
        return "0+source"


def write_session(session: Session, path: Path) -> None:
    """Write `session` to `path`."""
    path.write_text(session.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_session(path: Path) -> Session:
    """Return the session in `path`: a `session.json`, or the folder that holds one.

    Raises:
        UserError: the file is missing or is no session of this version.
    """
    file = path / "session.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a session; name the session.json of a bounce") from error
    try:
        return Session.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{file}: not a session of this version: {key}: {first['msg']}; bounce the vocal anew"
        ) from error
