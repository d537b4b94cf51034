"""Colours for lines on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLOURS = {2: "32", 3: "36", 4: "33", 5: "31"}
"""First digit of a status -> green, cyan, yellow, red, as parameters of ECMA-48's SGR."""


def has_colours(stream: Any, environ: Mapping[str, str]) -> bool:
    """Tell whether lines written to a stream may have colours.

    NO_COLOR switches them off and FORCE_COLOR on, if they are not empty (no-color.org,
    force-color.org); otherwise a terminal has them, unless it is a dumb one.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    try:
        return bool(stream.isatty()) and environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):
        return False


def coloured(status: int) -> str:
    """Return a status in its colour."""
    colour = COLOURS.get(status // 100)
    return f"\x1b[{colour}m{status}\x1b[0m" if colour else str(status)
