"""Files, hints and trailers as curl sees them: every endpoint, two reactors, both HTTP versions."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.certificates import make_certificate
from tests.support.real_server import DEADLINE, REACTORS, Running
from tests.support.resident_memory import MAX_GROWTH, resident

Start = Callable[..., Running]
Curl = Callable[..., bytes]

SIZE = 10_000_000
LARGE = 100_000_000
ENDS = b"01234 and 56789"
FEW = 200_000
"""Octets that a slow reader takes, before it stops."""
VERSIONS = {"1.1": "--http1.1", "2": "--http2-prior-knowledge"}


def make(path: Path, size: int) -> Path:
    """A file whose blocks are different, with a beginning and an end that are known."""
    block = hashlib.sha512(b"block").digest() * 15_625
    with path.open("wb") as out:
        for number in range(size // len(block)):
            out.write(b"%010d" % number + block[10:])
    with path.open("r+b") as out:
        out.write(b"01234")
        out.seek(-5, 2)
        out.write(b"56789")
    assert path.stat().st_size == size
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: Any) -> Path:
    """More than any socket holds."""
    return make(tmp_path_factory.mktemp("files") / "file", SIZE)


@pytest.fixture(scope="module")
def large(tmp_path_factory: Any) -> Path:
    """A hundred million octets."""
    return make(tmp_path_factory.mktemp("large") / "file", LARGE)


@pytest.fixture(scope="module")
def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def with_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("FILE", str(file))


def curl(*arguments: str) -> bytes:
    """What curl writes."""
    command = [needed.program("curl", "curl"), "--silent", "--show-error", "--max-time", "25"]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def digest_of(*arguments: str) -> str:
    return hashlib.sha256(curl(*arguments)).hexdigest()


ENDPOINTS = {
    "tcp": ("tcp:0:interface=127.0.0.1", "http://127.0.0.1:{port}", ()),
    "unix": ("unix:{folder}/s", "http://x", ("--unix-socket", "{folder}/s")),
    "tls": (
        "ssl:0:interface=127.0.0.1:privateKey={folder}/key.pem:certKey={folder}/certificate.pem",
        "https://127.0.0.1:{port}",
        ("--cacert", "{folder}/certificate.pem"),
    ),
    "proxy": (
        "haproxy:tcp:0:interface=127.0.0.1",
        "http://127.0.0.1:{port}",
        ("--haproxy-protocol",),
    ),
}
SENT = {("native", "tcp"), ("native", "unix")}
"""Where the kernel takes a file to the socket; elsewhere it is read."""


@pytest.mark.skipif(sys.platform != "linux", reason="uses UNIX sockets and os.sendfile")
@pytest.mark.parametrize("reactor", ["native", "stock"])
@pytest.mark.parametrize("endpoint", list(ENDPOINTS))
@pytest.mark.usefixtures("with_file")
class TestEndpoints:
    """Files: os.sendfile on plain TCP of the native reactor, bounded reads elsewhere."""

    @pytest.fixture
    def get(self, reactor: str, endpoint: str, tmp_path: Path) -> Iterator[Curl]:
        """get(path, *arguments) of a server on that endpoint."""
        make_certificate(tmp_path)
        description, url, arguments = ENDPOINTS[endpoint]
        running = REACTORS[reactor](description.format(folder=tmp_path), "files:application")
        try:
            running.wait_for("serves ")
            if endpoint == "unix":
                needed.until(lambda: (tmp_path / "s").exists())
            else:
                running.wait_until_ready()
            places = {"folder": tmp_path, "port": running.port}

            def ask(path: str, *more: str) -> bytes:
                own = [argument.format(**places) for argument in arguments]
                return curl(*own, *more, url.format(**places) + path)

            yield ask
        finally:
            log = running.stop()
        assert "Traceback" not in log

    @pytest.mark.parametrize("version", list(VERSIONS))
    def test_files(self, get: Curl, reactor: str, endpoint: str, version: str, digest: str) -> None:
        """X20, X30: octet for octet; and it goes the way that the documentation says."""
        option = VERSIONS[version]
        if endpoint == "tls" and version == "2":
            option = "--http2"  # by ALPN
        assert hashlib.sha256(get("/path", option)).hexdigest() == digest
        assert get("/parts", option) == ENDS
        is_sent = (reactor, endpoint) in SENT and version == "1.1"
        assert get("/how", option) == (b"sendfile" if is_sent else b"read")


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.usefixtures("with_file")
class TestCurl:
    """What a client that is strict about framing makes of it."""

    def test_hint_and_trailers(self, server: Start, version: str) -> None:
        """X40, X50, X51: 103 first, trailers last."""
        url = server("files:application").url + "/trailers"
        out = curl(VERSIONS[version], "--include", "-H", "TE: trailers", url)
        sections = out.replace(b"\r\n", b"\n").split(b"\n\n")
        assert sections[0].splitlines()[0].split()[1:2] == [b"103"]
        assert sections[0].lower().endswith(b"link: </style.css>; rel=preload; as=style")
        assert sections[1].splitlines()[0].split()[1:2] == [b"200"]
        expected = hashlib.sha256(b"0\n1\n2\n").hexdigest().encode()
        assert out.lower().endswith(b"x-digest: " + expected + b"\r\n")
        assert b"0\n1\n2\n" in out

    def test_no_trailers(self, server: Start, version: str) -> None:
        """X51: not to a client that did not ask."""
        url = server("files:application").url + "/trailers"
        assert b"digest" not in curl(VERSIONS[version], "--include", url).lower()

    def test_connection_is_reused(self, server: Start, version: str, digest: str) -> None:
        """RFC 9112, 9.3: HEAD, a file, parts of one, trailers: all on one connection."""
        # curl 7.88 does not use a connection of HTTP/2 by prior knowledge again.
        httpx = needed.module("httpx")
        running = server("files:application")
        how = {"http1": version == "1.1", "http2": version == "2"}
        limits = httpx.Limits(max_connections=1)
        with httpx.Client(base_url=running.url, timeout=20, limits=limits, **how) as client:
            head = client.head("/path")
            assert (head.headers["content-length"], head.content) == (str(SIZE), b"")
            for _ in range(2):
                whole = client.get("/path")
                assert whole.http_version == f"HTTP/{version}"
                assert hashlib.sha256(whole.content).hexdigest() == digest
                assert client.get("/parts").content == ENDS
                assert client.get("/trailers", headers={"TE": "trailers"}).text == "0\n1\n2\n"
        ports = re.findall(r'127.0.0.1:(\d+) .*" 200 ', running.stop())
        assert len(ports) == 7
        assert len(set(ports)) == 1

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_memory(
        self, server: Start, version: str, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file of 100 MB costs no memory."""
        monkeypatch.setenv("FILE", str(large))
        running = server("files:application")
        curl(VERSIONS[version], running.url + "/parts")
        before = resident(running)
        for _ in range(2):
            octets = curl(VERSIONS[version], running.url + "/path")
            assert hashlib.sha256(octets).digest() == hashlib.sha256(large.read_bytes()).digest()
        assert resident(running) - before < MAX_GROWTH


