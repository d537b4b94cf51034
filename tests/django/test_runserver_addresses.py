"""The forms in which runserver takes an address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import ipv6

httpx = needed.module("httpx")

Project = Callable[..., Path]
Start = Callable[..., Any]


def named() -> bool:
    """Whether `localhost` is a name of ::1 too."""
    try:
        return bool(socket.getaddrinfo("localhost", 0, socket.AF_INET6))
    except OSError:
        return False


needs_name = pytest.mark.skipif(not named(), reason="add `::1 localhost` to /etc/hosts")
needs_ipv6 = pytest.mark.skipif(not ipv6(), reason="there is no ::1: enable IPv6 on loopback")


@pytest.fixture(scope="module")
def folder(project: Project) -> Path:
    """One project for all of them."""
    return project()


class TestAddresses:
    """Addresses as Django takes them: `0`, `0:8000`, `[::1]:8000`, IPv6."""

    @pytest.mark.parametrize(
        ("words", "banner", "reached"),
        [
            pytest.param(["0"], "127.0.0.1", "127.0.0.1", id="port 0"),
            pytest.param(["0:0"], "0.0.0.0", "127.0.0.1", id="every address"),
            pytest.param(["localhost:0"], "localhost", "127.0.0.1", id="name"),
            pytest.param(["[::1]:0"], "[::1]", "[::1]", id="brackets", marks=needs_ipv6),
            pytest.param(["-6", "0"], "[::1]", "[::1]", id="-6", marks=needs_ipv6),
            pytest.param(["-6", "localhost:0"], "localhost", "[::1]", id="-6 name",
                         marks=[needs_ipv6, needs_name]),
        ],
    )  # fmt: skip
    def test_form(
        self, folder: Path, runserver: Start, words: list[str], banner: str, reached: str
    ) -> None:
        """It listens there; the banner has the address as it was given, and the real port."""
        running = runserver(folder, "--skip-checks", *words, port="")
        assert running.host == banner
        assert httpx.get(f"http://{reached}:{running.port}/").text == "first"

    def test_default(self, folder: Path, runserver: Start, manage: Start) -> None:
        """Without any it is port 8000 of 127.0.0.1, taken or not."""
        running = manage(folder, "runserver", "--noreload", "--skip-checks")
        running.wait_for(r"127\.0\.0\.1(:8000/|.*Address already in use)")

    def test_unknown_name(self, folder: Path, fails: Start) -> None:
        """A name that nobody knows is one sentence."""
        ended = fails(folder, "runserver", "--noreload", "--skip-checks", "nobody.invalid:0")
        assert "CommandError: nobody.invalid is not an address to listen on" in ended.stderr

    def test_no_port(self, folder: Path, fails: Start) -> None:
        """A number that is none of a port's: runserver has no option --port to speak of."""
        ended = fails(folder, "runserver", "--noreload", "--skip-checks", "127.0.0.1:99999")
        assert ended.stderr == "CommandError: port: expected 0 to 65535, got 99999\n"

    def test_unix_socket(self, folder: Path, tmp_path: Path, manage: Start) -> None:
        """`-e` alone takes the place of Django's address, and may be given several times."""
        path = tmp_path / "s"
        running = manage(folder, "runserver", "--noreload", "--endpoint", f"unix:{path}",
                         "-e", "tcp:0:interface=127.0.0.1").wait_until_ready()  # fmt: skip
        assert f"unix:{path}" in running.log
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://site/").text == "first"

    def test_endpoint_beside_an_address(self, folder: Path, runserver: Start) -> None:
        """An address and `-e`: both are listened on."""
        running = runserver(folder, "--skip-checks", "-e", "tcp:0:interface=127.0.0.1")
        assert (
            len(set(map(str, needed.module("re").findall(r"127.0.0.1:(\d+)/", running.log)))) == 2
        )
