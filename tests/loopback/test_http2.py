"""HTTP/2 as real clients and a proxy speak it, on every way to listen."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.certificates import Authority, make_certificate
from tests.support.h2_codes import PROTOCOL
from tests.support.h2_frames import PREFACE, goaway, ping, settings
from tests.support.real_server import Running

Start = Callable[..., Running]
LARGE = bytes(range(256)) * 65536
VERSION = "\n%{http_version} %{http_code} %{num_connects}\n"


def run(*command: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=timeout, check=False)


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run(needed.program("curl", "curl"), "-sS", "--max-time", "30", *arguments)


class Stock(Running):
    """The server on Twisted's own asyncio reactor."""

    def __init__(self, application: str, endpoint: str) -> None:
        popen, arguments = subprocess.Popen, [sys.executable, "on_stock_reactor.py"]

        def start(command: list[str], **more: Any) -> Any:
            return popen([*arguments, endpoint, application], **more)

        subprocess.Popen = start  # type: ignore[assignment,misc]
        try:
            super().__init__()
        finally:
            subprocess.Popen = popen  # type: ignore[misc]


class Place:
    """Where a server listens.

    Attributes:
        url: for clients, without the last slash.
        options: that curl needs to get there, and to speak HTTP/2.
    """

    def __init__(self, running: Running, url: str, *options: str) -> None:
        self.running = running
        self.url = url
        self.options = options

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return curl(*self.options, *(self.url + a if a.startswith("/") else a for a in arguments))


@pytest.fixture(scope="class", params=["tcp", "unix", "tls", "stock", "stock tls"])
def place(request: Any, tmp_path_factory: Any) -> Iterator[Place]:
    """bare.py on each way to listen and both reactors."""
    folder: Path = tmp_path_factory.mktemp("h2")
    kind = request.param
    endpoint = "tcp:0:interface=127.0.0.1"
    options = ["--http2-prior-knowledge"]
    if kind == "unix":
        endpoint = f"unix:{folder}/s"
        options += ["--unix-socket", f"{folder}/s"]
    elif kind.endswith("tls"):
        key, certificate = make_certificate(folder)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        options = ["--http2", "--cacert", str(certificate)]
    application = "bare:application"
    running = (
        Stock(application, endpoint) if kind.startswith("stock")
        else Running("-e", endpoint, application)
    )  # fmt: skip
    if kind == "unix":
        needed.until((folder / "s").exists)
        url = "http://x"
    else:
        url = running.wait_until_ready().url
    yield Place(running, url, *options)
    log = running.stop()
    assert "Traceback" not in log, log
    assert running.process.returncode == 0, log


class TestCurl:
    """curl, with nghttp2 below."""

    def test_get(self, place: Place) -> None:
        """A small answer, in HTTP/2."""
        done = place.curl("-w", VERSION, "/")
        assert done.stdout == b"Hello, world!\n2 200 1\n", done.stderr

    def test_head(self, place: Place) -> None:
        """HEAD has no body."""
        done = place.curl("-w", VERSION, "--head", "/")
        assert b"content-length: 13\r\n" in done.stdout
        assert done.returncode == 0

    def test_large_answer(self, place: Place) -> None:
        """16 MiB, whole."""
        assert place.curl("/large").stdout == LARGE

    def test_slow_reader(self, place: Place) -> None:
        """C09: and for one that takes its time."""
        assert place.curl("--limit-rate", "16M", "/large").stdout == LARGE

    def test_upload(self, place: Place, tmp_path: Path) -> None:
        """32 MiB, whole, with windows that grow."""
        octets = bytes(range(256)) * 131072
        (tmp_path / "upload").write_bytes(octets)
        done = place.curl("--data-binary", f"@{tmp_path}/upload", "/upload")
        expected = b"%d %b" % (len(octets), hashlib.sha256(octets).hexdigest().encode())
        assert done.stdout == expected, done.stderr

    def test_refused_upload(self, place: Place, tmp_path: Path) -> None:
        """RFC 9113, 8.1: an answer to an upload that nobody reads arrives, and curl ends."""
        (tmp_path / "upload").write_bytes(b"x" * 8_000_000)
        options = ["-H", "Expect:", "-w", VERSION, "--data-binary", f"@{tmp_path}/upload"]
        for length in ("Content-Length: 8000000", "Content-Length:"):  # and without one
            done = place.curl(*options, "-H", length, "/")
            assert (done.stdout, done.returncode) == (b"Hello, world!\n2 200 1\n", 0), done.stderr

    def test_expect(self, place: Place, tmp_path: Path) -> None:
        """RFC 9110, 10.1.1: 100 when the application asks for the body."""
        (tmp_path / "upload").write_bytes(b"x" * 1_000_000)
        done = place.curl("-i", "-H", "Expect: 100-continue", "--expect100-timeout", "15",
                          "--data-binary", f"@{tmp_path}/upload", "/upload")  # fmt: skip
        assert done.stdout.startswith(b"HTTP/2 100 \r\n\r\nHTTP/2 200 \r\n")

    def test_stream(self, place: Place) -> None:
        """An answer in parts."""
        assert place.curl("/clock").stdout == b"0\n1\n2\n"

    def test_http_1_beside_it(self, place: Place) -> None:
        """The same port serves HTTP/1.1 to who asks for it."""
        options = [option for option in place.options if "http2" not in option]
        done = curl("--http1.1", "-w", VERSION, *options, place.url + "/")
        assert done.stdout == b"Hello, world!\n1.1 200 1\n"


