"""A deployment changes a symbolic link to the current release; SIGHUP starts the new release."""

from __future__ import annotations

import os
import signal
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.real_server import Running, fetched

ROOT = Path(__file__).parents[2]
APPLICATION = """
import os, sys

PREFIX = os.path.realpath(sys.prefix)

async def application(scope, receive, send):
    body = f"{NAME} {PREFIX} {os.getcwd()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


class Site:
    """A folder with two releases and the link `current`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"
        for name in ("one", "two"):
            (folder / "releases" / name).mkdir(parents=True)
            text = f"NAME = {name!r}\n{APPLICATION}"
            (folder / "releases" / name / "main.py").write_text(text)
        self.point_to("one")

    def point_to(self, name: str) -> None:
        """Change the link as `ln -sfn` does."""
        new = self.folder / "new"
        new.symlink_to(self.folder / "releases" / name)
        new.replace(self.current)

    def add_interpreters(self) -> None:
        """Give each release an environment of its own, which finds the installed packages."""
        for release in (self.folder / "releases").iterdir():
            venv.create(release / "venv", symlinks=True, with_pip=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """start(*arguments, ...): a server that is ready, and that ends with the test."""
    with ExitStack() as started:

        def run(*arguments: str, **how: object) -> Running:
            running = Running("--workers", "1", "-p", "0", *arguments, "main:application", **how)  # type: ignore[arg-type] # passed on
            started.callback(running.stop)
            return running.wait_until_ready()

        yield run


def answer(running: Running) -> list[str]:
    """The words of the answer: release, prefix of the interpreter, working directory."""
    return fetched(running.port).partition(b"\r\n\r\n")[2].decode().split()


def restart(running: Running) -> None:
    running.signal(signal.SIGHUP)
    running.wait_for("Restarted: 1 worker of generation 2")
    running.wait_for(r"generation 1\) has ended")  # until then it may accept a connection


class TestRelease:
    """New workers belong to the release that the link names."""

    def test_working_directory(self, site: Site, start: Callable[..., Running]) -> None:
        """A shell's `cd current` is followed: $PWD names the link."""
        running = start(cwd=site.current, environment={"PWD": str(site.current)})
        assert answer(running)[0] == "one"
        site.point_to("two")
        restart(running)
        release, _, directory = answer(running)
        assert (release, directory) == ("two", str(site.folder / "releases" / "two"))

    def test_app_dir(self, site: Site, start: Callable[..., Running]) -> None:
        """Without $PWD the name in --app-dir is followed."""
        running = start("--app-dir", str(site.current), cwd=site.folder)
        assert answer(running)[0] == "one"
        site.point_to("two")
        restart(running)
        assert answer(running)[0] == "two"

    def test_configuration_file(self, site: Site, start: Callable[..., Running]) -> None:
        """The file in the working directory is the new release's, too."""
        for release in ("one", "two"):
            path = site.folder / "releases" / release / "daphne-like.toml"
            path.write_text(f'server-name = "{release}"\n')
        running = start(cwd=site.current, environment={"PWD": str(site.current)})
        assert b"Server: one" in fetched(running.port)
        site.point_to("two")
        restart(running)
        assert b"Server: two" in fetched(running.port)

    def test_another_pwd(self, site: Site, start: Callable[..., Running]) -> None:
        """$PWD counts only if it names the present directory."""
        one = site.folder / "releases" / "one"
        running = start(cwd=one, environment={"PWD": str(site.folder)})
        assert answer(running)[2] == str(one)

    def test_interpreter(self, site: Site, start: Callable[..., Running]) -> None:
        """An interpreter below the link is the new release's in new workers."""
        site.add_interpreters()
        packages = [path for path in sys.path if path.endswith("site-packages")]
        running = start(
            "--app-dir", str(site.current),
            cwd=site.folder,
            program=(str(site.current / "venv" / "bin" / "python"), "-m", "daphne_like"),
            environment={"PYTHONPATH": os.pathsep.join([str(ROOT), *packages])},
        )  # fmt: skip
        prefixes = [answer(running)[1]]
        site.point_to("two")
        restart(running)
        prefixes.append(answer(running)[1])
        assert [Path(prefix).parent.name for prefix in prefixes] == ["one", "two"]

    def test_directory_is_gone(self, site: Site, start: Callable[..., Running]) -> None:
        """A link that leads nowhere fails the restart, and the worker before it goes on serving."""
        running = start(cwd=site.current, environment={"PWD": str(site.current)})
        site.current.unlink()
        running.signal(signal.SIGHUP)
        running.wait_for(f"The working directory {site.current}: No such file or directory")
        assert answer(running)[0] == "one"
