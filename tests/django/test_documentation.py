"""The commands of docs/howto/django.rst, as written."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from tests.support.real_server import ipv6

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "django.rst"
COMMANDS = [
    line.strip().removeprefix("$ python manage.py ")
    for line in PAGE.read_text().splitlines()
    if line.startswith("    $ python manage.py ")
]

Project = Callable[..., Path]
Start = Callable[..., Any]


def test_the_page_has_commands() -> None:
    """The page is read as it is meant to be."""
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("command", COMMANDS)
def test_command(project: Project, manage: Start, tmp_path: Path, command: str) -> None:
    """It starts a server; of its words, only the port and the folder of files are others."""
    if "::1" in command and not ipv6():
        pytest.skip("there is no ::1: enable IPv6 on loopback")
    folder = project()
    if "site.pem" in command:
        pem = self_signed(tmp_path)
        for name in ("site.pem", "key.pem"):
            (folder / name).write_bytes(pem.read_bytes())
    words = shlex.split(command.replace("8000", "0").replace("/tmp", str(tmp_path)))
    if not {"-e", "0", "0:0", "[::1]:0"} & set(words):
        words.append("0")
    manage(folder, *words).wait_for(r"Quit the server with CONTROL-C")
