"""docs/howto/deploy.rst: its files, its script and its tables."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daphne_like.options import Options
from tests.support import needed
from tests.support.documentation import ROOT, block
from tests.support.real_server import DEADLINE, Running

PAGE = ROOT / "docs" / "howto" / "deploy.rst"
APPLICATION = """
import json, os, sys

VERSION = 1
PREFIX = os.path.realpath(sys.prefix)

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    told = {"version": VERSION, "prefix": PREFIX}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""
SYSTEMCTL = """#!/bin/sh
# The part of systemctl that the script uses, for a service whose process is in the file `pid`.
case "$1" in
    try-reload-or-restart) if [ -f PID ]; then kill -HUP "$(cat PID)"; fi ;;
    show) echo shown ;;
    *) exit 1 ;;
esac
"""


class Site:
    """The page's /srv/site in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "http.sock"
        self.pid_file = folder / "pid"
        self.source = folder / "checkout"
        (self.source / "mysite").mkdir(parents=True)
        (self.source / "requirements.txt").write_text("")
        (folder / "releases").mkdir()
        self.change(APPLICATION)
        options = block(PAGE, "toml").replace(
            "systemd:domain=UNIX:name=site", f"unix:{self.socket}"
        )
        (folder / "daphne-like.toml").write_text(self.here(options))
        script = block(PAGE, "shell")
        assert "runuser -u site -- " in script
        # The user does not exist here.
        self._write_program("deploy", self.here(script).replace("runuser -u site -- ", ""))
        (folder / "bin").mkdir()
        self._write_program("bin/systemctl", SYSTEMCTL.replace("PID", str(self.pid_file)))
        packages = [path for path in sys.path if path.endswith("site-packages")]
        self.environment = {
            "PATH": f"{folder}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *packages]),
        }

    def here(self, text: str) -> str:
        """A text of the page with the test's folder."""
        return text.replace("/srv/site", str(self.folder))

    def _write_program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def change(self, text: str) -> None:
        """Change the code."""
        (self.source / "mysite" / "asgi.py").write_text(text)

    def deploy(self) -> subprocess.CompletedProcess[str]:
        """Run the page's script as the page says."""
        (command,) = set(re.findall(r"\$ sudo (/srv/site/deploy .*)", PAGE.read_text()))
        return subprocess.run(
            shlex.split(self.here(command)),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self) -> Running:
        """Start the page's ExecStart."""
        (command,) = re.findall(r"ExecStart=(/.*)", block(PAGE, "ini"))
        program = shlex.split(self.here(command))
        running = Running(
            "--pid-file", str(self.pid_file),
            program=program, cwd=self.folder, environment=self.environment,
        )  # fmt: skip
        running.wait_for("serves mysite.asgi:application")
        return running

    def ask(self) -> dict[str, object]:
        """What the application tells."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(self.socket))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        told: dict[str, object] = json.loads(received.partition(b"\r\n\r\n")[2])
        return told


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def served(site: Site) -> Iterator[Running]:
    """The site, after its first release."""
    done = site.deploy()
    assert (done.returncode, done.stderr) == (0, "")
    with ExitStack() as started:
        running = site.start()
        started.callback(running.stop)
        yield running


class TestReleases:
    """The script of the page."""

    def test_next_release(self, site: Site, served: Running) -> None:
        """New workers have the new code and the interpreter of the new release."""
        before = site.ask()
        assert before["version"] == 1
        site.change(APPLICATION.replace("VERSION = 1", "VERSION = 2"))
        done = site.deploy()
        assert (done.returncode, done.stderr) == (0, "")
        assert "configuration is valid" in done.stdout
        served.wait_for("Restarted: .* of generation 2")
        needed.until(lambda: site.ask()["version"] == 2)  # old workers may accept until they end
        after = site.ask()
        assert after["version"] == 2
        assert after["prefix"] == str((site.folder / "current").resolve() / "venv")
        assert after["prefix"] != before["prefix"]
        (ps,) = re.findall(r"\$ (ps -o .*)", PAGE.read_text())
        ps = re.sub(r"\$\(.*\)", str(served.process.pid), ps)
        shown = subprocess.run(shlex.split(ps), capture_output=True, text=True, timeout=DEADLINE)
        assert re.search(r"^ *\d+ w1g2 ready +\d+ ", shown.stdout, re.MULTILINE)

    def test_broken_release(self, site: Site, served: Running) -> None:
        """Code that cannot be imported ends the script before anything changes."""
        current = (site.folder / "current").resolve()
        site.change("import no_such_module\n")
        done = site.deploy()
        assert done.returncode == 2
        assert "no_such_module" in done.stderr
        assert (site.folder / "current").resolve() == current
        assert site.ask()["version"] == 1
        assert "Restarting" not in served.log


class TestFiles:
    """The page's files for other programs."""

    def test_drop_in(self, tmp_path: Path) -> None:
        """systemd-analyze verify takes the unit files together with the drop-in."""
        analyze = needed.program("systemd-analyze", "systemd")
        (tmp_path / "current/venv/bin").mkdir(parents=True)
        (tmp_path / "current/venv/bin/python").symlink_to("/bin/sh")
        for name in ("daphne-like.service", "daphne-like.socket"):
            text = (ROOT / "examples" / "systemd" / name).read_text()
            text = text.replace("/srv/site", str(tmp_path)).replace("User=site", "User=root")
            (tmp_path / name).write_text(text.replace("Type=notify-reload", "Type=notify"))
        drop_in = tmp_path / "daphne-like.service.d" / "site.conf"
        drop_in.parent.mkdir()

        def verify(text: str) -> str:
            drop_in.write_text(text.replace("/srv/site", str(tmp_path)))
            done = subprocess.run(
                [analyze, "verify", "--man=no", "--recursive-errors=no",
                 tmp_path / "daphne-like.service"],
                capture_output=True, text=True, timeout=DEADLINE, check=False,
            )  # fmt: skip
            return done.stderr

        text = block(PAGE, "ini")
        assert verify(text) == ""
        # So the drop-in is read: the command of the unit file does not exist here.
        assert "venv/bin/daphne-like" in verify(text.replace("ExecStart=", "Documentation="))

    def test_upstream(self, tmp_path: Path) -> None:
        """nginx takes the upstream block, and keeps idle connections shorter than --drain-idle."""
        nginx = needed.program("nginx", "nginx-light")
        upstream = block(PAGE, "nginx")
        (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", upstream)
        assert int(seconds) < Options().drain_idle
        site = block(ROOT / "docs" / "howto" / "nginx.rst", "nginx")
        site, count = re.subn(r"upstream site \{[^}]*\}\n", lambda _match: upstream, site)
        assert count == 1
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off;\n{site.replace('listen 80', 'listen 8080')}}}\n"
        )
        done = subprocess.run(
            [nginx, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert "test is successful" in done.stderr


def test_times() -> None:
    """The defaults in the table of times are those of the options."""
    rows = re.findall(r"^``--([a-z-]+)`` +default (\d+) s ", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 6
    defaults = [(name, getattr(Options(), name.replace("-", "_"))) for name, _ in rows]
    assert [(name, int(seconds)) for name, seconds in rows] == defaults
