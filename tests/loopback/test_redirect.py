"""`--https-redirect` with a real certificate and curl."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.certificates import make_certificate
from tests.support.real_server import COMMAND, TWISTD, Running, fetched

ANY = "tcp:0:interface=127.0.0.1"


@pytest.fixture
def tls(tmp_path: Path) -> list[str]:
    """Options: TLS on a free port."""
    key, certificate = make_certificate(tmp_path)
    return ["-p", "0", "--tls-certificate", str(certificate), "--tls-key", str(key)]


class TestRedirect:
    """`--https-redirect`: requests over HTTP are redirected to HTTPS."""

    @pytest.mark.parametrize(
        "how",
        [
            COMMAND,
            pytest.param(
                (*TWISTD, "-n", "--pidfile=", "daphne-like"),
                marks=pytest.mark.skipif(sys.platform == "win32", reason="POSIX"),
            ),
        ],
        ids=["command", "twistd"],
    )
    def test_curl_follows(
        self, program: Callable[..., Running], tls: list[str], how: Sequence[str]
    ) -> None:
        """To the port that speaks TLS, with path and query; a POST stays one."""
        curl = needed.program("curl", "curl")
        running = program(*tls, "--https-redirect", ANY, "stopping:application", program=how)
        found = running.wait_for(
            r"at https://127\.0\.0\.1:(\d+)/, to which http://127\.0\.0\.1:(\d+)/"
        )
        secure, plain = found[1], int(found[2])
        answer = fetched(plain, "/")
        assert answer.startswith(b"HTTP/1.1 400 ")
        done = subprocess.run(
            [curl, "-sSkL", "--noproxy", "*", "--max-redirs", "1", "-d", "body",
             "-w", "\n%{url_effective} %{method}", f"http://127.0.0.1:{plain}/hello?c=d"],
            capture_output=True,
            text=True,
            timeout=30,
        )  # fmt: skip
        assert done.stderr == ""
        assert done.stdout.splitlines()[-1] == f"https://127.0.0.1:{secure}/hello?c=d POST"
        running.signal()
        running.ended()
        assert re.search(r'"POST /hello\?c=d" 308', running.log)

    def test_a_taken_port(
        self, command: Callable[..., subprocess.CompletedProcess[str]], tls: list[str]
    ) -> None:
        """The start ends in one sentence, and the application was not started."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            string = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            ended = command(*tls, "--https-redirect", string, "stopping:application")
        assert ended.returncode == 1
        assert f"Cannot listen on {string}: Address already in use\n" in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert "lifespan" not in ended.stdout

    def test_behind_a_proxy_that_ends_tls(self, program: Callable[..., Running]) -> None:
        """Without a port of TLS here it is the proxy's, on 443; the banner claims no other."""
        running = program("-p", "0", "--https-redirect", ANY, "stopping:application")
        found = running.wait_for(r"at http://[0-9.:]+/; http://[0-9.]+:(\d+)/ redirects to https")
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=30) as connection:
            connection.sendall(b"GET /a HTTP/1.0\r\nHost: example.org:80\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"\r\nlocation: https://example.org/a\r\n" in answer
