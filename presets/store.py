"""Presets: TOML files checked on load, the factory ones inside the package and the user's own beside them."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.styles import style_index
from presets.chains import Effect

MAX_PRESET_BYTES = 1_000_000
GainDb = Annotated[float, Field(ge=-60.0, le=12.0)]
Chain = tuple[Effect, ...]
Location: TypeAlias = tuple[int | str, ...]


class PresetError(Exception):
    """A preset is missing or wrong; the message names the file, the line or key, the reason and the remedy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Gains(_Frozen):
    """Levels in the mix, in decibels."""

    drums: GainDb = 0.0
    bass: GainDb = 0.0
    other: GainDb = 0.0
    vocal: GainDb = 0.0

    def factor(self, track: str) -> float:
        """Return the linear gain of `track`; exactly 1.0 at 0 dB."""
        return math.pow(10.0, float(getattr(self, track)) / 20.0)


class Chains(_Frozen):
    """The effects of each stem, of the vocal, and of the bus that makes the master."""

    drums: Chain = ()
    bass: Chain = ()
    other: Chain = ()
    vocal: Chain = ()
    bus: Chain = ()

    def of(self, track: str) -> Chain:
        """Return the chain of `track`: a stem, `vocal` or `bus`."""
        chain: Chain = getattr(self, track)
        return chain


class Preset(_Frozen):
    """How an accompaniment is made and how it is mixed; style, steps and guidance may be left to the call."""

    title: str = Field(min_length=1, max_length=80)
    description: str = Field(default="", max_length=500)
    style: str | None = None
    steps: int | None = Field(default=None, ge=1, le=800)
    guidance: float | None = Field(default=None, ge=0.0, le=20.0)
    gains_db: Gains = Gains()
    chains: Chains = Chains()

    @field_validator("style")
    @classmethod
    def _known_style(cls, style: str | None) -> str | None:
        if style is not None:
            style_index(style)
        return style

    def changes_sound(self, track: str) -> bool:
        """Tell whether `track` leaves the mixer other than it came."""
        return bool(self.chains.of(track)) or (track != "bus" and self.gains_db.factor(track) != 1.0)


PLAIN = Preset(title="Plain", description="No effects, nothing chosen.")


def user_folder() -> Path:
    """Return the folder of the user's own presets; it may not exist."""
    return platformdirs.user_config_path("backline", appauthor=False) / "presets"


def preset_files() -> dict[str, Path | Traversable]:
    """Return every preset by name; a user's preset hides a factory one of the same name."""
    factory = resources.files("presets") / "factory"
    files: dict[str, Path | Traversable] = {
        entry.name.removesuffix(".toml"): entry for entry in factory.iterdir() if entry.name.endswith(".toml")
    }
    if user_folder().is_dir():
        files |= {entry.stem: entry for entry in user_folder().glob("*.toml")}
    return dict(sorted(files.items()))


def load_preset(name: str) -> Preset:
    """Return the preset called `name`, or that of a file when `name` ends in `.toml`.

    Raises:
        PresetError: there is no such preset, or its file is wrong.
    """
    if name.endswith(".toml"):
        return load_preset_file(Path(name))
    files = preset_files()
    if name not in files:
        raise PresetError(
            f"preset {name!r} is not known; expected one of: {', '.join(files)} (see backline preset list)"
        )
    return load_preset_file(files[name])


def load_preset_file(path: Path | Traversable) -> Preset:
    """Return the preset in `path`.

    Raises:
        PresetError: the file is missing, unreadable or wrong.
    """
    try:
        text = path.read_bytes()[:MAX_PRESET_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        raise PresetError(f"{path}: not UTF-8 text; save the preset as UTF-8") from error
    except OSError as error:
        raise PresetError(f"{path}: cannot be read ({error.strerror}); check the preset's path") from error
    return parse_preset(text, str(path))


def parse_preset(text: str, source: str) -> Preset:
    """Return the preset written in `text`.

    Args:
        text: TOML.
        source: what messages call the text: a file name.

    Raises:
        PresetError: the text is not TOML or breaks a rule; names the line and the key.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{source}: not valid TOML: {error}") from error
    try:
        return Preset.model_validate(table)
    except ValidationError as error:
        raise PresetError(f"{source}: {_reason(error, text)}") from error


def _reason(error: ValidationError, text: str) -> str:
    """Return the first mistake of `error` as `line 12: chains.drums.2.ratio: reason, got value`."""
    first = error.errors(include_url=False)[0]
    location = tuple(part for part in first["loc"] if not _is_tag(part, first["loc"]))
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
    line = line_of(text, location)
    where = f"line {line}: " if line else ""
    value = "" if isinstance(first["input"], (dict, list)) else f", got {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{key or 'preset'}: {message}{value}"


def _is_tag(part: int | str, location: Location) -> bool:
    """Tell whether `part` is the name of an effect, which pydantic puts behind the position in the chain."""
    return isinstance(part, str) and location[:1] == ("chains",) and location.index(part) == 3


def line_of(text: str, location: Location) -> int | None:
    """Return the line (from 1) where the key at `location` is written, or its table's, or nothing.

    Args:
        text: the TOML text, of the plain form in which presets are written: `[table]`, `[[array.of.tables]]`, `key =`.
        location: keys and, behind an array's name, a position from 0.
    """
    lines = text.splitlines()
    names = [part for part in location if isinstance(part, str)]
    position = next((part for part in location if isinstance(part, int)), None)
    for depth in range(len(names), -1, -1):
        header = _header_line(lines, names[:depth], position)
        if header is None:
            continue
        if depth == len(names):
            return header or None
        return _key_line(lines, header, names[depth]) or header or None
    return None


def _header_line(lines: Sequence[str], names: Sequence[str], position: int | None) -> int | None:
    """Return the line of the table `names` (0: the text's start for no names), or nothing."""
    if not names:
        return 0
    dotted = re.escape(".".join(names))
    pattern = rf"\s*\[\[\s*{dotted}\s*\]\]" if position is not None else rf"\s*\[\s*{dotted}\s*\]"
    found = [number for number, line in enumerate(lines, start=1) if re.match(pattern, line)]
    wanted = position or 0
    return found[wanted] if wanted < len(found) else None


def _key_line(lines: Sequence[str], header: int, key: str) -> int | None:
    """Return the line of `key` between the header's line and the next table's."""
    for number, line in enumerate(lines[header:], start=header + 1):
        if line.lstrip().startswith("["):
            return None
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return None
