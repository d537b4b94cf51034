"""HTTP/1.1 requests, right and wrong, as nobody would write them down."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daphne_like.runtime.timer_wheel import NEVER
from tests.support.fuzzing import examples
from tests.support.h2_frames import PREFACE
from tests.support.h2_frames import settings as h2_settings
from tests.support.memory import Memory
from tests.support.peers import read_answers

SETTINGS = settings(
    max_examples=examples(40),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

TOKEN = st.sampled_from(
    [b"a", b"X-Y", b"Accept", b"cookie", b"X-Forwarded-For", b"!#$%&'*+-.^`|~", b"Z" * 50]
)
VALUE = st.sampled_from([b"", b"1", b"a b", b"a\tb", b"\xe9\xff", "Å".encode(), b"GET / HTTP/1.1"])
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=4)
PATH = st.sampled_from([b"/", b"/a%20b", b"/%C3%A9?q=1&r", b"//x", b"/?", b"/" + b"p" * 300])
METHOD = st.sampled_from(
    [b"GET", b"POST", b"HEAD", b"DELETE", b"BAN", b"VERSION-CONTROL", b"PLAY", b"SOURCE", b"X"]
)
EXTENSION = st.sampled_from(
    [b"", b";x=y", b" ; x = y", b"\t;x", b'; x="a;b \\""', b";s=" + b"0" * 64, b" ;a;b;c"]
)
TRAILER = st.sampled_from(
    [b"T: r", b"Connection: close", b"Proxy-Connection: close", b"Upgrade: x", b"Host: y", b"T:"]
)
BODY = st.binary(max_size=60) | st.sampled_from(
    [b"\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"x" * 3000]
)

FRAGMENTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n",
        b"HEAD * HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\0",
        b"Content-Length: 5\r\n",
        b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n", b"5\r\nabcde\r\n",
        b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"ffffffff\r\n", b"abc", b"X: y\r\n", b"X", b":",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01",
        b"Connection: keep-alive\r\n", b"HTTP/1.1 200 OK\r\n", b"\x85", b"a" * 5000,
        b"BAN /a HTTP/1.1\r\n", b"VERSION-CONTROL", b" / HTTP/1.1\r\n", b"get / HTTP/1.1\r\n",
        b"PLAY / RTSP/1.0\r\n", b"2 ; a = b\r\nab\r\n", b"1;", b"x" * 60000 + b"\r\nx\r\n", b";",
        b"0\r\nConnection: close\r\n\r\n", b"0\r\nProxy-Connection: close\r\n\r\n", b"0 \r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nUpgrade: x\r\n", b"1\r\nx\r\n" * 1500,
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"=", b"BA",
        b'1;a="\\"',
    ]
)  # fmt: skip
GARBAGE = st.lists(FRAGMENTS | st.binary(max_size=20), max_size=25).map(b"".join)


FIRST_FRAME = b"\0\0\x30\4\0\0\0\0\0"
"""The head of the SETTINGS that a connection of HTTP/2 begins with."""


class Request:
    """A valid request, and what the application must see of it."""

    def __init__(
        self, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], framing: str,
        body: bytes, sizes: list[int], lines: int, keeps: bool, extension: bytes, trailer: bytes,
    ) -> None:  # fmt: skip
        headers = [(b"host", b"x"), *[(name.lower(), value) for name, value in fields]]
        head = [b"%b %b HTTP/1.1" % (method, path), b"Host: x"]
        head += [name + b": " + value for name, value in fields]
        if keeps:
            head.append(b"Connection: keep-alive")
            headers.append((b"connection", b"keep-alive"))
        if framing == "length":
            head.append(b"Content-Length: %d" % len(body))
            headers.append((b"content-length", b"%d" % len(body)))
            payload = body
        elif framing == "chunked":
            head.append(b"Transfer-Encoding: chunked")
            headers.append((b"transfer-encoding", b"chunked"))
            payload, rest = b"", body
            for size in sizes:
                if rest:
                    part, rest = rest[:size], rest[size:]
                    payload += b"%x%b\r\n%b\r\n" % (len(part), extension, part)
            if rest:
                payload += b"%X;x=y\r\n%b\r\n" % (len(rest), rest)
            payload += b"0%b\r\n" % extension + (trailer + b"\r\n") * lines + b"\r\n"
        else:
            body = payload = b""
        self.octets = b"\r\n" * lines + b"\r\n".join((*head, b"", b"")) + payload
        self.expected = (method.decode(), path.partition(b"?")[0], headers, body)
        self.method = method


REQUESTS = st.lists(
    st.builds(
        Request,
        METHOD,
        PATH,
        FIELDS,
        st.sampled_from(["none", "none", "length", "chunked"]),
        BODY,
        st.lists(st.integers(1, 20), max_size=4) | st.just([1] * 1100),
        st.integers(0, 2),
        st.booleans(),
        EXTENSION,
        TRAILER,
    ),
    min_size=1,
    max_size=25,
)
CUTS = st.lists(st.floats(0, 1), max_size=12)


def cut(octets: bytes, places: list[float]) -> list[bytes]:
    bounds = [0, *sorted(int(place * len(octets)) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(bounds) if end > start]


class Application:
    """Reads, answers, or does not, as its numbers say; never fails by itself."""

    def __init__(self, manners: list[int]) -> None:
        self.manners = manners or [0]
        self.seen: list[tuple[str, bytes, Any, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        index = len(self.seen)
        manner = self.manners[index % len(self.manners)]
        headers = list(scope["headers"])
        self.seen.append((scope["method"], scope["raw_path"], headers, b""))
        body = b""
        while manner != 1:
            event = await receive()
            if event["type"] != "http.request":
                return
            body += event["body"]
            if not event["more_body"]:
                break
        self.seen[index] = (scope["method"], scope["raw_path"], headers, body)
        if manner == 2:
            raise ValueError
        await send({"type": "http.response.start", "status": 200})
        if manner == 3:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": scope["raw_path"]})


class TestValid:
    """RFC 9112: the sequence of requests does not depend on how it is cut."""

    @SETTINGS
    @given(REQUESTS, CUTS, st.booleans())
    def test_exact_sequence(self, requests: list[Request], cuts: list[float], pauses: bool) -> None:
        """S02, S09, H09, H17: every scope and body, exactly and in order."""
        application = Application([0])
        memory = Memory(application)
        try:
            wire = memory.connect()
            parts = cut(b"".join(request.octets for request in requests), cuts)
            (wire.sends if pauses else wire.gets)(*parts)
            for _ in range(10):
                memory.settle()
            assert application.seen == [request.expected for request in requests]
            answers = read_answers(wire.written, tuple(request.method for request in requests))
            assert [answer.status for answer in answers] == [200] * len(requests)
            assert not wire.closing
            assert wire.protocol._idle
        finally:
            memory.close()


class TestGarbage:
    """S24, S27: whatever comes, the server lives, answers in HTTP, and ends."""

    @SETTINGS
    @given(GARBAGE, CUTS, st.lists(st.integers(0, 3), max_size=3), st.booleans(), st.integers(0, 3))
    @example(PREFACE, [], [], True, 0)
    @example(PREFACE + h2_settings(), [], [], True, 1)
    @example(PREFACE + b"GET / HTTP/1.1\r\n", [], [], False, 0)
    def test_survives(
        self, octets: bytes, cuts: list[float], manners: list[int], pauses: bool, end: int
    ) -> None:
        """S27: nothing escapes, nothing but HTTP is answered, no deadline is missing."""
        memory = Memory(Application(manners), http_timeout=20)
        started = time.perf_counter()
        try:
            wire = memory.connect()
            for part in cut(octets, cuts):
                if wire.lost:
                    break
                wire.protocol.dataReceived(part)
                if pauses:
                    memory.settle()
            memory.settle()
            # The connection of HTTP/1.1 waits for nothing once HTTP/2's preface has made another.
            speaking = wire.protocol.upgraded_to or wire.protocol
            if not wire.lost:
                assert speaking.deadline != NEVER
                if end == 1:
                    wire.fin()
                elif end == 2:
                    wire.vanishes()
                elif end == 3 and wire.producer is not None:
                    wire.stops_reading()
            for _ in range(30):
                memory.passes(10)
            assert wire.lost
            assert wire.protocol.deadline == speaking.deadline == NEVER
            assert not memory.server.instances
            assert not memory.server.connections
            if wire.written and not wire.aborted:
                assert wire.written.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", FIRST_FRAME))
            assert time.perf_counter() - started < 5
        finally:
            memory.close()

    @SETTINGS
    @given(GARBAGE, CUTS)
    def test_same_answer(self, octets: bytes, cuts: list[float]) -> None:
        """S22: what is answered, and with what, does not depend on how the octets were cut."""
        octets = octets.replace(b"HEAD", b"POST")
        seen = []
        for parts in (cut(octets, []), cut(octets, cuts)):
            memory = Memory(Application([0]), http="1")  # the preface is garbage, too
            try:
                wire = memory.connect().gets(*parts)
                memory.settle()
                answers = read_answers(wire.written)
                # A 100 depends on time.
                seen.append([answer.status for answer in answers if answer.status != 100])
            finally:
                memory.close()
        assert seen[0] == seen[1]
