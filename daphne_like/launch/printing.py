"""Prints a configuration as TOML, each value with its origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from daphne_like.launch.configuration import Configuration
from daphne_like.launch.settings import APPLICATION, SETTINGS, Setting
from daphne_like.listening.strings import without_password
from daphne_like.options import file_mode

HIDDEN = "pass:***"


def to_toml(configuration: Configuration) -> str:
    """Return a configuration as the text of a file that sets every option.

    Comments tell where each value comes from, and which options are not set. Passwords are
    replaced with ***; sources of passwords (`env:NAME`, `file:PATH`) are not secret.
    """
    return "\n".join(_lines(configuration)) + "\n"


def _lines(configuration: Configuration) -> Iterator[str]:
    origin = configuration.origin(APPLICATION)
    yield f"{APPLICATION} = {_literal(configuration.application)}  # {origin}"
    settings = [setting for setting in SETTINGS if setting.field is not None]
    groups = list(dict.fromkeys(map(_group, settings)))
    settings.sort(key=lambda setting: groups.index(_group(setting)))
    for group, members in groupby(settings, _group):
        yield f"\n# {group}"
        for setting in members:
            line = _line(setting, getattr(configuration.options, setting.name))
            if line is not None:
                yield f"{line}  # {configuration.origin(setting.name)}"


def _group(setting: Setting) -> str:
    return str(setting.field.metadata["group"]) if setting.field is not None else ""


def _line(setting: Setting, value: Any) -> str | None:
    """Return the line of a setting without its comment; None if another line sets the option."""
    assert setting.field is not None
    metadata = setting.field.metadata
    if setting.off:
        return f"{setting.key} = true" if value is None else None
    if value is None:
        if metadata.get("forever"):
            return f"{setting.key} = 0"
        return None if metadata.get("off") else f"# {setting.key} is not set"
    return f"{setting.key} = {_literal(_shown(setting, value))}"


def _shown(setting: Setting, value: Any) -> Any:
    """Return a value as the file contains it, without its password."""
    assert setting.field is not None
    metadata = setting.field.metadata
    if metadata["kind"] is file_mode:
        return f"{value:o}"
    if metadata.get("secret"):
        return HIDDEN if value.startswith("pass:") else value
    if metadata.get("repeated"):
        return [without_password(each) for each in value]
    return value


def _literal(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    if not isinstance(value, str):
        return repr(value)
    # JSON's strings are TOML's, but for DEL. A character that is not valid in UTF-8 becomes "?".
    text = value.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")
