"""Sphinx configuration; the options' page is written from the options themselves."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from daphne_like import __version__
from daphne_like.options import Options

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "daphne-like"
copyright = "2026, the daphne_like authors"
version = release = __version__
extensions = ["rule_directive"]
html_theme = "alabaster"
html_static_path = ["_static"]
exclude_patterns = ["_build", "_ext", "_static"]


def write_options(path: Path) -> None:
    """Write the table of options, group by group."""
    lines: list[str] = []
    group = ""
    for field in dataclasses.fields(Options):
        metadata = field.metadata
        if metadata["group"] != group:
            group = metadata["group"]
            heading = group[0].upper() + group[1:]
            lines += ["", heading, "=" * len(heading), ""]
        names = ", ".join(f"``{flag}``" for flag in metadata["flags"])
        names = names or f"``{field.name}`` (argument of ``Server`` only)"
        default = "none" if field.default in (None, ()) else f"``{field.default!r}``"
        lines += [names, f"    {metadata['help']}. Default: {default}.", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


write_options(Path(__file__).parent / "reference" / "options.txt")
