"""`--workers`: the supervisor starts workers, and all of them serve each kind of endpoint."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_endpoints import (
    EVERYWHERE,
    TCP6,
    TLS,
    UNIX,
    Descriptor6,
    Endpoint,
    Systemd,
    SystemdNames,
    UNIXByOption,
    free_port,
    make_certificate,
)
from tests.support.real_server import DEADLINE, TRACEBACK, Running, fetched
from tests.support.supervised import Supervised, ask, is_alive, workers

KINDS: list[type[Endpoint]] = [
    *EVERYWHERE, TCP6, UNIXByOption, Descriptor6, Systemd, SystemdNames, TLS
]  # fmt: skip
"""One of each kind; all of them are in test_endpoints.py."""


class TestNumber:
    """`--workers N|auto`."""

    def test_two(self, supervised: Callable[..., Supervised]) -> None:
        """Both serve, and the list of processes shows slot and generation."""
        running = supervised()
        rows = running.until_workers(2)
        assert [(row.slot, row.wanted, row.generation) for row in rows] == [(1, 2, 1), (2, 2, 1)]
        assert running.serving(2) == {row.pid for row in rows}
        assert "with 2 workers" in running.log
        running.signal()
        assert running.ended() == 0
        assert not any(is_alive(row.pid) for row in rows)

    def test_one_is_supervised(self, supervised: Callable[..., Supervised]) -> None:
        """The process that serves is not the one that was started."""
        running = supervised(workers="1")
        (row,) = running.until_workers(1)
        assert running.ask()["pid"] == row.pid != running.process.pid
        assert running.ask()["words"] == ["slot=1/1", "generation=1", "operated:application"]

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has affinity")
    def test_auto_heeds_affinity(self, supervised: Callable[..., Supervised]) -> None:
        """With one CPU there is one worker."""
        cpu = min(os.sched_getaffinity(0))
        running = supervised(workers="auto", preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        assert len(running.until_workers(1)) == 1

    def test_absent_is_one_process(self, server: Callable[..., Running]) -> None:
        """Without the option there is no second process."""
        running = server("operated:application")
        assert workers(running.process.pid) == []
        assert b'"words"' in fetched(running.port, "/")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--workers", "0"], "--workers: expected"),
            (["--workers", "-1"], "--workers: expected"),
            (["--workers", "many"], "--workers: "),
            (["--max-requests", "5"], "--max-requests needs --workers"),
        ],
    )
    def test_mistakes(
        self,
        command: Callable[..., subprocess.CompletedProcess[str]],
        arguments: list[str],
        sentence: str,
    ) -> None:
        """One sentence and status 2."""
        ended = command("-p", "0", *arguments, "operated:application")
        assert sentence in ended.stderr
        assert ended.returncode == 2


def with_workers(kind: type[Endpoint]) -> type[Endpoint]:
    """The same endpoint, served by two workers."""

    class WithWorkers(kind):  # type: ignore[misc, valid-type]
        def words(self) -> list[str]:
            words = ["operated:application" if word == "told:application" else word
                     for word in super().words()]  # fmt: skip
            return ["--workers", "2", *words]

    return WithWorkers


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def endpoint(request: Any, tmp_path: Path) -> Iterator[Endpoint]:
    """A server with two workers; nothing went wrong in it."""
    endpoint = with_workers(request.param)(tmp_path)
    yield endpoint
    endpoint.close()
    log = endpoint.running.log
    assert endpoint.running.process.returncode == 0, log
    assert TRACEBACK not in log, log


def test_endpoint(endpoint: Endpoint) -> None:
    """A request and a WebSocket are served, after a restart too; then nobody listens."""
    pid = endpoint.running.process.pid
    first = workers(pid)
    assert len(first) == 2
    assert endpoint.path is None or endpoint.path.is_socket()
    stat = endpoint.path and endpoint.path.stat()
    before = stat and stat.st_ino, stat and stat.st_mode
    for generation in (1, 2):
        connection = endpoint.connect()
        expected = {
            "scheme": endpoint.scheme,
            "client": endpoint.client(connection),
            "server": endpoint.server(connection),
        }
        assert ask(connection, "/ends") == expected
        peer = endpoint.peer().open()
        peer.frame()
        peer.echoed(b"x" * 70_000)
        peer.connection.close()
        if generation == 1:
            endpoint.running.signal(signal.SIGHUP)
            # Until a worker of the first generation has ended it may accept a connection.
            endpoint.running.wait_for(r"(?s)generation 1\) has ended.*generation 1\) has ended")
    after = endpoint.path and endpoint.path.stat()
    assert (after and after.st_ino, after and after.st_mode) == before
    endpoint.running.signal()
    assert endpoint.running.ended() == 0
    assert endpoint.is_reachable() is endpoint.outlives
    if isinstance(endpoint, UNIX) and endpoint.path is not None:
        assert not any("socket" in path.name for path in endpoint.folder.iterdir())


def test_file_of_a_unix_socket(tmp_path: Path) -> None:
    """Mode and owner are those of the options, and the supervisor removes the file."""
    path = tmp_path / "s"
    running = Running(
        "-u", str(path), "--unix-mode", "640", "--workers", "2", "operated:application"
    )
    try:
        running.wait_for("serves")
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.stat().st_uid == os.geteuid()
        running.signal(signal.SIGHUP)
        running.wait_for("Restarted")
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        assert TRACEBACK not in running.stop()
    assert list(tmp_path.iterdir()) == []


def test_own_tls(tmp_path: Path, program: Callable[..., Running]) -> None:
    """`https:` with a certificate; a certificate that is replaced is served after a restart."""
    trusted = make_certificate(tmp_path, "a.example")
    running = program(
        "-e", f"https:tcp:0:interface=127.0.0.1:certificate={tmp_path}/site.pem:"
        f"key={tmp_path}/site-key.pem",
        "--workers", "2", "operated:application",
    ).wait_until_ready()  # fmt: skip

    def asks(context: ssl.SSLContext) -> bytes:
        plain = socket.create_connection(("127.0.0.1", running.port), DEADLINE)
        with plain, context.wrap_socket(plain, server_hostname="a.example") as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(65536), b""))

    first = ssl.create_default_context(cafile=str(trusted))
    assert b'"pid"' in asks(first)
    make_certificate(tmp_path, "a.example")
    running.signal(signal.SIGHUP)
    # Until a worker of the first generation has ended it may accept a connection.
    running.wait_for(r"(?s)generation 1\) has ended.*generation 1\) has ended")
    with pytest.raises(ssl.SSLCertVerificationError):
        asks(first)
    assert b'"pid"' in asks(ssl.create_default_context(cafile=str(trusted)))


def test_redirect(tmp_path: Path, program: Callable[..., Running]) -> None:
    """`--https-redirect` is served by the workers too, on a socket of the supervisor."""
    make_certificate(tmp_path, "a.example")
    plain = free_port()
    running = program(
        "-e", f"https:tcp:0:interface=127.0.0.1:certificate={tmp_path}/site.pem:"
        f"key={tmp_path}/site-key.pem",
        "--https-redirect", f"tcp:{plain}:interface=127.0.0.1",
        "--workers", "2", "operated:application",
    )  # fmt: skip
    running.wait_for("serves")
    with socket.create_connection(("127.0.0.1", plain), DEADLINE) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.match(rb"HTTP/1.1 30[178] ", answer)
    assert re.search(rb"(?i)\r\nlocation: https://a\.example", answer)
