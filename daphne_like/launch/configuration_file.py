"""Reads options from a TOML file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import spellings
from daphne_like.launch.environment import CONFIG
from daphne_like.launch.settings import SETTINGS, Setting, nearest

FILE = "daphne-like.toml"
"""The file that is read from the working directory if no file is named."""
PYPROJECT = "pyproject.toml"
TABLE = ("tool", "daphne-like")
"""The place of options in a pyproject.toml."""


def find_file(named: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the path of the file to read; None if there is no file.

    Args:
        named: the value of --config.
        environ: may have DAPHNE_LIKE_CONFIG.
    """
    return named or environ.get(CONFIG) or (FILE if os.path.exists(FILE) else None)


def read_file(path: str) -> Iterator[tuple[Setting, str, Any]]:
    """Yield the settings of a file, each with its key as the file spells it and the value.

    Raises:
        ConfigurationError: the file cannot be read, is no TOML, has a key that names no option, or
            has an invalid value.
    """
    settings = {setting.key: setting for setting in SETTINGS}
    for spelled, value in _flat(_get_options(path)):
        key = spelled.replace(".", "-").replace("_", "-")
        if value == {} and any(known.startswith(f"{key}-") for known in settings):
            continue  # a sub-table without keys
        if key not in settings:
            raise ConfigurationError(f"{path}: there is no option {spelled!r}{_hint(key)}")
        setting = settings[key]
        yield setting, spelled, setting.parse_toml(value, f"{path}: {spelled}")


def _hint(key: str) -> str:
    """Return the end of a sentence about an unknown key."""
    python_names = {setting.name.replace("_", "-"): setting.key for setting in SETTINGS}
    if key in python_names:
        return f"; did you mean {python_names[key]}?"
    instead = spellings.foreign(f"--{key}", ())
    return f": {instead}" if instead else nearest(key, [setting.key for setting in SETTINGS])


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys and values, those of a sub-table behind the table's name and a dot."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _get_options(path: str) -> dict[str, Any]:
    """Return the table of options; a pyproject.toml keeps it in [tool.daphne-like]."""
    table = parse_toml(path)
    if os.path.basename(path) != PYPROJECT:
        return table
    for name in TABLE:
        found = table.get(name)
        if not isinstance(found, dict):
            raise ConfigurationError(f"{path}: there is no table [{'.'.join(TABLE)}]")
        table = found
    return table


def parse_toml(path: str, what: str = "The configuration file") -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        path: of the file.
        what: names it in the sentence if it cannot be read.
    Raises:
        ConfigurationError: the file cannot be read, or is no TOML.
    """
    # Imported here: most starts read no file.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with open(path, "rb") as file:
            table: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{what} {path}: {error.strerror}")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: expected TOML in UTF-8, found other bytes")
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}")
    return table
