"""Training configs: a TOML file becomes a frozen dataclass, and whatever does not fit is refused by name.

Nested tables are nested dataclasses. A key that is missing takes the dataclass's default; a key that the dataclass
does not have is an error that lists those it has.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

Config = TypeVar("Config")


def load_config(path: Path, kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read the TOML file `path` as a `kind`, with `table.key=value` strings laid over it.

    Args:
        path: a TOML file.
        kind: a frozen dataclass; its fields may be dataclasses, numbers, strings, booleans, paths, tuples or None.
        overrides: such as `optimiser.learning_rate=1e-4`; the value is TOML, or a bare string.

    Raises:
        ValueError: the file is no TOML, or a key or value does not fit; the message names the file and the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"config {path} does not exist; those of the project are in configs/") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"config {path} is not valid TOML: {error}") from error
    for override in overrides:
        _apply_override(table, override)
    return config_from_table(table, kind, str(path))


def config_from_table(table: Mapping[str, Any], kind: type[Config], where: str = "config") -> Config:
    """Make a `kind` from a parsed TOML table; `where` names the table in errors."""
    known = {field.name for field in dataclasses.fields(cast(Any, kind))}
    for key in table:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; expected one of: {', '.join(sorted(known))}")
    hints = typing.get_type_hints(kind)
    values = {key: _convert(value, hints[key], f"{where}: {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def config_to_table(config: Any) -> dict[str, Any]:
    """Return `config` as nested plain values, for a checkpoint or a manifest; None values are left out."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            table[field.name] = config_to_table(value)
        elif value is not None:
            table[field.name] = _plain(value)
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _apply_override(table: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator:
        raise ValueError(f"override {override!r} has no '='; expected table.key=value")
    *parents, leaf = dotted.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ValueError(f"override {override!r}: {parent} is a value, not a table")
    try:
        table[leaf] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[leaf] = text.strip()


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as the type `hint` asks for, or raise a ValueError that begins with `where`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert(value, next(kind for kind in arguments if kind is not type(None)), where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r}; expected a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise ValueError(f"{where} has {len(value)} entries; expected {len(kinds)}")
        return tuple(_convert(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r}; expected a table")
        return config_from_table(value, cast(Any, hint), where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError(f"{where} is {value!r}; expected {hint.__name__}")
    return value
