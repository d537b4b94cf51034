"""Every code block of docs/howto/testing.rst is run as written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.python_runs import CHANNELS_PROJECT, ROOT, Run

PAGE = ROOT / "docs" / "howto" / "testing.rst"
BLOCK = re.compile(r"\.\. code-block:: python\n   :name: (\S+)\n\n((?:    .*\n|\n)+)")
BLOCKS = {
    name: re.sub("^    ", "", text, flags=re.MULTILINE).strip() + "\n"
    for name, text in BLOCK.findall(PAGE.read_text())
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Channels project, without its tests."""
    needed.module("channels")
    shutil.copytree(CHANNELS_PROJECT, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("test_*.py"):
        path.unlink()
    return tmp_path


def test_every_block_is_run() -> None:
    """The tests below are of all blocks."""
    assert set(BLOCKS) == {"test_site.py", "program.py", "tests.py", "settings.py", "line",
                           "live"}  # fmt: skip


def test_pytest(run: Run, tmp_path: Path) -> None:
    """The fixture's example passes."""
    (tmp_path / "test_site.py").write_text(BLOCKS["test_site.py"])
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout, done.stdout


def test_program(run: Run, tmp_path: Path) -> None:
    """The context manager's example serves README's application."""
    shutil.copy(ROOT / "examples" / "hello.py", tmp_path)
    (tmp_path / "program.py").write_text(BLOCKS["program.py"])
    done = run("program.py")
    assert done.stdout == "200\n", done.stderr


def test_django(run: Run, project: Path) -> None:
    """The test case's example passes, with the databases of the page."""
    (project / "tests.py").write_text(BLOCKS["tests.py"])
    with (project / "settings.py").open("a") as file:
        file.write(BLOCKS["settings.py"])
    done = run("manage.py", "test", "--noinput")
    assert "Ran 1 test" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_channels(run: Run, project: Path) -> None:
    """The one line in the settings, and the attribute that chooses the server."""
    with (project / "settings.py").open("a") as file:
        file.write(BLOCKS["line"])
    (project / "tests.py").write_text(
        BLOCKS["live"] + "\n"
        "    def test_it(self):\n"
        "        from urllib.request import urlopen\n"
        "        with urlopen(self.live_server_url + '/users', timeout=20) as answer:\n"
        "            assert answer.read() == b''\n"
    )
    done = run("manage.py", "test", "--noinput", START_METHOD="spawn")
    assert "Ran 1 test" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
