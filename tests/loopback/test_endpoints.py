"""The rules that hold on every endpoint string, each on a server of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

import twisted
from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.parse import endpoints_from
from tests.support.live_endpoints import (
    EVERYWHERE,
    NATIVE_ALONE,
    TLS,
    Endpoint,
    ask,
    make_certificate,
)
from tests.support.real_server import DEADLINE, TRACEBACK

MORE_THAN_TWISTED_LETS_WAIT = 150
"""Connections; the default backlog of Twisted's endpoints is 50, that of Python's sockets 128."""
HAS_TLS_STRINGS = (twisted.version.major, twisted.version.minor) >= (26, 4)
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def cases() -> Iterator[Any]:
    for kind in EVERYWHERE:
        for stock in (False, True):
            yield pytest.param(
                (kind, stock), id=f"{kind.__name__}-{'stock' if stock else 'native'}"
            )
    for kind in NATIVE_ALONE:
        yield pytest.param((kind, False), id=f"{kind.__name__}-native")


@pytest.fixture(scope="class", params=cases())
def endpoint(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One server for all the rules; nothing went wrong in it."""
    kind, stock = request.param
    if issubclass(kind, TLS) and not HAS_TLS_STRINGS:
        pytest.skip("this Twisted has no tls: endpoints: install Twisted 26.4 or newer")
    endpoint = kind(tmp_path_factory.mktemp("e"), stock=stock)
    yield endpoint
    endpoint.close()
    log = endpoint.running.log
    assert endpoint.running.process.returncode == 0, log
    assert TRACEBACK not in log, log
    assert "nhandled" not in log, log


class TestEveryEndpoint:
    """Each string that Twisted knows, with ours beside them, for real.

    The last rule ends the server.
    """

    def test_http(self, endpoint: Endpoint) -> None:
        """H04, H12, H13: scheme, client and server of the scope."""
        connection = endpoint.connect()
        expected = {
            "type": "http",
            "scheme": endpoint.scheme,
            "client": endpoint.client(connection),
            "server": endpoint.server(connection),
        }
        told = ask(connection)
        del told["carried_by"]
        assert told == expected

    def test_websocket(self, endpoint: Endpoint) -> None:
        """W03, W06: the same on a WebSocket; and an echo."""
        peer = endpoint.peer().open()
        first = peer.frame()
        assert first is not None
        told = json.loads(first.payload)
        assert told == {
            "type": "websocket",
            "scheme": endpoint.scheme.replace("http", "ws"),
            "client": endpoint.client(peer.connection),
            "server": endpoint.server(peer.connection),
        }
        peer.echoed(b"x" * 70_000)
        peer.connection.close()

    def test_carried_by(self, endpoint: Endpoint) -> None:
        """On the native reactor every connection is one of the event loop's own transports."""
        assert endpoint.transports in ask(endpoint.connect())["carried_by"]

    def test_banner(self, endpoint: Endpoint) -> None:
        """It says where; the abstract name as it was given, a PROXY header where one is wanted."""
        banner = endpoint.running.wait_for("serves .*").group()
        assert "\\x00" not in banner
        assert ("with a PROXY header" in banner) is endpoint.string.startswith("haproxy:")
        assert ("https://" in banner) is (endpoint.scheme == "https")

    def test_backlog(self, endpoint: Endpoint) -> None:
        """Clients can connect while the server is busy: `--backlog` applies to every string."""
        server = endpoint.running.process.pid
        os.kill(server, signal.SIGSTOP)
        try:
            waiting = endpoint.dial_without_server(MORE_THAN_TWISTED_LETS_WAIT)
        finally:
            os.kill(server, signal.SIGCONT)
        assert waiting == MORE_THAN_TWISTED_LETS_WAIT

    def test_stop(self, endpoint: Endpoint) -> None:
        """Nobody listens any more, and the file is gone, unless both are another program's."""
        endpoint.running.signal()
        assert endpoint.running.ended() == 0
        assert endpoint.is_reachable() is endpoint.outlives
        assert bool(list(endpoint.folder.glob("socket*"))) is endpoint.file_stays


