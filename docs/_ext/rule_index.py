"""Reads the rules' page, and which tests name each rule in their docstrings.

Needs neither Sphinx nor an import of the tests: the page's directive and a test both use it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "rules.rst"
_ID = r"(?:[CGHLSTWX]\d\d|K[1-9]\d?)"
_MENTION = re.compile(rf"\b({_ID})(?:(?: to |-)({_ID}))?\b")
_RULE = re.compile(rf"^\.\. rule:: ({_ID})\n((?:   :\w+:.*\n)*)\n((?:   .*\n)+)", re.MULTILINE)
_OPTION = re.compile(r"   :(\w+): (.*)")
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Rule:
    """One rule of the page.

    Attributes:
        untested: why no test holds it; empty for a rule that has tests.
    """

    sentence: str
    source: str
    untested: str


@dataclass(frozen=True, order=True)
class Holder:
    """A test, a class of tests or a module of tests whose docstring names a rule.

    Attributes:
        path: of the module, below `tests`.
        name: `Class.test`, `Class`, `test`, or empty for a whole module.
    """

    path: str
    name: str


def read_rules(page: Path = PAGE) -> dict[str, Rule]:
    """Return the rules of the page, in its order.

    Raises:
        ValueError: a rule stands there twice, or a directive is not written as the others are.
    """
    text = page.read_text(encoding="utf-8")
    rules: dict[str, Rule] = {}
    for match in _RULE.finditer(text):
        id_, options, sentence = match.groups()
        if id_ in rules:
            raise ValueError(f"{page.name}: {id_} stands here twice")
        given = dict(_OPTION.findall(options))
        rules[id_] = Rule(
            " ".join(sentence.split()), given.get("source", ""), given.get("untested", "")
        )
    if len(rules) != text.count("\n.. rule::"):
        raise ValueError(f"{page.name}: a rule is not id, options, empty line and sentence")
    return rules


def mentioned(text: str, known: Iterable[str]) -> set[str]:
    """Return the ids that a text names; a range names each known rule between its ends."""
    found: set[str] = set()
    for first, last in _MENTION.findall(text):
        found.add(first)
        if last:
            found.add(last)
            low, high = int(first[1:]), int(last[1:])
            found |= {id_ for id_ in known if id_[0] == first[0] and low <= int(id_[1:]) <= high}
    return found


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each docstring and comment of a module.

    Everything else is left out, so that `X11` in a User-Agent is not taken for a rule. So are
    the codes of a linter behind `noqa`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"noqa: [A-Z\d, ]+", "", token.string)


def unknown_ids(source: str, known: Iterable[str]) -> list[tuple[int, str]]:
    """Return line number and id for each id in a module's prose that is not a known one."""
    known = set(known)
    if not mentioned(source, known) - known:  # most modules: nothing to look for more closely
        return []
    return [
        (line, id_)
        for line, text in prose(source)
        for id_ in sorted(mentioned(text, known) - known)
    ]


def find_holders(known: Iterable[str], tests: Path = ROOT / "tests") -> dict[str, list[Holder]]:
    """Return for each rule the tests whose docstrings name it, sorted.

    Where a class or a module names a rule and something inside it does so too, only the latter
    is listed.
    """
    known = set(known)
    holders: dict[str, set[Holder]] = {}
    for path in sorted(tests.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not mentioned(source, known):
            continue
        module = ast.parse(source)
        for id_, names in _named_by(module, "", known).items():
            found = {Holder(path.relative_to(tests).as_posix(), name) for name in names}
            holders.setdefault(id_, set()).update(found)
    return {id_: sorted(found) for id_, found in holders.items()}


def _named_by(node: Documented, name: str, known: set[str]) -> dict[str, set[str]]:
    """Return for each rule the names of the tests in a module, class or function."""
    inner: dict[str, set[str]] = {}
    is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if not is_test:
        for child in node.body:
            if not _holds_tests(child):
                continue
            assert isinstance(child, Documented)
            child_name = getattr(child, "name", "")
            full_name = f"{name}.{child_name}" if name else child_name
            for id_, names in _named_by(child, full_name, known).items():
                inner.setdefault(id_, set()).update(names)
    if is_test or inner or any(_holds_tests(child) for child in node.body):
        for id_ in mentioned(ast.get_docstring(node) or "", known):
            inner.setdefault(id_, {name})
    return inner


def _holds_tests(node: ast.AST) -> bool:
    """Tell whether a node is a test, or a class with tests in it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name.startswith("test")
    return isinstance(node, ast.ClassDef) and any(_holds_tests(child) for child in node.body)
