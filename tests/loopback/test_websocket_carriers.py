"""The rules of one WebSocket on every carrier: two reactors, TCP, UNIX socket, TLS, PROXY."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificate
from tests.support.real_server import (
    DEADLINE,
    REACTORS,
    TRACEBACK,
)
from tests.support.websocket_compression import DEFLATE
from tests.support.websocket_opcodes import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, Peer, close, frame, opening

AT_ONCE = 16
"""Connections; the next turn of the server's event loop has seen all of them."""
PROXY_LINE = b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 443\r\n"


NAMES = {"native": "NativeReactor", "stock": "AsyncioSelectorReactor"}


class Carrier:
    """A server on one endpoint of one reactor, and how a client comes there.

    Attributes:
        endpoint: Twisted's description.
        scheme, client: of the scope.
        preface: what a client sends before anything else.
    """

    endpoint = "tcp:0:interface=127.0.0.1"
    scheme = "ws"
    preface = b""
    client: Any = "127.0.0.1"

    def __init__(self, reactor: str, folder: Path) -> None:
        self.folder = folder
        self.prepare()
        self.running = REACTORS[reactor](self.endpoint, "sockets:application")
        try:
            self.running.wait_for(f"serves .*\n.*{NAMES[reactor]}")
        except AssertionError:
            self.running.stop()
            raise
        found = re.search(r"https?://127\.0\.0\.1:(\d+)/", self.running.log)
        self.port = int(found[1]) if found else 0
        self._peers: list[Peer] = []

    def prepare(self) -> None:
        """Make what the endpoint needs."""

    def connection(self) -> socket.socket:
        """A connection as this carrier has them."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def connect(self) -> Peer:
        """A client, gone with the test."""
        self._peers.append(Peer(self.connection(), self.preface))
        return self._peers[-1]

    def leave(self) -> None:
        """All clients vanish."""
        peers, self._peers = self._peers, []
        for peer in peers:
            peer.connection.close()

    def stop(self) -> None:
        """End the server; nothing went wrong in it."""
        self.leave()
        log = self.running.stop()
        assert self.running.process.returncode == 0, log
        assert TRACEBACK not in log, log
        assert "nhandled" not in log, log


class TCP(Carrier):
    """A TCP port."""


class UNIX(Carrier):
    """A UNIX socket."""

    client = None

    def prepare(self) -> None:
        self.path = self.folder / "s"
        self.endpoint = f"unix:{self.path}"

    def connection(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        connection.connect(str(self.path))
        return connection


class TLS(Carrier):
    """Twisted's TLS on a TCP port."""

    scheme = "wss"

    def prepare(self) -> None:
        key, certificate = make_certificate(self.folder)
        self.context = ssl.create_default_context(cafile=certificate)
        self.endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"

    def connection(self) -> socket.socket:
        return self.context.wrap_socket(super().connection(), server_hostname="127.0.0.1")


class HTTPS(TLS):
    """TLS of our own on a TCP port."""

    def prepare(self) -> None:
        super().prepare()
        self.endpoint = self.endpoint.replace("ssl:0", "https:tcp:0")
        self.endpoint = self.endpoint.replace("privateKey", "key").replace("certKey", "certificate")


class PROXY(Carrier):
    """The PROXY protocol, around a TCP port."""

    endpoint = "haproxy:tcp:0:interface=127.0.0.1"
    preface = PROXY_LINE
    client = "192.0.2.7"


CARRIERS = {"tcp": TCP, "unix": UNIX, "tls": TLS, "https": HTTPS, "proxy": PROXY}


