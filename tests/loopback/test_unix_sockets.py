"""UNIX sockets of the command: mode, owner, group, and what a dead server has left behind."""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening import unix_sockets as unix_files
from daphne_like.listening.unix_sockets import Ownership, UnixSocketReactor
from tests.support import needed
from tests.support.documentation import ROOT, ask_until_served, block
from tests.support.live_endpoints import free_port
from tests.support.real_server import DEADLINE, Running, answer

Command = Callable[..., "subprocess.CompletedProcess[str]"]

IS_ROOT = os.geteuid() == 0
USER = pwd.getpwuid(1 if IS_ROOT else os.geteuid())
GROUP = grp.getgrgid(1 if IS_ROOT else os.getegid())
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be somebody else: run it as root")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., os.stat_result]]:
    """start(*arguments): a server on the socket "s" of a folder; how its file is."""
    started: list[Running] = []

    def serve(*arguments: str) -> os.stat_result:
        words = [word.format(path=tmp_path / "s") for word in arguments]
        started.append(Running(*words, "stopping:hello"))
        started[-1].wait_for("serves")
        return (tmp_path / "s").stat()

    yield serve
    for running in started:
        assert "Traceback" not in running.stop()
    assert list(tmp_path.iterdir()) == []


class TestFile:
    """--unix-mode, --unix-owner, --unix-group."""

    @pytest.mark.parametrize("where", [("-u", "{path}"), ("-e", "unix:{path}")])
    def test_all_three(self, start: Callable[..., os.stat_result], where: tuple[str, ...]) -> None:
        """For -u and for endpoint strings; by name."""
        found = start(
            *where, "--unix-mode", "640", "--unix-owner", USER.pw_name,
            "--unix-group", GROUP.gr_name,
        )  # fmt: skip
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert (found.st_uid, found.st_gid) == (USER.pw_uid, GROUP.gr_gid)

    def test_numbers(self, start: Callable[..., os.stat_result]) -> None:
        """User and group by number; what is not given stays."""
        found = start("-u", "{path}", "--unix-group", str(GROUP.gr_gid))
        assert stat.S_IMODE(found.st_mode) == 0o666
        assert (found.st_uid, found.st_gid) == (os.geteuid(), GROUP.gr_gid)

    @pytest.mark.parametrize("string", ["unix:{path}:mode=600", "unix:{path}:600"])
    def test_a_string_s_own_mode(self, start: Callable[..., os.stat_result], string: str) -> None:
        """The mode in a string comes before the option's."""
        assert stat.S_IMODE(start("-e", string, "--unix-mode", "660").st_mode) == 0o600

    @as_root
    def test_who_may_connect(self, start: Callable[..., os.stat_result], tmp_path: Path) -> None:
        """The group may, others may not; which is what it is for."""
        start("-u", "{path}", "--unix-mode", "660", "--unix-group", "www-data")
        open_to_everybody(tmp_path)

        def connects(group: int) -> bool:
            pid = os.fork()
            if pid == 0:
                try:
                    os.setgroups([])
                    os.setgid(group)
                    os.setuid(65534)
                    with socket.socket(socket.AF_UNIX) as peer:
                        peer.connect(str(tmp_path / "s"))
                except PermissionError:
                    os._exit(1)
                except BaseException:
                    os._exit(2)
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status < 2
            return status == 0

        assert connects(grp.getgrnam("www-data").gr_gid)
        assert not connects(65534)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["-u", "s", "--unix-owner", "nobody-at-all"], "there is no user 'nobody-at-all'"),
            (["-u", "s", "--unix-group", "none-at-all"], "there is no group 'none-at-all'"),
            (["-u", "s", "--unix-mode", "888"], "expected three octal digits"),
            (["-u", "s", "--unix-mode", "4777"], "expected three octal digits"),
            (["-p", "0", "--unix-mode", "660"], "for -u and unix: strings; there is none"),
            (["-u", "@s", "--unix-mode", "660"], "everybody on this machine may connect to @s"),
            (["-e", "haproxy:unix:@s", "--unix-group", "0"], "may connect to @s"),
        ],
    )
    def test_mistakes(self, command: Command, arguments: list[str], sentence: str) -> None:
        """One sentence, exit status 2, before anything listens."""
        ended = command(*arguments, "stopping:hello")
        assert sentence in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2

    def test_not_permitted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who may not give the file away does not listen; the sentence says what and why."""

        def refuse(*_: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        stopped: list[bool] = []

        class Port:
            def stopListening(self) -> None:
                stopped.append(True)

        reactor = MemoryReactorClock()
        monkeypatch.setattr(reactor, "listenUNIX", lambda *_, **__: Port())
        monkeypatch.setattr(unix_files.os, "chown", refuse)
        with pytest.raises(ConfigurationError, match="/s cannot be given away: Operation not per"):
            UnixSocketReactor(reactor, Ownership(0, 0)).listenUNIX("/s", Factory())
        assert stopped == [True]


@pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_passed_on(tmp_path: Path, more: tuple[str, ...]) -> None:
    """The file of a socket that another program has opened keeps its mode."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(0o640)
        listening.listen()
        running = Running(
            "--fd", str(listening.fileno()), *more, "stopping:hello",
            pass_fds=[listening.fileno()],
        )  # fmt: skip
        try:
            running.wait_for("serves")
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o640
        finally:
            running.stop()


