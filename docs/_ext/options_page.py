"""The directive `all-options`: every option of the server, from daphne_like/options.py."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import option_index
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import daphne_like.options


class AllOptions(SphinxDirective):
    """A section for each group of options, with an entry to link to for each option."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        self.env.note_dependency(daphne_like.options.__file__)
        return self.parse_text_to_nodes("\n".join(_lines()), allow_section_headings=True)


def _lines() -> list[str]:
    lines = [".. program:: daphne-like", ""]
    for group, members in groupby(option_index.entries(), key=lambda entry: entry.group):
        lines += [group, "=" * len(group), ""]
        for entry in members:
            shown = ", ".join(entry.signatures)
            lines += [
                f".. option:: {shown}" if shown else f".. describe:: {entry.name}",
                "",
                f"   {entry.text}" + ("" if shown else " It is set in Python only."),
                "",
                f"   :Default: {entry.default}",
                f"   :Values: {entry.values}",
                f"   :Python: ``{entry.name}``",
                *_elsewhere(entry),
                "",
            ]
    return lines


def _elsewhere(entry: option_index.Entry) -> list[str]:
    if not entry.key:
        return []
    variables = ", ".join(f"``{name}``" for name in entry.variables)
    return [f"   :File: ``{entry.key}``", f"   :Environment: {variables}"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("all-options", AllOptions)
    return {"parallel_read_safe": True}