@pytest.mark.usefixtures("with_file")
class TestSlowReader:
    """C09: a file waits for its reader, and so does nobody else."""

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_waits(self, server: Start, file: Path) -> None:
        """K4: what the peer does not read is not in memory, and others are answered meanwhile."""
        running = server("files:application", "--graceful-timeout", "0")
        curl(running.url + "/parts")
        before = resident(running)
        connection = running.connect()
        connection.sendall(b"GET /path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = b""
        while len(got) < FEW:
            got += connection.recv(FEW - len(got))
        for _ in range(10):
            assert curl(running.url + "/parts") == ENDS
        assert resident(running) - before < MAX_GROWTH
        whole = hashlib.sha256(got.partition(b"\r\n\r\n")[2])
        while octets := connection.recv(1 << 20):
            whole.update(octets)
        assert whole.hexdigest() == hashlib.sha256(file.read_bytes()).hexdigest()

    def test_write_timeout(
        self, server: Start, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A peer that does not read loses its connection: a part is never taken for the whole."""
        monkeypatch.setenv("FILE", str(large))
        running = server("files:application", "--write-timeout", "1")
        connection = running.connect()
        connection.sendall(b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000)
        running.wait_for('"GET /path" 200', DEADLINE)
        total = 0
        try:
            while octets := connection.recv(1 << 20):
                total += len(octets)
        except ConnectionResetError:
            assert total < LARGE
        else:
            pytest.fail("the connection ended as if the file was whole")

    def test_peer_goes(self, server: Start) -> None:
        """The connection is lost while its socket is full: logged, and nothing goes on."""
        running = server("files:application")
        connection = running.connect()
        connection.sendall(b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000)
        connection.close()
        running.wait_for('"GET /path" 200', DEADLINE)
        assert curl(running.url + "/parts") == ENDS


@pytest.mark.usefixtures("with_file")
@pytest.mark.parametrize("version", list(VERSIONS))
class TestStarlette:
    """FileResponse and StaticFiles use pathsend where it is advertised."""

    @pytest.fixture
    def running(self, server: Start) -> Running:
        needed.module("starlette")
        return server("star_files:application")

    @pytest.mark.parametrize("path", ["/file", "/static/file"])
    def test_whole(self, running: Running, version: str, path: str, digest: str) -> None:
        """X30: the framework's own response goes by path."""
        assert digest_of(VERSIONS[version], running.url + path) == digest
        running.wait_for("sent http.response.pathsend")

    def test_relative(self, running: Running, version: str) -> None:
        """Starlette passes on a path from the working directory as it is."""
        out = curl(VERSIONS[version], running.url + "/relative")
        assert out.startswith(b'"""Starlette')

    def test_range(self, running: Running, version: str) -> None:
        """Range is the application's: it answers 206, by parts of a body."""
        out = curl(VERSIONS[version], "--include", "--range", "0-4", running.url + "/file")
        assert b" 206" in out.splitlines()[0]
        assert out.endswith(b"\r\n\r\n01234")

    def test_head(self, running: Running, version: str) -> None:
        """H32: the length, and no octet."""
        out = curl(VERSIONS[version], "--head", running.url + "/file")
        assert f"content-length: {SIZE}" in out.decode().lower()
