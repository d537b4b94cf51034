"""A tree of twisted.web resources with applications in it, for real."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import PROJECTS, Running
from tests.support.resident_memory import MAX_GROWTH, PAUSE, resident, send_until_refused

httpx = needed.module("httpx")
needed.module("starlette")
needed.module("django")
needed.module("a2wsgi")

ROOT = Path(__file__).parents[2]
OCTETS = bytes(range(251)) * 80_000  # 20 MB


class Tree(Running):
    """tests/projects/tree.py, as the command's process is.

    Attributes:
        ports: of the site with StreamingRequest, and of the stock one.
    """

    command = (sys.executable, str(PROJECTS / "tree.py"))

    def __init__(self, *arguments: str, popen: Callable[..., Any] = subprocess.Popen) -> None:
        def start(_command: Any, **more: Any) -> Any:
            return popen([*self.command, *arguments], **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.support.real_server.subprocess.Popen", start)
            super().__init__()
        self.ports = [int(port) for port in self.wait_for(r"ports ([\d ]+)\n")[1].split()]
        self.host = "127.0.0.1"
        self.use(0)

    def use(self, number: int) -> None:
        """Let `connect` and `url` mean the first or the second site."""
        self.port = self.ports[number]
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture(params=["native", "stock"], scope="module")
def running(request: Any) -> Iterator[Tree]:
    """On the native reactor, and on Twisted's own asyncio reactor."""
    tree = Tree(request.param)
    yield tree
    log = tree.stop()
    assert "Traceback" not in log, log
    assert tree.process.returncode == 0, log
    assert log.count("lifespan: startup") == log.count("lifespan: shutdown") == 1


@pytest.fixture(params=[0, 1], ids=["streaming", "stock-request"])
def site(request: Any, running: Tree) -> Tree:
    """With each of the two kinds of request."""
    running.use(request.param)
    return running


@pytest.fixture
def client(site: Tree) -> Iterator[Any]:
    with httpx.Client(base_url=site.url, timeout=20) as client:
        yield client


class TestApplications:
    """Several applications next to other resources, two sites sharing all of them."""

    def test_starlette(self, client: Any) -> None:
        """Its routes are below the place; the lifespan's state is there."""
        assert client.get("/app/").text.startswith("from the lifespan ")
        assert client.get("/app/stream").text == "0\n1\n2\n3\n4\n"
        assert client.get("/app/nothing").status_code == 404

    def test_django(self, client: Any) -> None:
        """Its urls are below the place, too."""
        assert client.get("/django/").text == "Hello from Django"
        octets = OCTETS[:5_000_000]
        answer = client.post("/django/upload", files={"file": ("a.bin", octets)}).json()
        assert answer["sha256"] == hashlib.sha256(octets).hexdigest()
        assert answer["on_disk"]

    def test_wsgi(self, client: Any) -> None:
        """SCRIPT_NAME is the place."""
        assert client.get("/wsgi/a/b").text == "/wsgi /a/b"

    def test_others(self, client: Any) -> None:
        """Files and pages that are twisted.web's."""
        assert client.get("/files/tree.py").content == (PROJECTS / "tree.py").read_bytes()
        assert client.post("/files/tree.py", content=OCTETS[:200_000]).status_code == 405
        assert client.get("/nothing").status_code == 404

    def test_failed_startup(self, client: Any, site: Tree) -> None:
        """503 for its requests alone; the log says why."""
        assert client.get("/broken").status_code == 503
        assert "CRITICAL daphne_like.server Application startup failed: no database" in site.log


