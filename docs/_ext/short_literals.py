"""Marks short inline literals, which the style sheet keeps on one line.

A browser breaks a line behind a hyphen, also within `--fd`.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

MAX_CHARACTERS = 32
"""Characters of a literal that fit beside the margin of a list on a screen of 390 pixels."""


def mark(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Give them a class."""
    for literal in doctree.findall(nodes.literal):
        if len(literal.astext()) <= MAX_CHARACTERS:
            literal["classes"].append("short")


def setup(app: Sphinx) -> dict[str, Any]:
    """Have every page marked."""
    app.connect("doctree-resolved", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
