"""Read a project's settings from `skipstone.toml`, or from `[tool.skipstone]` in `pyproject.toml`."""

from __future__ import annotations

import os
import stat
from typing import Any, NamedTuple

from .._errors import ConfigError

_OWN, _PROJECT = "skipstone.toml", "pyproject.toml"
_TABLE = b"tool.skipstone"


class ConfigFile(NamedTuple):
    """A file, and the settings in it."""

    path: str
    settings: dict[str, Any]


def config_file() -> ConfigFile | None:
    """Return the nearest file with settings, in the working folder or above it; None if there is none.

    Raises:
        ConfigError: The file is not TOML, or others can write to it, who could then say where results come from.
    """
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # the working folder was deleted
        return None
    while True:
        for name in (_OWN, _PROJECT):
            found = _read(os.path.join(folder, name), is_own=name == _OWN)
            if found is not None:
                return found
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _read(path: str, *, is_own: bool) -> ConfigFile | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
            facts = os.fstat(file.fileno())
    except OSError:
        return None
    if not is_own and _TABLE not in content:  # as nearly always; importing the parser takes milliseconds
        return None
    import tomllib

    try:
        table: Any = tomllib.loads(content.decode())
    except ValueError as error:
        message = f"{path} cannot be read: {error}"
        raise ConfigError(message) from error
    if not is_own:
        table = table.get("tool", {}).get("skipstone")
    if table is None:
        return None
    if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & stat.S_IWOTH:
        message = (
            f"the settings in {path} are not used: others can write to it, and so say where results come from"
        )
        raise ConfigError(message)
    if isinstance(table.get("artifacts_dir"), str):
        table["artifacts_dir"] = os.path.join(os.path.dirname(path), table["artifacts_dir"])
    return ConfigFile(path, table)
