"""The directive `rule`: a rule with its source and, folded, the tests that hold it."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any, ClassVar

import rule_index
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.application import Sphinx


class RuleDirective(Directive):
    """One rule of the page; its argument is the id, its content the sentence."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "source": directives.unchanged_required,
        "untested": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the rule as a definition with an anchor of its own."""
        id_ = self.arguments[0]
        rule = nodes.container(classes=["rule"])
        target = nodes.target("", "", ids=[id_.lower()])
        self.state.document.note_explicit_target(target)
        self.state.nested_parse(self.content, self.content_offset, rule)
        first = rule.children[0]
        assert isinstance(first, nodes.paragraph)
        first.insert(0, [nodes.strong(text=id_), nodes.Text(" ")])
        source = nodes.paragraph(classes=["rule-source"])
        source += nodes.Text("Source: " + self.options["source"] + ".")
        rule += source
        holders = self._holders(id_)
        if "untested" in self.options:
            rule += nodes.paragraph(text="No test: " + self.options["untested"] + ".")
        elif holders:
            rule += nodes.raw("", _folded(holders), format="html")
        return [target, rule]

    def _holders(self, id_: str) -> list[rule_index.Holder]:
        env = self.state.document.settings.env
        if not hasattr(env, "rule_holders"):
            env.rule_holders = rule_index.find_holders(rule_index.read_rules())
        return env.rule_holders.get(id_, [])


def _folded(holders: list[rule_index.Holder]) -> str:
    """Return the tests as HTML that is folded until the reader opens it."""
    lines = [f"<details><summary>Tests: {len(holders)}</summary><ul>"]
    for path, group in groupby(holders, key=lambda holder: holder.path):
        names = "".join(f"<li><code>{escape(holder.name)}</code></li>" for holder in group)
        names = f"<ul>{names}</ul>" if "<code></code>" not in names else ""
        lines.append(f"<li>{escape(path)}{names}</li>")
    return "\n".join([*lines, "</ul></details>"])


def _forget(app: Sphinx, env: Any, docnames: list[str]) -> None:
    """Read the tests anew in each build, and the page with them."""
    env.__dict__.pop("rule_holders", None)
    if "reference/rules" in env.found_docs and "reference/rules" not in docnames:
        docnames.append("reference/rules")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("rule", RuleDirective)
    app.connect("env-before-read-docs", _forget)
    app.add_css_file("pages.css")
    return {"parallel_read_safe": False}
