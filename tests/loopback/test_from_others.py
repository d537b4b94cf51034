"""docs/howto/from-uvicorn.rst and from-gunicorn.rst: both servers, started side by side."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.certificates import Authority
from tests.support.foreign_servers import Served
from tests.support.real_server import DEADLINE, PROJECTS

FORWARDED = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
Start = Callable[..., Served]


class Pair(NamedTuple):
    """The same wish in the words of two servers."""

    other: str
    theirs: list[str]
    ours: list[str]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(name, arguments, ...): see Served; it listens, and ends with the test."""
    with ExitStack() as started:

        def run(name: str, arguments: list[str], **how: Any) -> Served:
            # On port 0 of 127.0.0.1, unless the test says where.
            where = {
                "ours": ["-p", "0"],
                "uvicorn": ["--port", "0"],
                "gunicorn": ["-b", "127.0.0.1:0"],
            }[name]
            listens = how.pop("listens", False)
            server = Served(name, [*([] if listens else where), *arguments], **how)
            started.callback(server.stop)
            server.until_it_listens()
            return server

        yield run


def both(start: Start, pair: Pair, **how: Any) -> Iterator[Served]:
    """Start the other server, then ours, one after the other."""
    yield start(pair.other, pair.theirs, **how)
    yield start("ours", pair.ours, **how)


def pairs(*found: tuple[str, str, str]) -> pytest.MarkDecorator:
    """Parametrize with pairs, each from three command lines."""
    values = [
        pytest.param(Pair(other, theirs.split(), ours.split()), id=f"{other} {theirs}")
        for other, theirs, ours in found
    ]
    return pytest.mark.parametrize("pair", values)


