"""What curl thinks of the answers."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed

Start = Callable[..., Any]


@pytest.fixture
def curl(server: Start) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """curl(*arguments): arguments that begin with / are paths of a running server."""
    path = needed.program("curl", "curl")
    url = server("bare:application").url

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [url + a if a.startswith("/") else a for a in arguments]
        return subprocess.run(
            [path, "--silent", "--show-error", "--max-time", "20", *command],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    return run


class TestCurl:
    """A client that is strict about framing."""

    def test_get(self, curl: Any) -> None:
        """A small answer."""
        assert curl("/").stdout == b"Hello, world!"

    def test_connection_is_reused(self, curl: Any) -> None:
        """RFC 9112, 9.3: several requests on one connection; after HEAD and a stream, too."""
        done = curl("--write-out", "%{num_connects}\n", "--head", "/", "--next", "--silent",
                    "--write-out", "%{num_connects}\n", "/clock", "--next", "--silent",
                    "--write-out", "%{num_connects}\n", "/")  # fmt: skip
        assert done.returncode == 0
        assert done.stdout.endswith(b"1\n0\n1\n2\n0\nHello, world!0\n")

    def test_http_10(self, curl: Any) -> None:
        """K9: a stream for HTTP/1.0 has no chunks."""
        done = curl("--http1.0", "--include", "/clock")
        assert b"Transfer-Encoding" not in done.stdout
        assert done.stdout.endswith(b"\r\n\r\n0\n1\n2\n")

    def test_expect(self, curl: Any, tmp_path: Path) -> None:
        """RFC 9110, 10.1.1: 100 before the upload, when the application asks for it."""
        octets = bytes(range(256)) * 8192
        (tmp_path / "upload").write_bytes(octets)
        done = curl("--include", "-H", "Expect: 100-continue", "--expect100-timeout", "15",
                    "--data-binary", f"@{tmp_path}/upload", "/upload")  # fmt: skip
        assert done.stdout.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert done.stdout.endswith(
            b"%d %b" % (len(octets), hashlib.sha256(octets).hexdigest().encode())
        )

    def test_refused_upload(self, curl: Any, tmp_path: Path) -> None:
        """RFC 9112, 9.6: an answer to an upload that nobody reads arrives."""
        (tmp_path / "upload").write_bytes(b"x" * 8_000_000)
        done = curl("-H", "Expect:", "--data-binary", f"@{tmp_path}/upload", "/")
        assert (done.returncode, done.stdout) == (0, b"Hello, world!")

    def test_slow_reader(self, curl: Any) -> None:
        """C09: 16 MB for a peer that reads slowly are whole."""
        done = curl("--limit-rate", "16M", "/large")
        assert done.stdout == bytes(range(256)) * 65536

    def test_aborted_answer(self, server: Start) -> None:
        """C12: curl says that the answer is not whole."""
        running = server("bare:application", expects_traceback=True)
        done = subprocess.run(
            [needed.program("curl", "curl"), "-s", "-m", "20", running.url + "/fail-late"],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode != 0
