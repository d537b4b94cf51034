"""Clients that are gone without FIN or reset: `--tcp-keepalive`, in a network namespace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import needed
from tests.support.real_server import Running

LIMIT = 4
SUBNET = f"10.231.{os.getpid() % 256}"
SERVER, CLIENT = f"{SUBNET}.1", f"{SUBNET}.2"
FETCH = """
import socket, sys
kept = []
for path in sys.argv[3:]:
    kept.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), 10))
    kept[-1].sendall(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode())
    while b"begun" not in kept[-1].recv(65536): pass
print("streams", flush=True)
sys.stdin.read()
"""


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@pytest.fixture
def namespace() -> Iterator[str]:
    """Return the name of a network namespace that is reached through a cable."""
    if not sys.platform.startswith("linux"):
        pytest.skip("network namespaces need Linux")
    needed.program("ip", "iproute2")
    name = f"vanish{os.getpid()}"
    ours = f"va{os.getpid()}"[:15]
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", ours, "type", "veth", "peer", "name", "cable", "netns", name)
        ip("addr", "add", f"{SERVER}/30", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", name, "addr", "add", f"{CLIENT}/30", "dev", "cable")
        ip("-n", name, "link", "set", "cable", "up")
        yield name
    finally:
        subprocess.run(["ip", "link", "del", ours], check=False, timeout=10)
        ip("netns", "del", name)


def test_streams_end(server: Callable[..., Running], namespace: str) -> None:
    """An idle stream and a busy one end in time when the cable is pulled; not before that."""
    options = ("-b", SERVER, "--lifespan", "off", "--tcp-keepalive", str(LIMIT))
    running = server("vanishing:application", *options)
    words = [sys.executable, "-c", FETCH, SERVER, str(running.port), "/idle", "/busy"]
    client = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "streams\n"
        time.sleep(LIMIT + 2)
        assert "disconnect" not in running.log, "the client answers all the time"
        ip("-n", namespace, "link", "set", "cable", "down")
        pulled = time.monotonic()
        for path in ("/idle", "/busy"):
            running.wait_for(f"http.disconnect {path} ", 30)
            # The kernel's timers of retransmissions decide when it looks at the limit.
            assert time.monotonic() - pulled < 2.5 * LIMIT
        client.kill()
