"""The PROXY protocol of docs/howto/haproxy.rst, with Debian's HAProxy in front."""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.documentation import COMMAND, ROOT, blocks
from tests.support.live_endpoints import ask, free_port, make_certificate
from tests.support.real_server import DEADLINE, Running
from tests.support.websocket_peer import Peer

PAGE = ROOT / "docs" / "howto" / "haproxy.rst"
COMMANDS = [found[1] for found in COMMAND.finditer(PAGE.read_text())]
_, TCP, UNIX, TLS, *_ = COMMANDS
HTTP_MODE, TCP_MODE, PASSTHROUGH = blocks(PAGE, "text")[3:]
SENDS = ["send-proxy-v2", "send-proxy"]


class Front:
    """HAProxy in front of a server, both as the page has them, but for ports and folders.

    Args:
        folder: for the files of both.
        command: of the page.
        configuration: of the page.
        sends: takes the place of send-proxy-v2.
    """

    def __init__(self, folder: Path, command: str, configuration: str, sends: str) -> None:
        self._using = ExitStack()
        self.port = free_port()
        self.certificate = make_certificate(folder, "a.example", file="crt", key="key")
        command = re.sub(r"(tcp|ssl):\d+", r"\1:0", command).replace("/run/site", str(folder))
        command = re.sub(r"(\w+\.pem)", rf"{folder}/\1", command)
        words = [*shlex.split(command)[1:-1], "told:application"]
        self.running = Running(*words)
        self._using.callback(self.running.stop)
        try:
            self.running.wait_for("serves")
            found = re.search(r"https?://\S+?:(\d+)/", self.running.log)
            configuration = re.sub(r"bind :\d+", f"bind 127.0.0.1:{self.port}", configuration)
            configuration = configuration.replace("/run/site", str(folder))
            if found is not None:
                configuration = re.sub(r"127\.0\.0\.1:8\d+", f"127.0.0.1:{found[1]}", configuration)
            configuration = configuration.replace("send-proxy-v2", sends)
            (folder / "haproxy.cfg").write_text(configuration)
            proxy = subprocess.Popen(
                [needed.program("haproxy", "haproxy"), "-f", folder / "haproxy.cfg"],
                stderr=subprocess.DEVNULL,
            )
            self._using.callback(proxy.wait, DEADLINE)
            self._using.callback(proxy.terminate)
            needed.until(self._is_up)
        except BaseException:
            self.close()
            raise

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True

    def connect(self) -> socket.socket:
        """A client's connection to HAProxy."""
        connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        self._using.callback(connection.close)
        return connection

    def secured(self) -> ssl.SSLSocket:
        """The same, with TLS that ends at the server."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        secured = context.wrap_socket(self.connect(), server_hostname="a.example")
        self._using.callback(secured.close)
        return secured

    def close(self) -> None:
        """End both."""
        self._using.close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """front(command, configuration, sends): both run."""
    started: list[Front] = []

    def start(command: str, configuration: str, sends: str) -> Front:
        started.append(Front(tmp_path, command, configuration, sends))
        return started[-1]

    yield start
    for one in started:
        one.close()
        assert "Traceback" not in one.running.log
        assert one.running.process.returncode == 0


def told_to(connection: socket.socket) -> Any:
    """Scheme, client and server that a request of this client has in its scope."""
    ends = [list(connection.getsockname()[:2]), list(connection.getpeername()[:2])]
    told = ask(connection)
    assert [told["client"], told["server"]] == ends
    return told["scheme"]


def test_the_page_has_what_is_tested() -> None:
    """Each command has its configuration."""
    assert "haproxy:tcp" in TCP
    assert "haproxy:unix" in UNIX
    assert "haproxy:ssl" in TLS


def first_told(peer: Peer) -> Any:
    """Return what the application's first message says."""
    first = peer.frame()
    assert first is not None
    return json.loads(first.payload)


@pytest.mark.parametrize("sends", SENDS)
class TestHAProxy:
    """Both versions of the PROXY protocol."""

    def test_http_mode(self, front: Callable[..., Front], sends: str) -> None:
        """The client is the one of HAProxy; its health checks are served, and have no client."""
        there = front(TCP, HTTP_MODE, sends)
        assert told_to(there.connect()) == "http"
        check = there.running.wait_for(r'127\.0\.0\.1:(\d+) - - .* "GET /" 200 \d+')
        assert check[1] != str(there.port)

    def test_tcp_mode(self, front: Callable[..., Front], sends: str) -> None:
        """Over a UNIX socket: HTTP, and a WebSocket."""
        there = front(UNIX, TCP_MODE, sends)
        assert told_to(there.connect()) == "http"
        peer = Peer(there.connect()).open()
        told = first_told(peer)
        assert told["client"] == list(peer.connection.getsockname())
        peer.echoed(b"x" * 100_000)

    def test_tls_passthrough(self, front: Callable[..., Front], sends: str) -> None:
        """TLS ends at the server, behind the PROXY header; https, and wss."""
        there = front(TLS, PASSTHROUGH, sends)
        assert told_to(there.secured()) == "https"
        peer = Peer(there.secured()).open()
        told = first_told(peer)
        assert (told["scheme"], told["client"]) == ("wss", list(peer.connection.getsockname()))
        peer.connection.close()


class TestStrangers:
    """Who is no trusted proxy."""

    def test_is_closed_with_a_warning(self) -> None:
        """Closed without a word; the log says what to do, once."""
        running = Running(
            "-e", "haproxy:tcp:0:interface=127.0.0.1", "--trusted-proxies", "192.0.2.1",
            "told:application",
        )  # fmt: skip
        try:
            running.wait_until_ready()
            for _ in range(3):
                with running.connect() as connection:
                    try:
                        connection.sendall(b"PROXY TCP4 198.51.100.7 203.0.113.8 4 5\r\nGET / HTTP")
                        assert connection.recv(100) == b""
                    except ConnectionError:
                        pass  # a reset, if it was closed before it had sent
            running.wait_for(
                r"127.0.0.1:\d+\] Closed the connection to haproxy:.*--trusted-proxies"
            )
        finally:
            log = running.stop()
        assert log.count("Closed the connection") == 1

    def test_wrong_header(self) -> None:
        """A browser that comes to the endpoint itself: closed, and the log of -v 2 says why."""
        running = Running("-v", "2", "-e", "haproxy:tcp:0:interface=127.0.0.1", "told:application")
        try:
            running.wait_until_ready()
            with running.connect() as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(100) == b""
            running.wait_for("for its PROXY header: the connection does not begin with one")
        finally:
            running.stop()

    def test_header_timeout(self) -> None:
        """--header-timeout: who sends no header is cut."""
        running = Running(
            "--header-timeout", "1", "-e", "haproxy:tcp:0:interface=127.0.0.1",
            "told:application",
        )  # fmt: skip
        try:
            running.wait_until_ready()
            with running.connect() as connection:
                connection.sendall(b"PROXY TCP4 ")
                with pytest.raises(ConnectionResetError):
                    connection.recv(100)
        finally:
            running.stop()
