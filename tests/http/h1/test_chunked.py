"""Chunked request bodies (RFC 9112, 7.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import PeerError
from daphne_like.http.h1.chunked import FREE_OVERHEAD, MAX_OVERHEAD, ChunkedDecoder
from daphne_like.http.h1.request_reader import MAX_CHUNKS_A_TURN
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from tests.support.memory import Memory
from tests.support.peers import Recorder, answer_at_once, chunked, get, read_answers

Serve = Callable[..., Memory]

HEAD = chunked(end=False)
MANY = 1 << 30


def decoded(
    *parts: bytes, max_chunks: int = MANY
) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Body, trailers, and what is left behind the body."""
    decoder = ChunkedDecoder()
    body = b""
    for index, part in enumerate(parts):
        start = 0
        while start < len(part) and not decoder.is_done:
            octets, start = decoder.decode(part, start, max_chunks)
            assert decoder.chunks <= max_chunks
            body += octets
        if decoder.is_done:
            return body, decoder.trailers, part[start:] + b"".join(parts[index + 1 :])
    raise AssertionError("the body did not end")


GOOD = {
    "plain": (b"3\r\nabc\r\n0\r\n\r\n", b"abc", []),
    "empty": (b"0\r\n\r\n", b"", []),
    "zeros": (b"0000\r\n\r\n", b"", []),
    "leading_zeros": (b"003\r\nabc\r\n0\r\n\r\n", b"abc", []),
    "case": (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    "line_ends_inside": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", []),
    "extension": (b"3;a=b;c\r\nabc\r\n0;d\r\n\r\n", b"abc", []),
    "space_before": (b"3 ;a\r\nabc\r\n0\t;d\r\n\r\n", b"abc", []),
    "space_behind": (b"3; a\r\nabc\r\n0;\td\r\n\r\n", b"abc", []),
    "space_around": (b"3 \t ; a = b ; c\r\nabc\r\n0\r\n\r\n", b"abc", []),
    "quoted": (b'3;a="b;c\\"\\\\ d"\r\nabc\r\n0\r\n\r\n', b"abc", []),
    "signature": (b"3;chunk-signature=" + b"0" * 64 + b"\r\nabc\r\n0\r\n\r\n", b"abc", []),
    "trailers": (b"0\r\nX: y\r\nZ:  1 \r\n\r\n", b"", [(b"x", b"y"), (b"z", b"1")]),
}

BAD = [
    b"3 \r\n", b"3\t\r\n", b"3;\r\n", b"3;a=\r\n", b'3;a="b\r\n', b"3;a b\r\n", b"3,a\r\n",
    b"3;;a\r\n", b'3;"a"\r\n', b"3;a=b=c\r\n", b"3;\xe9\r\n", b"g\r\n", b"0x1\r\n", b"1_0\r\n",
    b"+1\r\n", b"-1\r\n", b"\r\n", b"\n", b"3\n", b"3\r\r\n", b"11111111111111111\r\n",
    b"3\r\nabcd\r\n", b"3\r\nabc\n", b"3\r\nabc\r\r", b"3\r\nab\r\n0\r\n", b"0\r\nX\r\n",
    b"0\r\n X: y\r\n", b"0\r\nX: y\r\n z\r\n", b"0\r\nX : y\r\n", b"0\r\n: y\r\n", b"0\r\nX: y\n",
    b"0\r\n\n", b"0\r\nX: \0\r\n", b"0\r\nX: a\rb\r\n",
]  # fmt: skip


class TestDecoder:
    """RFC 9112, 7.1.1 and 7.1.2."""

    @pytest.mark.parametrize("name", GOOD)
    def test_good(self, name: str) -> None:
        """A body is read as RFC 9112 has it, wherever it is cut, and what follows it is left."""
        octets, *expected = GOOD[name]
        whole = octets + b"GET /"
        wanted = (*expected, b"GET /")
        assert decoded(whole) == wanted
        assert decoded(whole, max_chunks=1) == wanted
        assert decoded(*[b"%c" % octet for octet in whole]) == wanted
        for cut in range(1, len(whole)):
            assert decoded(whole[:cut], whole[cut:]) == wanted

    @pytest.mark.parametrize("octets", BAD)
    def test_bad(self, octets: bytes) -> None:
        """Anything else is refused, wherever it is cut."""
        for parts in [[octets], *[[octets[:n], octets[n:]] for n in range(1, len(octets))]]:
            decoder = ChunkedDecoder()
            with pytest.raises(PeerError):  # noqa: PT012
                for part in parts:
                    decoder.decode(part, 0, MANY)

    @pytest.mark.parametrize(
        "line",
        [b"1" + b";a=b" * 16000 + b"\x01", b"1" + b" " * 60000, b"1;" + b"a" * 60000 + b"\x01",
         b"1;a" + b" " * 60000 + b"x", b'1;a="' + b"\\x" * 30000, b"1" + b" ;" * 30000],
    )  # fmt: skip
    def test_no_square(self, line: bytes) -> None:
        """Refusing a long size line takes time in proportion to its length, however it is cut."""
        started = time.perf_counter()
        for size in (len(line) + 2, 7):
            decoder = ChunkedDecoder()
            octets = line + b"\r\n"
            with pytest.raises(PeerError):  # noqa: PT012
                for start in range(0, len(octets), size):
                    decoder.decode(octets[start : start + size], 0, MANY)
        assert time.perf_counter() - started < 3


class TestOverhead:
    """Framing is bounded in relation to the body that it frames."""

    def test_extension_for_each_octet(self, serve: Serve) -> None:
        """Extensions of 60 kB for each octet of body are cut off at the second chunk."""
        application = Recorder()
        wire = serve(application).connect().sends(HEAD)
        chunk = b"1;" + b"x" * 60000 + b"\r\na\r\n"
        wire.sends(chunk)
        assert wire.written == b""
        wire.sends(chunk)
        assert [answer.status for answer in read_answers(wire.written)] == [400]
        assert application.bodies == [b"a"]

    def test_medium_extensions(self) -> None:
        """A small extension of each small chunk adds up; to the bound, and no further."""
        decoder = ChunkedDecoder()
        line = b"1;" + b"x" * (FREE_OVERHEAD + 61) + b"\r\n"
        over = len(line) - FREE_OVERHEAD - 1
        for _ in range(MAX_OVERHEAD // over):
            assert decoder.decode(line + b"a\r\n", 0, MANY)[0] == b"a"
        with pytest.raises(PeerError) as refused:
            decoder.decode(line + b"a\r\n", 0, MANY)
        assert refused.value.status == 400

    @pytest.mark.parametrize(
        ("chunk", "count"),
        [
            (b"1\r\na\r\n", 70_000),
            (b"2000;chunk-signature=%b\r\n%b\r\n" % (b"0" * 64, b"x" * 8192), 800),
        ],
    )
    def test_what_clients_send(self, chunk: bytes, count: int) -> None:
        """Chunks of one octet, and extensions of large chunks, may go on without end."""
        decoder = ChunkedDecoder()
        assert decoder.decode(chunk * count, 0, MANY)[1] == len(chunk) * count


class TestTrailers:
    """Trailers are dropped, and change nothing."""

    @pytest.mark.parametrize(
        "line",
        [b"Connection: close", b"Proxy-Connection: close", b"Upgrade: websocket",
         b"Connection: upgrade", b"Expect: 100-continue", b"Host: y", b"Connection: keep-alive"],
    )  # fmt: skip
    @pytest.mark.parametrize("cut", [False, True])
    def test_they_change_nothing(self, serve: Serve, line: bytes, cut: bool) -> None:
        """RFC 9110, 6.5.1: a trailer is not a field of the head, whatever its name."""
        application = Recorder()
        wire = serve(application).connect()
        octets = chunked(b"abc", trailers=line + b"\r\n") + get(b"/2")
        wire.sends(*([b"%c" % octet for octet in octets] if cut else [octets]), get(b"/3"))
        assert [answer.status for answer in read_answers(wire.written)] == [200] * 3
        assert [scope["path"] for scope in application.scopes] == ["/", "/2", "/3"]
        assert application.bodies == [b"abc", b"", b""]
        assert not wire.closing

    @pytest.mark.parametrize("line", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
    def test_framing_is_refused(self, serve: Serve, line: bytes) -> None:
        """RFC 9112, 7.1.2: a trailer that frames a message is an error."""
        wire = serve(Recorder()).connect().sends(chunked(b"a", trailers=line + b"\r\n") + get())
        assert [answer.status for answer in read_answers(wire.written)] == [400]


class Measuring:
    """An application that notes the size of each event it receives."""

    def __init__(self) -> None:
        self.events: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            event = await receive()
            self.events.append(len(event["body"]))
            more = event["more_body"]
        await answer_at_once(scope, receive, send)


async def never_reads(scope: Any, receive: Any, send: Any) -> None:
    """An application that leaves its body alone."""
    await asyncio.get_running_loop().create_future()


class TestTurn:
    """One client's chunks take a bounded part of each turn of the event loop."""

    @pytest.mark.parametrize("size", [1, 3])
    def test_bound(self, serve: Serve, size: int) -> None:
        """No more than MAX_CHUNKS_A_TURN are decoded in a turn; the peer is not read meanwhile."""
        application = Measuring()
        memory = serve(application)
        wire = memory.connect()
        chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
        wire.protocol.dataReceived(HEAD)
        read = [chunk * (3 * MAX_CHUNKS_A_TURN)] * 4
        for octets in read:  # all in the same turn
            wire.protocol.dataReceived(octets)
        receiving = wire.protocol._receiving
        assert receiving.received == MAX_CHUNKS_A_TURN * size
        assert wire.paused
        wire.protocol.dataReceived(b"0\r\n\r\n" + get(b"/2"))
        memory.settle()
        assert not wire.paused
        assert sum(application.events) == 12 * MAX_CHUNKS_A_TURN * size
        assert max(application.events) <= MAX_CHUNKS_A_TURN * size
        assert [answer.body for answer in read_answers(wire.written)] == [b"/", b"/2"]

    def test_unread(self, serve: Serve) -> None:
        """A body that the application does not read is neither decoded nor read further."""
        memory = serve(never_reads)
        wire = memory.connect()
        wire.protocol.dataReceived(HEAD)
        wire.sends(b"1\r\nx\r\n" * 200_000)
        assert wire.paused
        assert wire.protocol._receiving.unread < 70_000

    def test_pipelined_bodies(self, serve: Serve) -> None:
        """The bound counts over all requests that a turn brings."""
        memory = serve(Recorder())
        wire = memory.connect()
        part = chunked(*[b"x"] * (MAX_CHUNKS_A_TURN // 2 + 1))
        wire.protocol.dataReceived(part * 4)
        assert wire.paused
        assert wire.protocol._chunks <= MAX_CHUNKS_A_TURN
        memory.settle()
        memory.settle()
        assert [answer.status for answer in read_answers(wire.written)] == [200] * 4
        assert not wire.paused
        assert wire.protocol._idle

    def test_vanishes(self, serve: Serve) -> None:
        """A connection that is lost while octets are held leaves nothing behind."""
        memory = serve(Recorder())
        wire = memory.connect()
        wire.protocol.dataReceived(HEAD + b"1\r\nx\r\n" * 5000)
        wire.vanishes()
        assert not memory.server.instances
        assert not memory.server.connections

    def test_stop(self, serve: Serve) -> None:
        """A stop lets a request whose octets are held be finished."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect()
        wire.protocol.dataReceived(HEAD + b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n")
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        assert [len(body) for body in application.bodies] == [3000]
        (answer,) = read_answers(wire.written)
        assert answer.closes


class TestDropped:
    """Discarded octets take a bounded part of each iteration, too."""

    @pytest.mark.parametrize("first", [b"G\0T / HTTP/1.1\r\n\r\n", get(b"/", b"Connection: close")])
    def test_large_reads(self, serve: Serve, first: bytes) -> None:
        """Behind the last request one large read is dropped in a turn, and then the next one."""
        wire = serve(answer_at_once).connect()
        wire.protocol.dataReceived(first)
        wire.protocol.dataReceived(b"x" * 262144)
        assert wire.paused
        wire.memory.settle()
        assert not wire.paused
        wire.protocol.dataReceived(b"x" * 100)
        assert not wire.paused
        assert len(read_answers(wire.written)) == 1
        wire.vanishes()
        assert not wire.memory.server.connections
