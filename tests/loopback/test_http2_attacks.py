"""One client of HTTP/2 that sends as fast as it can keeps nobody else waiting (S27)."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificate
from tests.support.http2_attacks import ATTACKS
from tests.support.real_server import Running

SECONDS = 1.5
MAX_WAIT = 3.0
"""Seconds for an answer, on a machine that is busy with other tests; without a bound per turn it
took four to fourteen."""


class Target:
    """A server that is attacked, and asked by somebody else."""

    def __init__(self, running: Running, context: ssl.SSLContext | None) -> None:
        self.running = running
        self.context = context

    def ask(self) -> float:
        """GET, on a connection of its own; the seconds that it took."""
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.running.port), timeout=30) as plain:
            wire = plain if self.context is None else self.context.wrap_socket(plain)
            with wire:
                wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: wire.recv(65536), b""))
        assert answer.endswith(b"Hello, world!")
        return time.monotonic() - started


@pytest.fixture(scope="module", params=["plain", "tls"])
def target(request: Any, tmp_path_factory: Any) -> Iterator[Target]:
    """attacked.py, with the default options."""
    if request.param == "plain":
        endpoint, context = "tcp:0:interface=127.0.0.1", None
    else:
        folder: Path = tmp_path_factory.mktemp("attacked")
        key, certificate = make_certificate(folder)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    running = Running("-e", endpoint, "attacked:application").wait_until_ready()
    yield Target(running, context)
    log = running.stop()
    assert "Traceback" not in log, log


@pytest.fixture
def attack(target: Target) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """attack(name): a process that attacks the target."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.support.http2_attacks", name]
        arguments = [str(target.running.port), str(SECONDS), "tls" if target.context else "plain"]
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered(
    target: Target, attack: Callable[[str], subprocess.Popen[str]], name: str
) -> None:
    """S27: requests of others are answered all the while."""
    process = attack(name)
    assert process.stdout is not None
    assert process.stdout.readline() == "attacking\n"
    waits = [target.ask()]
    while process.poll() is None:
        waits.append(target.ask())
    assert max(waits) < MAX_WAIT
    assert int(process.stdout.read()) > 100_000, "octets of an attack"
