"""The tables of options on the pages for users of uvicorn, Granian and gunicorn are complete."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from daphne_like.launch.command import CommandLineInterface
from tests.support import needed

HOWTO = Path(__file__).parents[1] / "docs" / "howto"
RULER = re.compile(r"^=+ +=+$")
FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*", re.IGNORECASE)


def tables(page: str, head: str) -> list[list[tuple[str, str]]]:
    """The two-column tables of a page whose first head is that, as pairs of texts."""
    found = []
    lines = (HOWTO / page).read_text().splitlines()
    for number, line in enumerate(lines[:-1]):
        if RULER.match(line) and lines[number + 1].split()[:1] == [head]:
            width = line.index(" ")
            rows: list[tuple[str, str]] = []
            for row in lines[number + 3 :]:
                if RULER.match(row):
                    break
                first, second = row[:width].strip(), row[width:].strip()
                if first:
                    rows.append((first, second))
                else:
                    rows[-1] = (rows[-1][0], f"{rows[-1][1]} {second}")
            found.append(rows)
    return found


def literals(text: str) -> list[str]:
    """The literals of a cell."""
    return re.findall(r"``(.+?)``", text)


def listed(page: str, head: str) -> set[str]:
    """The other server's flags in the first table."""
    return {name for first, _ in tables(page, head)[0] for name in literals(first)}


def uvicorns() -> set[str]:
    """The flags of `uvicorn --help`."""
    needed.module("uvicorn")
    from uvicorn.main import main

    return {flag for each in main.params for flag in each.opts + each.secondary_opts
            if flag.startswith("-")} | {"--help"}  # fmt: skip


def granians() -> set[str]:
    """The flags of `granian --help`."""
    needed.module("granian")
    from granian.cli import cli

    return {flag for each in cli.params for flag in each.opts + each.secondary_opts}


def gunicorns() -> set[str]:
    """The flags of `gunicorn --help`."""
    needed.module("gunicorn")
    from gunicorn.config import Config

    actions = Config().parser()._actions
    return {flag for each in actions for flag in each.option_strings}


class TestComplete:
    """Every option of the other server has its row."""

    @pytest.mark.parametrize(
        ("page", "head", "flags"),
        [
            ("from-uvicorn.rst", "uvicorn", uvicorns),
            ("from-gunicorn.rst", "gunicorn", gunicorns),
        ],
    )
    def test_every_flag(self, page: str, head: str, flags: Callable[[], set[str]]) -> None:
        """`--help` of the installed version and the table name the same ones."""
        assert listed(page, head) == flags()

    def test_granian(self) -> None:
        """The table of Granian names options that exist."""
        assert listed("from-uvicorn.rst", "Granian") <= granians()


class TestOurs:
    """Our side of the tables."""

    @pytest.mark.parametrize("page", ["from-uvicorn.rst", "from-gunicorn.rst"])
    def test_options_exist(self, page: str) -> None:
        """Every flag that a cell names is an option of the command, with the same spelling."""
        parser = CommandLineInterface().parser
        known = {flag for action in parser._actions for flag in action.option_strings}
        named = {
            flag
            for head in ("uvicorn", "gunicorn", "Granian")
            for table in tables(page, head)
            for _, second in table
            for literal in literals(second)
            if literal.startswith("-")
            for flag in FLAG.findall(literal)
        }
        elsewhere = {"--env-file"}  # of Docker
        assert len(named) > 20
        assert named - known == elsewhere & named

    @pytest.mark.parametrize(
        ("page", "head", "count"),
        [("from-uvicorn.rst", "uvicorn", 55), ("from-gunicorn.rst", "gunicorn", 90),
         ("from-uvicorn.rst", "Granian", 35)],
    )  # fmt: skip
    def test_same_means_same(self, page: str, head: str, count: int) -> None:
        """A row that begins with "same" names an option that is spelled the same here."""
        rows = tables(page, head)[0]
        assert len(rows) >= count
        parser = CommandLineInterface().parser
        known = {flag for action in parser._actions for flag in action.option_strings}
        same = [first for first, second in rows if second.startswith("same")]
        assert len(same) > 5
        assert [first for first in same if not set(literals(first)) <= known] == []


def test_a_suggestion_is_an_option() -> None:
    """The command's own hints for options of other servers agree: what they name exists."""
    from daphne_like.launch.spellings import FOREIGN

    parser: argparse.ArgumentParser = CommandLineInterface().parser
    known = {flag for action in parser._actions for flag in action.option_strings}
    hints = {hint for hint in FOREIGN.values() if hint.startswith("-")}
    first = {hint.split()[0].rstrip(",;") for hint in hints}
    assert first - known == set()
