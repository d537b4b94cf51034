"""Reads options from environment variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.settings import PREFIX, SETTINGS, Setting, nearest

CONFIG = f"{PREFIX}CONFIG"
"""The variable that names the file."""


def read_environment(environ: Mapping[str, str]) -> Iterator[tuple[Setting, str, Any]]:
    """Yield the settings that variables contain, each with the variable's name and the value.

    An empty variable counts as one that is not set, because many programs that start others
    cannot remove a variable.

    Raises:
        ConfigurationError: a variable has an invalid value, or its name begins with DAPHNE_LIKE_
            and belongs to no option.
    """
    _refuse_unknown(environ)
    for setting in SETTINGS:
        for name in setting.variables:
            text = environ.get(name, "").strip()
            if text:
                yield setting, name, setting.parse_text(text, name)
                break


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [CONFIG, *(setting.variables[0] for setting in SETTINGS)]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            raise ConfigurationError(f"{name}: no option has this variable{_hint(name, known)}")


def _hint(name: str, known: list[str]) -> str:
    """Return the end of a sentence about an unknown variable."""
    for setting in SETTINGS:
        if name == PREFIX + setting.name.upper():  # the option's name in Python
            return f"; did you mean {setting.variables[0]}?"
    # The common beginning would make all names similar.
    return nearest(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], PREFIX)
