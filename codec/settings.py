"""The network's sizes, and how they are read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stream.errors import ClariError


class SettingsError(ClariError):
    """Settings that cannot be used; the message names the key and the cure."""


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of what is learned between ear and voice. A block at 12.5 Hz costs a quarter of one at 50 Hz."""

    head_width: int = 384
    head_blocks: int = 5
    decoder_widths: tuple[int, int, int] = (448, 320, 256)  # at 12.5, 25 and 50 Hz
    decoder_blocks: tuple[int, int, int] = (5, 3, 2)


def network_settings(path: Path | None) -> NetworkSettings:
    """The table [network] of a TOML file, the defaults without one.

    Raises:
        SettingsError: the file cannot be read, or holds a key that is not known.
    """
    if path is None:
        return NetworkSettings()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("network", {})
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); give a TOML file") from None
    unknown = set(table) - {field.name for field in fields(NetworkSettings)}
    if unknown:
        raise SettingsError(f"{path}: unknown key {sorted(unknown)[0]!r} in [network]; delete it")
    return settings_from(table)


def settings_from(table: dict[str, Any]) -> NetworkSettings:
    """Settings from a table of known keys, whose lists become tuples."""
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return NetworkSettings(**known)
