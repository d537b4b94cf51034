"""What is said of options that are other servers', or mistyped."""

from __future__ import annotations

import re

import pytest

from daphne_like.launch.arguments import make_parser
from daphne_like.launch.spellings import FOREIGN, foreign, suggestion

OURS = make_parser("")._option_string_actions


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_named_is_there(name: str) -> None:
    """No name of the table is ours, and every option that it points to is."""
    assert name not in OURS
    told = re.sub("twistd --[a-z]+|twistd daphne-like has it: ", "", FOREIGN[name])
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told):
        assert option in OURS


@pytest.mark.parametrize("argument", ["-w", "-w=4"])
def test_foreign(argument: str) -> None:
    """With a value or without."""
    assert foreign(argument, OURS) == FOREIGN["-w"]


@pytest.mark.parametrize("argument", ["--bind", "-b", "main:app", "4"])
def test_not_foreign(argument: str) -> None:
    """Our own, and what is no option."""
    assert foreign(argument, OURS) is None


def test_suggestion() -> None:
    """What is close is suggested; nothing is better than what is far."""
    assert suggestion("--acces-log=x", OURS) == "--access-log"
    assert suggestion("--colour", OURS) is None