def secure_endpoint(authority: Authority, folder: Path, kind: str) -> str:
    """An endpoint string of localhost with our own TLS (https) or with Twisted's."""
    site = authority.issue("localhost")
    by_name = folder / "by-name"
    by_name.mkdir()
    site.write_both(by_name / "localhost.pem")
    certificate, key = site.write(folder, "site")
    return {
        "ssl": f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
        "https": f"https:tcp:0:interface=127.0.0.1:key={key}:certificate={certificate}",
        "tls": f"tls:{by_name}:0:interface=127.0.0.1",
    }[kind]


class TestVersions:
    """`--http`."""

    def test_2_alone(self, server: Start) -> None:
        """--http 2: nothing else is served."""
        url = server("bare:application", "--http", "2").url + "/"
        assert curl("--http2-prior-knowledge", url).stdout == b"Hello, world!"
        assert curl("--http1.1", url).returncode != 0

    def test_1_alone(self, server: Start) -> None:
        """--http 1: HTTP/2 is refused."""
        url = server("bare:application", "--http", "1").url + "/"
        assert curl("--http2-prior-knowledge", url).returncode != 0
        assert curl(url).stdout == b"Hello, world!"

    def test_alpn(self, tmp_path: Path) -> None:
        """RFC 7301: what TLS offers is what is served."""
        key, certificate = make_certificate(tmp_path)
        for http, offered in (("auto", b"h2"), ("1", b"http/1.1"), ("2", b"h2")):
            endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
            running = Running("--http", http, "-e", endpoint, "bare:application")
            try:
                address = f"127.0.0.1:{running.wait_until_ready().port}"
                openssl = needed.program("openssl", "openssl")
                done = subprocess.run(
                    [openssl, "s_client", "-connect", address, "-alpn", "h2,http/1.1"],
                    input=b"Q\n", capture_output=True, timeout=30, check=False,
                )  # fmt: skip
                assert b"ALPN protocol: " + offered in done.stdout
            finally:
                running.stop()

    @pytest.mark.parametrize("http", ["auto", "2"])
    @pytest.mark.parametrize("kind", ["ssl", "https", "tls"])
    def test_who_takes_his_time(self, program: Start, tmp_path: Path, kind: str, http: str) -> None:
        """RFC 9113, 3.4: the server's preface waits for the client's handshake, not he for it."""
        authority = Authority()
        endpoint = secure_endpoint(authority, tmp_path, kind)
        running = program("--http", http, "-e", endpoint, "bare:application").wait_until_ready()
        context = authority.client()
        context.set_alpn_protocols(["h2"])
        with running.connect() as connection:
            time.sleep(0.3)
            with context.wrap_socket(connection, server_hostname="localhost") as tls:
                tls.settimeout(5)
                tls.sendall(PREFACE + settings())
                assert tls.recv(9)[3] == 4  # SETTINGS

    @pytest.mark.parametrize("kind", ["ssl", "https", "tls"])
    def test_what_alpn_says(self, program: Start, tmp_path: Path, kind: str) -> None:
        """RFC 9113, 3.2: after h2 no HTTP/1.1 is spoken, after http/1.1 no HTTP/2."""
        authority = Authority()
        endpoint = secure_endpoint(authority, tmp_path, kind)
        running = program("-e", endpoint, "bare:application").wait_until_ready()
        answers = []
        for protocol, sent in (
            ("h2", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("http/1.1", PREFACE + settings()),
        ):
            context = authority.client()
            context.set_alpn_protocols([protocol])
            with (
                running.connect() as connection,
                context.wrap_socket(connection, server_hostname="localhost") as tls,
            ):
                tls.settimeout(10)
                tls.sendall(sent)
                answers.append(b"".join(iter(lambda: tls.recv(65536), b"")))
        assert answers[0][3] == 4  # SETTINGS
        assert answers[0][-17:] == goaway(PROTOCOL)
        assert answers[1].startswith(b"HTTP/1.1 400 ")


class TestMaxRequests:
    """`--max-requests-per-connection` and httpx: h2 reads nothing that follows a GOAWAY."""

    def test_no_response_is_lost(self, server: Start) -> None:
        """RFC 9113, 6.8: not one, on many connections after each other."""
        httpx = needed.module("httpx")
        url = server("bare:application", "--max-requests-per-connection", "3").url + "/"
        with httpx.Client(http1=False, http2=True, timeout=20) as client:
            answers = [client.get(url) for _ in range(50)]
        assert {(answer.http_version, answer.status_code) for answer in answers} == {
            ("HTTP/2", 200)
        }


class TestNghttp:
    """nghttp2's own tools."""

    def test_h2load(self, server: Start) -> None:
        """16 connections with 32 streams each: not one request fails, and nobody is an attacker."""
        running = server("bare:application")
        done = run(needed.program("h2load", "nghttp2-client"), "-n", "20000",
                   "-c", "16", "-m", "32", running.url + "/")  # fmt: skip
        assert b"20000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout

    def test_h2load_large(self, server: Start) -> None:
        """The same with 16 MiB each."""
        running = server("bare:application")
        done = run(needed.program("h2load", "nghttp2-client"), "-n", "16", "-c", "2", "-m", "4",
                   running.url + "/large")  # fmt: skip
        assert b"16 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout

    def test_h2load_upload(self, server: Start, tmp_path: Path) -> None:
        """The same with bodies of a megabyte."""
        (tmp_path / "upload").write_bytes(b"x" * 1_000_000)
        running = server("bare:application")
        done = run(needed.program("h2load", "nghttp2-client"), "-n", "64", "-c", "4", "-m", "8",
                   "-d", f"{tmp_path}/upload", running.url + "/upload")  # fmt: skip
        assert b"64 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout

    def test_refused_upload(self, server: Start, tmp_path: Path) -> None:
        """RFC 9113, 8.1: an answer to an upload that nobody reads arrives."""
        (tmp_path / "upload").write_bytes(b"x" * 8_000_000)
        done = run(needed.program("nghttp", "nghttp2-client"), "-d", f"{tmp_path}/upload",
                   server("bare:application").url + "/")  # fmt: skip
        assert done.stdout == b"Hello, world!"

    def test_nghttp(self, server: Start) -> None:
        """Every frame is one that nghttp2 takes; our settings come first."""
        running = server("bare:application")
        done = run(needed.program("nghttp", "nghttp2-client"), "-v", "-n", running.url + "/")
        text = re.sub(rb"\x1b\[[0-9;]*m", b"", done.stdout)
        assert b"recv (stream_id=13) :status: 200" in text or b":status: 200" in text
        assert b"[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):128]" in text
        assert b"error" not in done.stderr.lower()

    def test_push(self, server: Start) -> None:
        """RFC 9113, 8.4: nghttp takes two promises with a page, and their answers."""
        running = server("bare:application")
        nghttp = needed.program("nghttp", "nghttp2-client")
        done = run(nghttp, "-v", "--no-dep", running.url + "/page")
        text = re.sub(rb"\x1b\[[0-9;]*m", b"", done.stdout)
        assert text.count(b"recv PUSH_PROMISE frame") == 2
        assert b"promised_stream_id=2)" in text
        assert b"recv (stream_id=1) :authority: 127.0.0.1:%d\n" % running.port in text
        assert re.search(rb"recv DATA frame <length=13, flags=0x01, stream_id=2>", text)
        assert re.search(rb"recv DATA frame <length=0, flags=0x01, stream_id=4>", text)
        assert b"error" not in done.stderr.lower()


class TestHttpx:
    """A client on h2's own state machine."""

    def test_many(self, server: Start) -> None:
        """Requests at the same time, bodies both ways."""
        httpx = needed.module("httpx")
        needed.module("h2")
        url = server("bare:application").url

        async def main() -> list[Any]:
            async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
                small = [client.get(url + "/") for _ in range(50)]
                uploads = [client.post(url + "/upload", content=b"x" * 300_000) for _ in range(5)]
                large = [client.get(url + "/large") for _ in range(2)]
                return await asyncio.gather(*small, *uploads, *large)

        answers = asyncio.run(main())
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert [answer.text for answer in answers[:50]] == ["Hello, world!"] * 50
        assert all(answer.text.startswith("300000 ") for answer in answers[50:55])
        assert [answer.content for answer in answers[55:]] == [LARGE] * 2


class TestProxy:
    """A proxy that speaks HTTP/2 to us."""

    def test_haproxy(self, server: Start, tmp_path: Path) -> None:
        """HAProxy with `proto h2`: requests, a large answer, an upload."""
        haproxy = needed.program("haproxy", "haproxy")
        running = server("bare:application")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        (tmp_path / "haproxy.cfg").write_text(
            f"""
            defaults
                mode http
                timeout connect 10s
                timeout client 30s
                timeout server 30s
            listen test
                bind 127.0.0.1:{port}
                server s 127.0.0.1:{running.port} proto h2
            """.rstrip(" ")
        )
        process = subprocess.Popen([haproxy, "-db", "-f", str(tmp_path / "haproxy.cfg")])
        try:
            url = f"http://127.0.0.1:{port}"
            needed.until(lambda: curl(url + "/").stdout == b"Hello, world!")
            assert curl(url + "/large").stdout == LARGE
            (tmp_path / "upload").write_bytes(b"x" * 3_000_000)
            done = curl("--data-binary", f"@{tmp_path}/upload", url + "/upload")
            assert done.stdout.startswith(b"3000000 ")
            assert curl(url + "/clock").stdout == b"0\n1\n2\n"
        finally:
            process.terminate()
            process.wait(20)


class TestStop:
    """A server that stops, seen from outside."""

    def test_goaway(self, server: Start) -> None:
        """SIGTERM: GOAWAY with NO_ERROR, then the end of the connection, then of the process."""
        running = server("bare:application", "--drain-idle", "0.5")
        connection = running.connect()
        connection.sendall(PREFACE + settings() + ping())
        octets = b""
        while ping(ack=True) not in octets:
            octets += connection.recv(65536)
        running.signal()
        while more := connection.recv(65536):
            octets += more
        assert octets.endswith(goaway())
        assert running.ended() == 0

    def test_error_is_readable(self, server: Start) -> None:
        """RFC 9113, 5.4.1: GOAWAY arrives though the peer sends on."""
        running = server("bare:application")
        connection = running.connect()
        connection.sendall(PREFACE + settings() + b"\0\0\0\x06\0\0\0\0\0" + b"x" * 300_000)
        octets = b""
        while more := connection.recv(65536):
            octets += more
        assert octets[-17:-8] == goaway()[:9]
        assert octets[-4:] == b"\0\0\0\x06"