class TestWhere:
    """Options that say where to listen."""

    @pairs(
        ("uvicorn", "--host 127.0.0.1 --port 0", "-b 127.0.0.1 -p 0"),
        ("gunicorn", "-b 127.0.0.1:0", "-b 127.0.0.1 -p 0"),
    )
    def test_host_and_port(self, start: Start, pair: Pair) -> None:
        """Both answer there."""
        for server in both(start, pair, listens=True):
            assert server.ask()[0].startswith("HTTP/1.1 200")

    @pairs(("uvicorn", "--uds S", "-u S"), ("gunicorn", "-b unix:S", "-u S"))
    def test_unix_socket(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """Both answer on the UNIX socket, to any user."""
        for number, server in enumerate((pair.theirs, pair.ours)):
            path = tmp_path / str(number)
            arguments = [word.replace("S", str(path)) for word in server]
            name = pair.other if number == 0 else "ours"
            running = start(name, arguments, listens=True, unix=str(path))
            assert running.ask()[0].startswith("HTTP/1.1 200")
            assert path.stat().st_mode & 0o666 == 0o666

    @pairs(("uvicorn", "--fd N", "--fd N"), ("gunicorn", "-b fd://N", "--fd N"))
    def test_descriptor(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """Both serve an inherited socket."""
        for name, given in ((pair.other, pair.theirs), ("ours", pair.ours)):
            path = str(tmp_path / name)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()
                number = str(listening.fileno())
                arguments = [word.replace("N", number) for word in given]
                server = start(
                    name, arguments, listens=True, unix=path, descriptors=[listening.fileno()]
                )
                assert server.ask()[0].startswith("HTTP/1.1 200")


class TestWorkers:
    """Options of processes."""

    @pairs(
        ("uvicorn", "--workers 2", "--workers 2"),
        ("gunicorn", "-w 2", "--workers 2"),
    )
    def test_workers(self, start: Start, pair: Pair) -> None:
        """Two processes answer, neither of which is the one that was started."""
        for server in both(start, pair):
            pids = server.pids(2)
            assert len(pids) == 2
            assert server.process.pid not in pids

    @pairs(("uvicorn", "", ""), ("gunicorn", "", ""))
    def test_web_concurrency(self, start: Start, pair: Pair) -> None:
        """The variable WEB_CONCURRENCY."""
        for server in both(start, pair, environment={"WEB_CONCURRENCY": "2"}):
            assert len(server.pids(2)) == 2

    @pairs(
        ("uvicorn", "--workers 1 --limit-max-requests 2", "--workers 1 --max-requests 2"),
        ("gunicorn", "-w 1 --max-requests 2", "--workers 1 --max-requests 2"),
    )
    def test_max_requests(self, start: Start, pair: Pair) -> None:
        """The process ends after its requests; ours is replaced without a refused connection."""
        theirs = start(pair.other, pair.theirs)
        first = theirs.ask()[1]["pid"]
        needs_end(theirs, first)
        ours = start("ours", pair.ours)
        pids = ours.pids(2)
        assert len(pids) == 2

    @pairs(
        ("uvicorn", "--workers 2", "--workers 2"),
        ("gunicorn", "-w 2", "--workers 2"),
    )
    def test_restart(self, start: Start, pair: Pair) -> None:
        """SIGHUP replaces the workers."""
        for server in both(start, pair):
            before = server.pids(2)
            assert len(before) == 2
            server.process.send_signal(signal.SIGHUP)
            server.until_another_answers(before)


def needs_end(server: Served, pid: int) -> None:
    """Ask until another process answers, or the server refuses."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            told = server.ask()[1]
        except OSError:
            return
        if told.get("pid") != pid:
            return
    raise AssertionError(f"{server.name} goes on:\n{server.log}")


class TestScope:
    """Options that applications see in the scope."""

    @pairs(
        ("uvicorn", "--root-path /api", "--root-path /api"),
        ("gunicorn", "--root-path /api", "--root-path /api"),
    )
    def test_root_path(self, start: Start, pair: Pair) -> None:
        """`root_path`."""
        assert [server.ask("/api/x")[1]["root_path"] for server in both(start, pair)] == [
            "/api"
        ] * 2

    def test_path_below_a_root(self, start: Start) -> None:
        """uvicorn adds the root path in front of the client's path; here an option does so."""
        root = ["--root-path", "/api"]
        for server in both(start, Pair("uvicorn", root, [*root, "--root-path-stripped"])):
            assert server.ask("/x")[1]["path"] == "/api/x"
        assert start("ours", root).ask("/api/x")[1]["path"] == "/api/x"

    @pairs(
        ("uvicorn", "", "--proxy-headers"),
        ("uvicorn", "--forwarded-allow-ips *", "--proxy-headers --trusted-proxies *"),
    )
    def test_forwarded(self, start: Start, pair: Pair) -> None:
        """Client and scheme of a trusted proxy."""
        for server in both(start, pair):
            told = server.ask("/", *FORWARDED)[1]
            assert (told["client"], told["scheme"]) == (["203.0.113.9"], "https")

    @pairs(
        ("uvicorn", "--forwarded-allow-ips 192.0.2.1",
         "--proxy-headers --trusted-proxies 192.0.2.1"),
        ("uvicorn", "--no-proxy-headers", ""),
        ("gunicorn", "--forwarded-allow-ips 192.0.2.1",
         "--proxy-headers --trusted-proxies 192.0.2.1"),
    )  # fmt: skip
    def test_not_forwarded(self, start: Start, pair: Pair) -> None:
        """Nothing is read from others, and nothing unless it is asked for."""
        for server in both(start, pair):
            told = server.ask("/", *FORWARDED)[1]
            assert (told["client"], told["scheme"]) == (["127.0.0.1"], "http")

    def test_gunicorn_reads_the_scheme_only(self, start: Start) -> None:
        """The row about --forwarded-allow-ips of gunicorn."""
        told = start("gunicorn", []).ask("/", *FORWARDED)[1]
        assert (told["client"], told["scheme"]) == (["127.0.0.1"], "https")

    def test_variable(self, start: Start) -> None:
        """FORWARDED_ALLOW_IPS, and our variables."""
        theirs = start("uvicorn", [], environment={"FORWARDED_ALLOW_IPS": "192.0.2.1"})
        ours = start("ours", [], environment={
            "DAPHNE_LIKE_PROXY_HEADERS": "on", "DAPHNE_LIKE_TRUSTED_PROXIES": "192.0.2.1",
            "FORWARDED_ALLOW_IPS": "*",
        })  # fmt: skip
        for server in (theirs, ours):
            assert server.ask("/", *FORWARDED)[1]["client"] == ["127.0.0.1"]

    @pairs(
        ("uvicorn", "--lifespan off", "--lifespan off"),
        ("gunicorn", "--asgi-lifespan off", "--lifespan off"),
    )
    def test_lifespan_off(self, start: Start, pair: Pair) -> None:
        """No lifespan events."""
        assert [server.ask()[1]["lifespan"] for server in both(start, pair)] == [False, False]

    @pairs(
        ("uvicorn", "--lifespan on", "--lifespan on"),
        ("gunicorn", "--asgi-lifespan on", "--lifespan on"),
    )
    def test_lifespan_on(self, start: Start, pair: Pair) -> None:
        """Lifespan events."""
        assert [server.ask()[1]["lifespan"] for server in both(start, pair)] == [True, True]


class TestApplication:
    """Options that find the application."""

    def test_factory(self, start: Start) -> None:
        """--factory."""
        pair = Pair("uvicorn", ["--factory"], ["--factory"])
        for server in both(start, pair, application="migrated:make"):
            assert server.ask()[0].startswith("HTTP/1.1 200")

    @pairs(
        ("uvicorn", "--app-dir DIR", "--app-dir DIR"),
        ("gunicorn", "--chdir DIR", "--app-dir DIR"),
        ("gunicorn", "--pythonpath DIR", "--app-dir DIR"),
    )
    def test_directory(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """The directory to import from."""
        theirs, ours = (
            [word.replace("DIR", str(PROJECTS)) for word in words] for words in pair[1:]
        )
        for server in both(start, Pair(pair.other, theirs, ours), cwd=tmp_path):
            assert server.ask()[0].startswith("HTTP/1.1 200")


def accepted_connection(server: Served) -> socket.socket:
    """Return a connection that was answered; the connections before it may take a moment to end."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        connection = server.connect()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if connection.recv(65536).startswith(b"HTTP/1.1 200"):
            return connection
        connection.close()
    raise AssertionError(f"{server.name} refuses every connection:\n{server.log}")


class TestLimits:
    """Options that limit."""

    @pairs(
        ("uvicorn", "--timeout-keep-alive 1", "--keep-alive-timeout 1"),
        ("gunicorn", "--keep-alive 1", "--keep-alive-timeout 1"),
    )
    def test_keep_alive(self, start: Start, pair: Pair) -> None:
        """An idle connection is closed after a second, and not before the first answer."""
        for server in both(start, pair):
            with server.connect() as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
                began = time.monotonic()
                while connection.recv(65536):
                    pass
            assert 0.4 < time.monotonic() - began < 10

    def test_connections(self, start: Start) -> None:
        """--limit-concurrency: 503. uvicorn refuses when it has reached the number."""
        pair = Pair("uvicorn", ["--limit-concurrency", "2"], ["--max-connections", "1"])
        for server in both(start, pair):
            with accepted_connection(server) as held:
                held.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
                heads = [server.ask()[0] for _ in range(3)]
                assert all(head.startswith("HTTP/1.1 503") for head in heads), heads

    def test_request_line(self, start: Start) -> None:
        """--limit-request-line: 414."""
        pair = Pair("gunicorn", ["--limit-request-line", "200"], ["--max-request-line", "200"])
        for server in both(start, pair):
            assert re.match(r"HTTP/1\.1 4(00|14)", server.ask("/" + "a" * 300)[0])

    def test_fields(self, start: Start) -> None:
        """--limit-request-fields: an error of the client."""
        pair = Pair("gunicorn", ["--limit-request-fields", "5"], ["--max-fields", "5"])
        fields = [f"X-{number}: 1" for number in range(9)]
        for server in both(start, pair):
            assert server.ask()[0].startswith("HTTP/1.1 200")
            assert re.match(r"HTTP/1\.1 4(00|31)", server.ask("/", *fields)[0])

    @pairs(
        ("uvicorn", "--ws-max-size 1000", "--websocket-max-message-size 1000"),
        ("gunicorn", "--websocket-max-message-size 1000", "--websocket-max-message-size 1000"),
    )
    def test_message_size(self, start: Start, pair: Pair) -> None:
        """A larger message is refused with 1009."""
        for server in both(start, pair):
            url = f"ws://127.0.0.1:{server.port}/"
            with connect(url, open_timeout=DEADLINE, proxy=None) as websocket:
                websocket.send("a" * 900)
                assert websocket.recv(timeout=DEADLINE) == "900"
                websocket.send("a" * 1100)
                with pytest.raises(ConnectionClosed):
                    websocket.recv(timeout=DEADLINE)
            assert websocket.close_code == 1009

    def test_compression(self, start: Start) -> None:
        """--ws-per-message-deflate."""
        pair = Pair(
            "uvicorn",
            ["--ws-per-message-deflate", "false"],
            ["--ws-per-message-deflate", "off"],
        )
        for server in both(start, pair):
            url = f"ws://127.0.0.1:{server.port}/"
            with connect(url, open_timeout=DEADLINE, proxy=None) as websocket:
                assert websocket.protocol.extensions == []

    @pairs(
        ("uvicorn", "--timeout-graceful-shutdown 1", "--graceful-timeout 1"),
        ("gunicorn", "--graceful-timeout 1", "--graceful-timeout 1"),
    )
    def test_graceful(self, start: Start, pair: Pair) -> None:
        """A request that takes longer does not hold up the stop."""
        for server in both(start, pair):
            with server.connect() as connection:
                connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
                while server.ask()[1]["requests"] < 2:
                    pass
                server.process.terminate()
                began = time.monotonic()
                server.process.wait(DEADLINE)
                assert 0.9 < time.monotonic() - began < 15


def is_dropped(server: Served) -> bool:
    """Tell whether a connection ends without an answer."""
    try:
        return server.ask()[0] == ""
    except (ssl.SSLError, ConnectionError):
        return True


class TestTLS:
    """Options of TLS."""

    @pairs(
        ("uvicorn", "--ssl-certfile C --ssl-keyfile K", "--tls-certificate C --tls-key K"),
        ("uvicorn", "--ssl-certfile C --ssl-keyfile E --ssl-keyfile-password secret",
         "--tls-certificate C --tls-key E --tls-key-password pass:secret"),
        ("gunicorn", "--certfile C --keyfile K", "--tls-certificate C --tls-key K"),
    )  # fmt: skip
    def test_certificate(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """The scheme is https; the key may have a password."""
        authority = Authority()
        site = authority.issue("localhost")
        files = {"C": site.chain, "K": site.key, "E": site.encrypted(b"secret")}
        for name, octets in files.items():
            (tmp_path / name).write_bytes(octets)
        theirs, ours = (
            [str(tmp_path / word) if word in files else word for word in words]
            for words in pair[1:]
        )
        for server in both(start, Pair(pair.other, theirs, ours), tls=authority.client()):
            assert server.ask()[1]["scheme"] == "https"

    @pairs(
        ("uvicorn", "--ssl-certfile C --ssl-keyfile K --ssl-ca-certs A --ssl-cert-reqs 2",
         "--tls-certificate C --tls-key K --tls-client-ca A --tls-client-verify required"),
        ("gunicorn", "--certfile C --keyfile K --ca-certs A --cert-reqs 2",
         "--tls-certificate C --tls-key K --tls-client-ca A"),
    )  # fmt: skip
    def test_client_certificate(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """A client without a certificate gets no answer; one with a certificate does."""
        authority = Authority()
        site = authority.issue("localhost")
        files = {"C": site.chain, "K": site.key, "A": authority.pem}
        for name, octets in files.items():
            (tmp_path / name).write_bytes(octets)
        certificate = authority.issue("client").write(tmp_path, "client")
        known, unknown = authority.client(*certificate), authority.client()
        theirs, ours = (
            [str(tmp_path / word) if word in files else word for word in words]
            for words in pair[1:]
        )
        for server in both(start, Pair(pair.other, theirs, ours), tls=known):
            assert server.ask()[1]["scheme"] == "https"
            server.tls = unknown
            assert is_dropped(server)


class TestLog:
    """Options of the log."""

    @pairs(
        ("uvicorn", "--no-access-log", "--access-log /dev/null"),
        ("gunicorn", "", "--access-log /dev/null"),
    )
    def test_no_access_log(self, start: Start, pair: Pair) -> None:
        """No line for a request."""
        for server in both(start, pair):
            server.ask("/here")
            server.stop()
            assert "/here" not in server.log

    @pairs(
        ("uvicorn", "", ""),
        ("gunicorn", "--access-logfile -", "--access-log -"),
    )
    def test_access_log(self, start: Start, pair: Pair) -> None:
        """A line for a request."""
        for server in both(start, pair):
            server.ask("/here")
            server.stop()
            assert "/here" in server.log

    def test_format(self, start: Start) -> None:
        """--access-logformat of gunicorn: the same names of the parts."""
        form = "<%(m)s %(U)s %(q)s %(s)s %(H)s>"
        pair = Pair(
            "gunicorn",
            ["--access-logfile", "-", "--access-logformat", form],
            ["--access-log-format", form],
        )
        for server in both(start, pair):
            server.ask("/here?a=b")
            server.stop()
            assert "<GET /here a=b 200 HTTP/1.1>" in server.log

    @pairs(
        ("uvicorn", "--log-level warning --uds S", "-v 0 -u S"),
        ("gunicorn", "--log-level warning -b unix:S", "-v 0 -u S"),
    )
    def test_level(self, start: Start, pair: Pair, tmp_path: Path) -> None:
        """At `warning` a start, a request and a stop say nothing."""
        for name, words in ((pair.other, pair.theirs), ("ours", pair.ours)):
            path = str(tmp_path / name)
            arguments = [word.replace("S", path) for word in words]
            server = start(name, arguments, listens=True, unix=path)
            server.ask()
            server.stop()
            assert server.log == ""

    @pairs(("uvicorn", "--no-server-header", "--no-server-name"))
    def test_no_server_field(self, start: Start, pair: Pair) -> None:
        """No Server header."""
        for server in both(start, pair):
            assert "\nserver:" not in server.ask()[0].lower()

    def test_pid_file(self, start: Start, tmp_path: Path) -> None:
        """-p of gunicorn."""
        path = tmp_path / "pid"
        pair = Pair("gunicorn", ["-p", str(path)], ["--pid-file", str(path)])
        for server in both(start, pair):
            server.ask()
            assert int(path.read_text()) == server.process.pid
            server.stop()