class Turns:
    """Waits until the server has read what was sent before, without looking at a clock.

    An answer on a second connection is one turn of the server's event loop later; after two of
    them both a new connection and its first octets have been seen.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._peer = carrier.connect().open(b"/echo")

    def wait(self) -> None:
        for _ in range(2):
            self._peer.echoed(b"a turn")


def frames(peer: Peer, count: int) -> list[Frame]:
    """The next frames, messages first: control frames may overtake them."""
    got = [peer.frame() for _ in range(count)]
    whole = [one for one in got if one is not None]
    assert len(whole) == count, got
    return sorted(whole, key=lambda one: one.opcode)


@pytest.fixture(scope="class", params=list(CARRIERS))
def served(request: Any, tmp_path_factory: Any) -> Iterator[Carrier]:
    """One server for all the rules."""
    folder = tmp_path_factory.mktemp(request.param)
    carrier = CARRIERS[request.param](request.cls.reactor, folder)
    yield carrier
    carrier.stop()


@pytest.fixture
def carrier(served: Carrier) -> Iterator[Carrier]:
    """The server; the test's clients are gone afterwards."""
    yield served
    served.leave()


class Rules:
    """RFC 6455 and ASGI WebSocket, as far as a carrier could break them."""

    reactor = ""

    def test_scope(self, carrier: Carrier) -> None:
        """W03, W06: the scheme is wss over TLS alone; the client is who PROXY says it is."""
        peer = carrier.connect().open(b"/tell")
        told = peer.frame()
        assert told is not None
        scope = json.loads(told.payload)
        assert scope["scheme"] == carrier.scheme
        assert (scope["client"] and scope["client"][0]) == carrier.client

    def test_frame_with_the_handshake(self, carrier: Carrier) -> None:
        """W21: what comes in one segment with the handshake is the first the application reads."""
        peer = carrier.connect()
        peer.sends(opening(b"/echo") + frame(TEXT, b"first") + frame(PING, b"p"))
        peer.is_accepted()
        assert frames(peer, 2) == [Frame(TEXT, b"first"), Frame(PONG, b"p")]

    def test_close_with_the_handshake(self, carrier: Carrier) -> None:
        """RFC 6455, 7.1: a client that opens and closes in one segment has an answer to both."""
        peer = carrier.connect()
        peer.sends(opening(b"/echo") + close(4000))
        peer.is_accepted()
        assert frames(peer, 1) == [Frame(CLOSE, b"\x0f\xa0")]
        assert peer.frame() is None

    def test_cut_at_every_octet(self, carrier: Carrier) -> None:
        """W21, S22: wherever two segments meet, within handshake or frames, nothing changes."""
        turns = Turns(carrier)
        sent = carrier.preface + opening(b"/echo")
        sent += frame(TEXT, b"f", fin=False) + frame(PING, b"p") + frame(0, b"irst")
        sent += frame(BINARY, b"x" * 130)
        expected = [Frame(TEXT, b"first"), Frame(BINARY, b"x" * 130), Frame(PONG, b"p")]
        for first in range(1, len(sent), AT_ONCE):
            places = range(first, min(first + AT_ONCE, len(sent)))
            peers = [carrier.connect() for _ in places]
            turns.wait()
            for peer, place in zip(peers, places, strict=True):
                peer.preface = b""
                peer.sends(sent[:place])
            turns.wait()
            for peer, place in zip(peers, places, strict=True):
                peer.sends(sent[place:])
            for peer, place in zip(peers, places, strict=True):
                peer.is_accepted()
                assert frames(peer, 3) == expected, place
                peer.connection.close()

    def test_octet_by_octet(self, carrier: Carrier) -> None:
        """The same with each octet in a segment of its own."""
        turns = Turns(carrier)
        sent = carrier.preface + opening(b"/echo") + frame(TEXT, b"first") + frame(BINARY, b"2")
        peer = carrier.connect()
        peer.preface = b""
        for octet in sent:
            peer.sends(bytes((octet,)))
            turns.wait()
        peer.is_accepted()
        assert [peer.frame(), peer.frame()] == [Frame(TEXT, b"first"), Frame(BINARY, b"2")]

    def test_echo(self, carrier: Carrier) -> None:
        """W24, W25: messages of every length of the length, 1 MiB at most, in their order."""
        peer = carrier.connect().open(b"/echo")
        for size in (0, 1, 125, 126, 65535, 65536):
            payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
            peer.sends(frame(BINARY, payload))
            assert peer.frame() == Frame(BINARY, payload)
        for number in range(100):
            peer.sends(frame(TEXT, b"%d" % number))
        assert [peer.frame() for _ in range(100)] == [
            Frame(TEXT, b"%d" % number) for number in range(100)
        ]
        large = os.urandom(1048576)
        peer.sends(frame(BINARY, large))
        received = b""
        while len(received) < len(large):
            part = peer.frame()
            assert part is not None
            assert part.opcode == (0 if received else BINARY)
            received += part.payload
        assert received == large

    def test_ping(self, carrier: Carrier) -> None:
        """W10: a ping is answered with its payload."""
        peer = carrier.connect().open(b"/echo")
        for payload in (b"", b"p", b"p" * 125):
            peer.sends(frame(PING, payload))
            assert peer.frame() == Frame(PONG, payload)

    def test_compression(self, carrier: Carrier) -> None:
        """RFC 7692: messages are compressed both ways where that is negotiated."""
        peer = carrier.connect().open(b"/echo", DEFLATE)
        assert b"\r\nSec-WebSocket-Extensions: permessage-deflate" in peer.head
        hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"  # RFC 7692, 7.2.3.1
        peer.sends(frame(TEXT, hello, rsv1=True))
        assert peer.frame() == Frame(TEXT, hello, rsv1=True)

    def test_close_by_the_client(self, carrier: Carrier) -> None:
        """RFC 6455, 7.1: the close frame is answered, then the connection ends in order."""
        peer = carrier.connect().open(b"/echo")
        peer.sends(close(4001, b"bye") + frame(TEXT, b"too late"))
        answer = peer.frame()
        assert answer is not None
        assert (answer.opcode, answer.code) == (CLOSE, 4001)
        assert peer.frame() is None

    def test_close_by_the_application(self, carrier: Carrier) -> None:
        """W32, W33: code and reason; after our answer the connection ends in order."""
        peer = carrier.connect().open(b"/close")
        peer.sends(frame(TEXT, b'{"code": 4002, "reason": "enough"}'))
        assert peer.frame() == Frame(CLOSE, b"\x0f\xa2enough")
        peer.sends(close(4002))
        assert peer.frame() is None

    def test_broken_rule(self, carrier: Carrier) -> None:
        """W42: an unmasked frame is 1002, then the connection ends in order."""
        peer = carrier.connect().open(b"/echo")
        unmasked = bytearray(frame(TEXT, b"abc", mask=bytes(4)))
        unmasked[1] &= 0x7F
        peer.sends(bytes(unmasked))
        answer = peer.frame()
        assert answer is not None
        assert (answer.opcode, answer.code) == (CLOSE, 1002)

    def test_denial(self, carrier: Carrier) -> None:
        """X02: the answer is HTTP's, and whole."""
        peer = carrier.connect()
        peer.sends(opening(b"/deny") + frame(TEXT, b"too early"))
        head, body = peer.read_head()
        while b"are you?" not in body:
            octets = peer.connection.recv(65536)
            assert octets
            body += octets
        assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert b"who " in body


class TestNative(Rules):
    """On our reactor."""

    reactor = "native"


class TestStock(Rules):
    """On Twisted's asyncio reactor, installed by somebody else."""

    reactor = "stock"


@pytest.mark.parametrize("reactor", ["native", "stock"])
def test_who_does_not_speak_proxy(reactor: str, tmp_path: Path) -> None:
    """A peer that comes without the PROXY line is closed by the wrapper, at once."""
    carrier = PROXY(reactor, tmp_path)
    try:
        peer = carrier.connect()
        peer.connection.settimeout(5)
        peer.preface = b""
        peer.sends(opening(b"/echo"))
        assert peer.frame() is None
    finally:
        carrier.stop()
