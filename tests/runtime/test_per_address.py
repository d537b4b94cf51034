"""`--max-connections-per-ip`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from daphne_like.runtime.per_address import client_key
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import get, never_answer, read_answers

Serve = Callable[..., Memory]


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("_hidden", "_hidden"),
    ],
)
def test_client(host: str, key: str) -> None:
    """One client is an IPv4 address, or a network of IPv6 addresses."""
    assert client_key(host) == key


def connect(memory: Memory, address: Any) -> Any:
    """Connect from an address."""
    return memory.connect(peer=address)


def client(host: str, port: int = 5000) -> IPv4Address:
    """An address."""
    return IPv4Address("TCP", host, port)


class TestConnections:
    """Clients without a proxy."""

    def test_of_one_address(self, serve: Serve) -> None:
        """One too many gets 503 with Retry-After; others are served; a place can be had again."""
        memory = serve(never_answer, max_connections_per_ip=2)
        wires = [connect(memory, client("192.0.2.7", 5000 + n)) for n in range(3)]
        memory.settle()
        assert [bool(wire.written) for wire in wires] == [False, False, True]
        (answer,) = read_answers(wires[2].written)
        assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")
        assert not connect(memory, client("192.0.2.8")).written
        wires[0].vanishes()
        assert not connect(memory, client("192.0.2.7")).written
        assert connect(memory, client("192.0.2.7")).written

    def test_of_one_network(self, serve: Serve) -> None:
        """IPv6."""
        memory = serve(never_answer, max_connections_per_ip=1)
        hosts = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
        wires = [connect(memory, IPv6Address("TCP", host, 5000)) for host in hosts]
        assert [bool(wire.written) for wire in wires] == [False, True, False]

    @pytest.mark.parametrize("http", ["auto", "2"])
    def test_http2(self, serve: Serve, http: str) -> None:
        """One connection has any number of requests, and the next one is told to go away."""
        memory = serve(never_answer, max_connections_per_ip=1, http=http)
        first = H2Peer(memory)
        numbers = [first.asks() for _ in range(3)]
        first.read()
        assert [first.answer(number).status for number in numbers] == [None] * 3
        # Without TLS the version is unknown before the client has sent anything.
        second = H2Peer(memory).wire if http == "2" else memory.connect()
        assert second.closing
        first.wire.vanishes()
        assert not H2Peer(memory).wire.closing

    @pytest.mark.parametrize("address", [UNIXAddress(None), client("127.0.0.1")])
    def test_exempt(self, serve: Serve, address: Any) -> None:
        """UNIX sockets, and trusted proxies."""
        memory = serve(never_answer, max_connections_per_ip=1)
        assert not any(connect(memory, address).sends(get()).written for _ in range(5))


class TestForwarded:
    """Clients behind a trusted proxy."""

    def test_requests(self, serve: Serve) -> None:
        """The requests of one client count, on whatever connections of the proxy they come."""
        memory = serve(never_answer, max_connections_per_ip=2, proxy_headers=True)
        proxy = client("127.0.0.1")

        def ask(host: bytes) -> Any:
            return connect(memory, proxy).sends(get(b"/", b"X-Forwarded-For: " + host))

        first = ask(b"192.0.2.7")
        assert not first.written
        assert not ask(b"192.0.2.7").written
        refused = ask(b"192.0.2.7")
        memory.settle()
        (answer,) = read_answers(refused.written)
        assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")
        assert not ask(b"192.0.2.8").written
        first.vanishes()
        memory.passes(11)  # the application is cancelled
        assert not ask(b"192.0.2.7").written

    def test_untrusted(self, serve: Serve) -> None:
        """A client that claims other addresses counts with its own one."""
        memory = serve(never_answer, max_connections_per_ip=1, proxy_headers=True)
        wires = [
            connect(memory, client("192.0.2.7")).sends(get(b"/", b"X-Forwarded-For: 10.0.0.%d" % n))
            for n in range(2)
        ]
        memory.settle()
        assert [bool(wire.written) for wire in wires] == [False, True]
