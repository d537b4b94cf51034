"""--tcp-keepalive as options of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.keepalive import IDLE, PROBES, USER_TIMEOUT, keep_alive, times
from daphne_like.options import Options


@pytest.mark.parametrize(
    ("limit", "expected"), [(4, (1, 1)), (10, (7, 1)), (60, (30, 10)), (32767, (16384, 5461))]
)
def test_times(limit: int, expected: tuple[int, int]) -> None:
    """Silence and all probes together take as long as the limit."""
    idle, interval = times(limit)
    assert (idle, interval) == expected
    assert idle + PROBES * interval == limit


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Return a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.mark.skipif(IDLE is None, reason="this system has no such option")
def test_accepted(listening: socket.socket) -> None:
    """A connection inherits the options of its listening socket."""
    keep_alive(listening, 60)
    with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        tcp = socket.IPPROTO_TCP
        assert accepted.getsockopt(tcp, IDLE) == 30
        assert accepted.getsockopt(tcp, socket.TCP_KEEPINTVL) == 10
        if USER_TIMEOUT is not None:
            assert accepted.getsockopt(tcp, USER_TIMEOUT) == 60000


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_unix() -> None:
    """A UNIX socket has no such options, and needs none."""
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(sock, 60)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("seconds", [3, 32768])
def test_out_of_range(seconds: int) -> None:
    """Three probes take three seconds at least; the kernel's limit is 32767."""
    with pytest.raises(ConfigurationError, match="--tcp-keepalive: expected 4 to 32767"):
        Options(tcp_keepalive=seconds)
