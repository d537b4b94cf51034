"""Shows the file name above a code block whose `:name:` is one.

The tests write such blocks to files of these names and run them.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock


class NamedCodeBlock(CodeBlock):
    """A code block; a name with a suffix is its caption as well."""

    def run(self) -> list[nodes.Node]:
        """Return the block."""
        name = self.options.get("name", "")
        # Popped, because several pages have a program.py: it is no label to link to.
        if "." in name:
            self.options.setdefault("caption", self.options.pop("name"))
        return super().run()


def setup(app: Sphinx) -> dict[str, Any]:
    """Replace Sphinx's directive of the same name."""
    app.add_directive("code-block", NamedCodeBlock, override=True)
    return {"parallel_read_safe": True}