class TestTaken:
    """Where somebody listens already, a server says so in one sentence, with exit status 1."""

    @pytest.mark.parametrize(
        ("string", "host"),
        [
            ("tcp:{port}:interface=127.0.0.1", "127.0.0.1"),
            (r"tcp6:{port}:interface=\:\:1", "::1"),
            ("haproxy:tcp:{port}", "0.0.0.0"),
            ("ssl:{port}:privateKey={folder}/site-key.pem:certKey={folder}/site.pem", "0.0.0.0"),
        ],
    )
    def test_port(self, command: Command, tmp_path: Path, string: str, host: str) -> None:
        """TCP, whatever is around it."""
        make_certificate(tmp_path, "a.example")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as taken:
            string = string.format(port=taken.getsockname()[1], folder=tmp_path)
            ended = command("-e", string, "told:application")
        assert sentence(ended) == f"Cannot listen on {string}: Address already in use"

    @pytest.mark.parametrize("string", ["unix:{path}", "haproxy:unix:{path}"])
    def test_path(self, command: Command, tmp_path: Path, string: str) -> None:
        """A UNIX socket; it stays."""
        path = tmp_path / "socket"
        string = string.format(path=path)
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(str(path))
            taken.listen()
            ended = command("-e", string, "told:application")
        assert sentence(ended) == f"Cannot listen on {string}: another server listens on {path}"
        assert path.is_socket()

    def test_path_of_a_file(self, command: Command, tmp_path: Path) -> None:
        """What is no socket; it stays."""
        path = tmp_path / "socket"
        path.write_text("a week's work")
        ended = command("-u", str(path), "told:application")
        assert sentence(ended) == f"Cannot listen on -u {path}: it exists and is not a socket"
        assert path.read_text() == "a week's work"

    def test_abstract_name(self, command: Command, tmp_path: Path) -> None:
        """An abstract name."""
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(f"\0{tmp_path}")
            taken.listen()
            ended = command("-e", f"unix:@{tmp_path}", "told:application")
        assert sentence(ended) == f"Cannot listen on unix:@{tmp_path}: Address already in use"


def sentence(ended: subprocess.CompletedProcess[str]) -> str:
    """What a server says that could not listen."""
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    return line.partition("CRITICAL ")[2]


class TestSystemd:
    """`systemd:` strings and what systemd passes on."""

    @pytest.mark.parametrize(
        "string", ["systemd:domain=INET:index=0", "systemd:domain=INET:name=web"]
    )
    def test_without_systemd(self, string: str) -> None:
        """One sentence says what is missing."""
        with pytest.raises(ConfigurationError, match=r"no such socket \(LISTEN_FDS, "):
            endpoints_from([string], MemoryReactorClock())


@pytest.mark.skipif(not HAS_TLS_STRINGS, reason="tls: came with Twisted 26.4")
class TestFolderOfCertificates:
    """`tls:` strings."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A folder without certificates."""
        folder = tmp_path / "certificates"
        folder.mkdir()
        return folder

    @pytest.fixture
    def name_shown(self, folder: Path) -> Iterator[Callable[[str], str]]:
        """name_shown(name): in the certificate that a client gets who asks for a name."""
        with ExitStack() as started:
            endpoints: list[TLS] = []

            def ask_for(name: str) -> str:
                if not endpoints:
                    endpoints.append(Folder(folder.parent))
                    started.callback(endpoints[0].close)
                shown = subprocess.run(
                    ["openssl", "s_client", "-connect", f"127.0.0.1:{endpoints[0].port}",
                     "-servername", name],
                    input="", capture_output=True, text=True, timeout=DEADLINE, check=False,
                )  # fmt: skip
                return shown.stdout.partition("subject=")[2].partition("\n")[0].replace(" ", "")

            yield ask_for

    def test_by_name(self, folder: Path, name_shown: Callable[[str], str]) -> None:
        """SNI chooses among the certificates; an unknown name gets one of them."""
        make_certificate(folder, "a.example")
        make_certificate(folder, "b.example", "c.example", file="b")
        assert name_shown("a.example") == "CN=a.example"
        assert name_shown("b.example") == "CN=b.example"
        assert name_shown("c.example") == "CN=b.example"
        assert name_shown("d.example") in ("CN=a.example", "CN=b.example")

    def test_reload(self, folder: Path, name_shown: Callable[[str], str]) -> None:
        """A certificate for a folder that had none is found without a restart.

        Twisted (26.10) looks into the folder again for a name that it does not know, but only as
        long as there was no certificate at the start: its default context keeps the first names.
        """
        assert name_shown("a.example") == ""
        make_certificate(folder, "a.example")
        assert name_shown("a.example") == "CN=a.example"


class Folder(TLS):
    """`tls:` with the certificates that the test has made."""

    def prepare(self) -> None:
        pass
