"""Sentences of the code and the documentation are plain English (docs/contributing/style.rst)."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "daphne_like").rglob("*.py"))
PAGES = sorted([*(ROOT / "docs").rglob("*.rst"), ROOT / "README.rst"])

RIDDLES = re.compile(
    r"""(?x)
      (?<!there\ )\bis\ none\b(?!\ of) | \bare\ none\b | \bof\ ours\b | \bof\ theirs\b
    | \bin\ the\ place\ of\b | \bstands\ in\ for\b | \bas\ \S+\ has\ it\b | \bas\ \S+\ have\ it\b
    | \bhas\ (?:its|his)\ turn\b | \bhave\ (?:its|their)\ turn\b | \bcan\ not\b
    | \bwho(?:ever)?\ (?:sends|reads|asks|connects|comes)\b | \bwith\ what\ is\b
    | \bnothing\ of\ (?:it|them)\b | \bno\ more\ than\ ever\b | \bor\ lacks\b
    | \bnone\ the\ less\b | \bwhatever\ (?:it|they|that)\ (?:is|are|be)\b
    | \bso\ it\ is\b(?=[.,;:)]) | \bthere\ and\ then\b | \bis\ to\ be\ (?:had|found)\b
    """,
)
"""Turns of phrase that make a reader stop: each has a plain equivalent."""

OPENINGS = re.compile(r"(?:What|Who|Whose|Whom|Whether|How|Where|When|That|Those|Not)\b")
"""First words of a sentence fragment where a docstring should name a thing or give an order."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment and each string that is a statement."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, node.value.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code(path: Path) -> None:
    """Comments and docstrings have none of the riddles; docstrings do not begin as fragments."""
    name = path.relative_to(ROOT)
    found = [
        f"{name}:{line}: {match[0]!r} in {text.strip():.120}"
        for line, text in prose(path)
        for match in RIDDLES.finditer(text)
    ]
    found += [
        f"{name}:{line}: begins with a fragment: {text:.80}"
        for line, text in docstrings(path)
        if OPENINGS.match(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path: Path) -> None:
    """Pages have none of the riddles."""
    text = path.read_text(encoding="utf-8")
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for match in RIDDLES.finditer(text)
    ]
    assert not found, "\n".join(found)