def open_to_everybody(folder: Path) -> None:
    """Let others into a folder of pytest's, for the socket in it to say who may connect."""
    for one in (folder, *folder.parents):
        mode = one.stat().st_mode
        if mode & 0o005 != 0o005:
            one.chmod(stat.S_IMODE(mode) | 0o055)


class TestNginx:
    """docs/howto/endpoints.rst with Debian's nginx, whose workers are in the group www-data."""

    @as_root
    def test_the_page(self, start: Callable[..., os.stat_result], tmp_path: Path) -> None:
        """The page's command and its upstream block: nginx may connect."""
        page = ROOT / "docs" / "howto" / "endpoints.rst"
        found = re.search(r"\$ daphne-like (-u .*) hello:application", page.read_text())
        assert found is not None
        start(*found[1].replace("/run/site/http.sock", "{path}").split())
        open_to_everybody(tmp_path)
        port = free_port()
        upstream = block(page, "nginx").replace("/run/site/http.sock", str(tmp_path / "s"))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "nginx.conf").write_text(
                f"daemon off; pid {folder}/pid; error_log stderr; user www-data;\n"
                f"events {{}}\nhttp {{ access_log off;\n{upstream}\n"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://site; }} }} }}"
            )
            proxy = subprocess.Popen(
                [needed.program("nginx", "nginx-light"), "-p", folder, "-c", f"{folder}/nginx.conf"]
            )
            try:
                assert ask_until_served(port).endswith(b"hello\n")
            finally:
                proxy.terminate()
                proxy.wait(DEADLINE)


class TestDeadServer:
    """The socket of a server that was killed is taken over, in a container too."""

    def test_same_number(self, tmp_path: Path) -> None:
        """In a container servers have equal numbers: the lock of the dead one names the new one."""
        unshare = needed.program("unshare", "util-linux")
        probe = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc"]
        if not IS_ROOT:
            probe.insert(1, "--map-root-user")
        if subprocess.run([*probe, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this system lets nobody make a container: allow user namespaces")
        path = tmp_path / "s"

        def contained() -> Running:
            running = Running(
                "-u", str(path), "stopping:hello",
                program=[*probe, sys.executable, "-m", "daphne_like"],
            )  # fmt: skip
            try:
                running.wait_for("serves")
            except AssertionError:
                running.stop()
                raise
            return running

        first = contained()
        number = os.readlink(f"{path}.lock")
        first.signal(signal.SIGKILL)  # unshare kills its child
        first.ended()
        first.stop()
        assert path.is_socket()
        second = contained()
        try:
            assert os.readlink(f"{path}.lock") == number
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            assert answer(connection) == b"hello\n"
            third = Running(
                "-u", str(path), "stopping:hello",
                program=[*probe, sys.executable, "-m", "daphne_like"],
            )  # fmt: skip
            assert third.ended() == 1
            assert f"another server listens on {path}" in third.stop()
        finally:
            second.signal(signal.SIGKILL)  # unshare passes on no other one
            second.stop()


class TestNames:
    """What is shown of an abstract name."""

    def test_access_log_and_stop(self, tmp_path: Path) -> None:
        """`@name` in the banner; a request is served; nothing is left in the folder."""
        name = f"{tmp_path}/abstract"
        running = Running("-u", f"@{name}", "stopping:hello")
        try:
            assert running.wait_for(r"serves stopping:hello at (\S+)")[1] == f"unix:@{name}"
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(DEADLINE)
            connection.connect(f"\0{name}")
            assert answer(connection) == b"hello\n"
        finally:
            log = running.stop()
        assert re.search(r'^- - - .* "GET /" 200 6 \d\.\d{3}$', log, re.MULTILINE)
        assert list(tmp_path.iterdir()) == []
