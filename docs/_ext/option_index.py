"""Derive the entries of the options page from daphne_like/options.py.

Needs no Sphinx: the page's directive and a test both use it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from daphne_like.launch.settings import SETTINGS, Setting
from daphne_like.options import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    MAX_WORKERS,
    PLACEHOLDERS,
    WHOLE,
    Options,
    file_mode,
    on_or_off,
    seconds,
    whole_seconds,
    worker_number,
)

UNITS = {
    "bits": "bits",
    "bytes": "bytes",
    "connections": "connections",
    "request": "headers",
    "requests": "requests",
    "threads": "threads",
    "workers": "workers",
}
"""First word of a help text -> the unit of its number."""
TIMES = {seconds, whole_seconds}
WITHOUT_UNIT = {"close", "descriptor", "TCP", "zlib's", "0"}
"""First words of the help texts of whole numbers that count nothing."""
WITHOUT_ENDPOINT = {"host": DEFAULT_HOST, "port": DEFAULT_PORT}
"""The defaults that apply if no option says where to listen."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One option.

    Attributes:
        name: in Python.
        signatures: flags with the placeholder of their value; empty for what only Python sets.
        group: heading.
        text: what it does, a sentence of reStructuredText.
        values: which ones it takes, with the unit.
        default: with the unit.
        key: name in a file; empty for what only Python sets.
        variables: names in the environment.
    """

    name: str
    signatures: tuple[str, ...]
    group: str
    text: str
    values: str
    default: str
    key: str = ""
    variables: tuple[str, ...] = ()


def entries() -> Iterator[Entry]:
    """Return all options, those of a group together, in the order of Options."""
    settings = {setting.name: setting for setting in SETTINGS if not setting.off}
    fields = dataclasses.fields(Options)
    groups = list(dict.fromkeys(field.metadata["group"] for field in fields))
    for field in sorted(fields, key=lambda field: groups.index(field.metadata["group"])):
        metadata = field.metadata
        help_ = metadata["help"]
        text = help_[0].upper() + help_[1:]
        group = metadata["group"].partition(" (")[0]
        yield Entry(
            field.name,
            tuple(_signatures(field)),
            group[0].upper() + group[1:],
            _literals(text.rstrip(".") + "."),
            _values(field),
            _default(field),
            *_names_elsewhere(settings.get(field.name)),
        )


def _names_elsewhere(setting: Setting | None) -> tuple[str, tuple[str, ...]]:
    """Return the key in a file and the variables of an option."""
    return ("", ()) if setting is None else (setting.key, setting.variables)


def unit_of(metadata: Any) -> str:
    """Return the unit of a number; empty for a number that counts nothing.

    Raises:
        ValueError: the help text does not begin with a unit that UNITS knows.
    """
    if metadata["kind"] in TIMES:
        return "seconds"
    first = metadata["help"].split()[0].rstrip(":")
    if first in WITHOUT_UNIT or metadata["kind"] not in WHOLE:
        return ""
    if first not in UNITS:
        raise ValueError(f"an option of whole numbers begins with {first!r}, which is no unit")
    unit = UNITS[first]
    return f"{unit} per second" if "per second" in metadata["help"] else unit


def _literals(text: str) -> str:
    parts = re.split(r"((?<!\w)--?[a-z][a-z0-9-]*|[^\s,;()]*(?:\*\*|://|:\S)[^\s,;()]*)", text)
    plain = [re.sub(r"([*_`|\\])", r"\\\1", part) for part in parts[::2]]
    literal = [f"``{part}``" for part in parts[1::2]]
    return "".join(a + b for a, b in zip(plain, [*literal, ""], strict=True))


def _signatures(field: dataclasses.Field[Any]) -> Iterator[str]:
    metadata = field.metadata
    switch = metadata["kind"] is None and isinstance(field.default, bool)
    choices = metadata.get("choices")
    value = "|".join(map(str, choices)) if choices else metadata.get("metavar")
    value = value or PLACEHOLDERS.get(metadata["kind"], "")
    if "words" in metadata:
        value = f"[{value}]"
    for flag in metadata["flags"]:
        yield flag if switch else f"{flag} {value}"
    if "off" in metadata:
        yield metadata["off"]


def _values(field: dataclasses.Field[Any]) -> str:
    metadata, default = field.metadata, field.default
    kind, unit = metadata["kind"], unit_of(metadata)
    if choices := metadata.get("choices"):
        return ", ".join(f"``{choice}``" for choice in choices)
    if words := metadata.get("words"):
        return "a switch; " + ", ".join(f"``{word}``" for word in words) + " as its value"
    if kind is on_or_off:
        return "``on``, ``off``"
    if kind is worker_number:
        return f"a number of processes, 1 to {MAX_WORKERS}, or ``auto``"
    if kind is file_mode:
        return "three octal digits"
    if kind is None:
        if "int" in str(field.type):
            return UNITS[metadata["help"].split()[0]]
        if isinstance(default, bool):
            return "a switch, without a value"
        return "text; may be given several times" if metadata.get("repeated") else "text"
    least, most = metadata.get("least"), metadata.get("most")
    if least is None and kind in WHOLE:
        least = 0
    if most is not None:
        limits = f"{least} to {most}"
    else:
        limits = "more than 0" if least is None else f"{least} or more"
    values = f"{unit or 'a number'}, {limits}"
    return values + ("; ``0`` or ``-1`` for no limit" if metadata.get("forever") else "")


def _default(field: dataclasses.Field[Any]) -> str:
    metadata, default = field.metadata, field.default
    if field.name in WITHOUT_ENDPOINT:
        return f"``{WITHOUT_ENDPOINT[field.name]}``, when no other place to listen is given"
    if isinstance(default, bool):
        return "on" if default else "off"
    if default is None:
        return "no limit" if metadata.get("forever") else "not given"
    if default in ((), ""):
        return "none" if default == () else "empty"
    unit = unit_of(metadata) if isinstance(default, (int, float)) else ""
    return f"``{default}`` {unit}".rstrip()