class TestStreaming:
    """Both ways."""

    def test_upload(self, client: Any) -> None:
        """20 MB, and an answer of it."""
        answer = client.post("/app/echo", content=OCTETS)
        assert answer.text == hashlib.sha256(OCTETS).hexdigest()

    def test_large_file(self, client: Any) -> None:
        """A file response, and HEAD for it, on one connection."""
        octets = (PROJECTS / "star.py").read_bytes()
        assert client.get("/app/file").content == octets
        assert client.head("/app/file").headers["content-length"] == str(len(octets))
        assert client.get("/app/file").content == octets

    def test_both_ways_at_once(self, running: Tree) -> None:
        """20 MB there and back; parts come back while others are not sent yet. Memory is flat."""
        running.use(0)
        before = resident(running)
        digest = hashlib.sha256()
        with running.connect() as connection:
            head = (
                b"POST /both HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            )
            connection.sendall(head % len(OCTETS))
            with connection.makefile("rb") as answer:
                while answer.readline() != b"\r\n":
                    pass
                for start in range(0, len(OCTETS), 50_000):
                    part = OCTETS[start : start + 50_000]
                    connection.sendall(part)
                    got = 0
                    while got < len(part):
                        chunk = answer.read(int(answer.readline(), 16))
                        answer.readline()
                        digest.update(chunk)
                        got += len(chunk)
                assert answer.read() == b"0\r\n\r\n"
        assert digest.digest() == hashlib.sha256(OCTETS).digest()
        assert resident(running) - before < MAX_GROWTH

    def test_too_large(self, running: Tree) -> None:
        """413 is read by a client that sends on."""
        running.use(0)
        with running.connect() as connection:
            connection.sendall(
                b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\n\r\n"
            )
            for _ in range(10):
                connection.sendall(bytes(100_000))
            received = b""
            while b"too large" not in received:
                received += connection.recv(4096)
            assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestBackPressure:
    """K4: memory stays flat under slow peers and slow applications."""

    def test_slow_reader(self, site: Tree) -> None:
        """C09: a gigabyte that the peer does not read."""
        before = resident(site)
        with site.connect() as connection:
            connection.sendall(b"GET /flat HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(100):
                assert connection.recv(65536)
            with pytest.raises(AssertionError, match="no 'never'"):
                site.wait_for("never", PAUSE)
            assert resident(site) - before < MAX_GROWTH

    def test_slow_application(self, running: Tree) -> None:
        """A gigabyte that the application does not read is not read from the socket."""
        running.use(0)
        before = resident(running)
        with running.connect() as connection:
            connection.sendall(
                b"POST /flat HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
            )
            sent = send_until_refused(connection)
            assert resident(running) - before < MAX_GROWTH
            assert sent < 50_000_000

    def test_writes_and_never_reads(self, running: Tree) -> None:
        """That its response drains does not let more of the request in."""
        running.use(0)
        before = resident(running)
        with running.connect() as connection:
            connection.sendall(
                b"POST /flood HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
            )
            connection.setblocking(False)
            sent = received = 0
            while received < 300_000_000:
                try:
                    sent += connection.send(bytes(1_000_000))
                except BlockingIOError:
                    pass
                try:
                    received += len(connection.recv(1_000_000))
                except BlockingIOError:
                    pass
            assert resident(running) - before < MAX_GROWTH
            assert sent < 50_000_000


class TestDisconnect:
    """A peer that goes in the middle."""

    def test_of_a_stream(self, client: Any) -> None:
        """H30, H31: an endless stream ends."""
        with client.stream("GET", "/app/flood") as response:
            next(response.iter_raw())
        needed.until(lambda: client.get("/app/seen").json().get("flood") == "ended")

    def test_of_an_upload(self, running: Tree) -> None:
        """H28: the application is told."""
        running.use(0)
        told = running.log.count("disconnected")
        with running.connect() as connection:
            connection.sendall(b"POST /both HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        needed.until(lambda: running.log.count("disconnected") > told)


@pytest.fixture(scope="module")
def curl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """curl(path, *arguments): the process, ended."""
    needed.module("h2")
    needed.module("priority")
    program = needed.program("curl", "curl")
    openssl = needed.program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    pem = folder / "site.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", pem, "-out",
         folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_bytes(pem.read_bytes() + (folder / "certificate.pem").read_bytes())
    (folder / "octets").write_bytes(OCTETS)
    tree = Tree("native", str(pem))

    def run(path: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        url = tree.url.replace("http:", "https:") + path
        return subprocess.run(
            [program, "-sk", "--http2", *arguments, url],
            cwd=folder, capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    yield run
    tree.stop()
    assert tree.process.returncode == 0


class TestHTTP2:
    """Where twisted.web has it: over TLS, with h2 and priority installed."""

    def test_answer(self, curl: Callable[..., Any]) -> None:
        """A page, and HEAD."""
        assert curl("/app/").stdout.startswith(b"from the lifespan ")
        assert curl("/app/file", "-I").stdout.startswith(b"HTTP/2 200")

    def test_both_ways(self, curl: Callable[..., Any]) -> None:
        """20 MB there and back, and there alone."""
        assert curl("/both", "--data-binary", "@octets").stdout == OCTETS
        digest = hashlib.sha256(OCTETS).hexdigest().encode()
        assert curl("/app/echo", "--data-binary", "@octets").stdout == digest

    def test_cut(self, curl: Callable[..., Any]) -> None:
        """C12, H02: the stream ends with an error that nobody takes for the end of the body."""
        ended = curl("/failing", "-i")
        assert b"x-version: 2\r\n" in ended.stdout
        assert ended.stdout.endswith(b"part")
        assert ended.returncode == 92  # HTTP/2 stream was not closed cleanly


class TestStop:
    """The reactor stops."""

    @pytest.mark.parametrize("reactor", ["native", "stock"])
    def test_finishes_what_is_in_flight(self, reactor: str) -> None:
        """L08: a request in flight is answered, then comes lifespan shutdown."""
        tree = Tree(reactor)
        try:
            with tree.connect() as connection:
                connection.sendall(
                    b"POST /app/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"
                )
                needed.until(lambda: httpx.get(tree.url + "/app/seen").status_code == 200)
                tree.signal()
                assert _refused(tree.url)
                connection.sendall(b"c")
                received = b""
                while part := connection.recv(4096):
                    received += part
            assert hashlib.sha256(b"abc").hexdigest().encode() in received
            assert tree.ended() == 0
            assert "lifespan: shutdown" in tree.log
        finally:
            assert "Traceback" not in tree.stop()


def test_documented_program(tmp_path: Path) -> None:
    """docs/howto/embedding.rst, "In a tree ...": as written but for the port."""
    page = (ROOT / "docs" / "howto" / "embedding.rst").read_text()
    found = re.search(r":name: tree\n\n((?:    .*\n|\n)+)", page)
    assert found is not None
    program = textwrap.dedent(found[1])
    assert "tcp:8000:" in program
    program = program.replace("tcp:8000:", "tcp:0:").replace(
        ".listen(site)",
        ".listen(site).addCallback(lambda port: print('port', port.getHost().port, flush=True))",
    )
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "hello.py").write_text((ROOT / "examples" / "hello.py").read_text())
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "page.txt").write_text("a file")
    process = subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().split()[1]
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(url + "/page.txt", timeout=20).text == "a file"
        assert httpx.get(url + "/app/", timeout=20).status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def _refused(url: str) -> bool:
    def asked() -> bool:
        try:
            return bool(httpx.get(url + "/app/seen").status_code == 503)
        except httpx.HTTPError:
            return True

    return bool(needed.until(asked))
