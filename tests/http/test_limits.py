"""Every limit on both sides, however the octets come."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from daphne_like.http.h1.chunked import MAX_OVERHEAD
from daphne_like.http.lingering import MAX_LINGER_OCTETS
from tests.support.memory import Memory
from tests.support.peers import (
    Recorder,
    answer_at_once,
    chunked,
    get,
    never_answer,
    post,
    read_answers,
)

Serve = Callable[..., Memory]

SIZES = (1 << 20, 4096, 997)


def pieces(octets: bytes, size: int) -> list[bytes]:
    return [octets[i : i + size] for i in range(0, len(octets), size)]


def to_field_line(target: int) -> bytes:
    """A request whose target has so many octets."""
    return get(b"/" + b"a" * (target - 1))


def section_of(octets: int, name: bytes = b"X", path: bytes = b"/") -> bytes:
    """A request whose fields have so many octets together, with colons, spaces and CRLFs."""
    return get(path, name + b": " + b"a" * (octets - len(b"Host: x\r\n" + name) - 4))


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class TestHead:
    """K7: up to 16 KiB of request line (414), 64 KiB and 100 fields of field section (431)."""

    @pytest.mark.parametrize(("target", "status"), [(16384, 200), (16385, 414), (70000, 414)])
    def test_request_line(self, serve: Serve, size: int, target: int, status: int) -> None:
        """A target may have 16384 octets."""
        wire = serve(Recorder()).connect().gets(*pieces(to_field_line(target), size))
        assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_request_line_over_everything(self, serve: Serve, size: int) -> None:
        """A request line that never ends is a 414, not a 431, long before its end."""
        wire = serve(Recorder()).connect()
        wire.gets(*pieces(b"GET /" + b"a" * 200_000, size))
        assert [answer.status for answer in read_answers(wire.written)] == [414]

    @pytest.mark.parametrize(("octets", "status"), [(65536, 200), (65537, 431), (75000, 431)])
    def test_field_section(self, serve: Serve, size: int, octets: int, status: int) -> None:
        """All fields may have 65536 octets, whatever the request line has."""
        for path in (b"/", b"/" + b"a" * 16000):
            wire = serve(Recorder()).connect().gets(*pieces(section_of(octets, path=path), size))
            assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_field_section_over_everything(self, serve: Serve, size: int) -> None:
        """A field that never ends is a 431 as soon as it is too long."""
        wire = serve(Recorder()).connect()
        wire.gets(*pieces(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000, size))
        assert [answer.status for answer in read_answers(wire.written)] == [431]

    @pytest.mark.parametrize(("fields", "status"), [(100, 200), (101, 431), (2000, 431)])
    def test_number_of_fields(self, serve: Serve, size: int, fields: int, status: int) -> None:
        """There may be 100 fields."""
        lines = [b"X-%d: 1" % n for n in range(fields - 1)]
        wire = serve(Recorder()).connect().gets(*pieces(get(b"/", *lines), size))
        assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_options(self, serve: Serve) -> None:
        """Each limit is an option."""
        memory = serve(Recorder(), max_request_line=128, max_field_section=256, max_fields=2)
        for request, status in (
            (to_field_line(128), 200),
            (to_field_line(129), 414),
            (section_of(256), 200),
            (section_of(257), 431),
            (get(b"/", b"a: 1"), 200),
            (get(b"/", b"a: 1", b"b: 1"), 431),
        ):
            for before in (b"", get()):
                wire = memory.connect().sends(before + request)
                assert read_answers(wire.written)[-1].status == status

    def test_line_over_the_limit_with_known_fields(self, serve: Serve) -> None:
        """Fields that came again do not let a long request line through."""
        wire = serve(Recorder()).connect().sends(get(), to_field_line(16384), to_field_line(16385))
        assert [answer.status for answer in read_answers(wire.written)] == [200, 200, 414]

    def test_line_that_another_server_allows(self, serve: Serve) -> None:
        """A request line that one server accepts is not accepted by all."""
        wire = serve(Recorder()).connect().sends(to_field_line(200))
        strict = serve(Recorder(), max_request_line=128).connect().sends(to_field_line(200))
        assert read_answers(wire.written)[0].status == 200
        assert read_answers(strict.written)[0].status == 414

    @pytest.mark.parametrize(("lines", "status"), [(32, 200), (34, 400), (100_000, 400)])
    def test_empty_lines(self, serve: Serve, size: int, lines: int, status: int) -> None:
        """Empty lines before a request line are bounded."""
        wire = serve(Recorder()).connect().gets(*pieces(b"\r\n" * lines + get(), size))
        assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_cookie_of_a_mebibyte(self, serve: Serve) -> None:
        """S37: nobody parses cookies; one that is too long is refused, and fast."""
        memory = serve(Recorder(), max_field_section=2_000_000)
        cookie = b"Cookie: " + b"a=b; " * 200_000
        started = time.perf_counter()
        wire = memory.connect().gets(*pieces(get(b"/", cookie), 65536))
        assert time.perf_counter() - started < 1
        assert read_answers(wire.written)[0].status == 200

    def test_octet_by_octet_is_linear(self, serve: Serve) -> None:
        """S27: a head of the greatest size that comes in single octets takes no long time."""
        wire = serve(Recorder()).connect()
        started = time.perf_counter()
        wire.gets(*pieces(section_of(65536), 1))
        assert time.perf_counter() - started < 2
        assert read_answers(wire.written)[0].status == 200


class TestBody:
    """`--max-body-size` (413); there is no limit by default."""

    @pytest.mark.parametrize(("octets", "status"), [(1000, 200), (1001, 413)])
    def test_content_length(self, serve: Serve, size: int, octets: int, status: int) -> None:
        """A body that says its length is refused before the application sees it."""
        application = Recorder()
        memory = serve(application, max_body_size=1000)
        wire = memory.connect().gets(*pieces(post(bytes(octets)), size))
        assert [answer.status for answer in read_answers(wire.written)] == [status]
        assert len(application.scopes) == (status == 200)

    @pytest.mark.parametrize(("octets", "status"), [(1000, 200), (1001, 413)])
    def test_chunked(self, serve: Serve, size: int, octets: int, status: int) -> None:
        """A chunked body is refused where it is too long; the application is told."""
        application = Recorder()
        memory = serve(application, max_body_size=1000)
        body = chunked(bytes(500), bytes(octets - 500))
        wire = memory.connect().gets(*pieces(body, size))
        assert [answer.status for answer in read_answers(wire.written)] == [status]
        assert application.ends in (["http.request"], ["http.disconnect"], [])
        assert (application.ends == ["http.request"]) == (status == 200)

    def test_none_by_default(self, serve: Serve) -> None:
        """There is no limit by default; a large chunk in one read is no abuse."""
        application = Recorder()
        wire = serve(application).connect()
        for octets in (300_000, 100_000):
            wire.sends(chunked(bytes(octets), end=False), b"0\r\n\r\n")
            wire.sends(post(bytes(octets)))
        assert [len(body) for body in application.bodies] == [300_000] * 2 + [100_000] * 2

    def test_small_chunks_ahead(self, serve: Serve) -> None:
        """S27: a body that comes in single octets while it waits for its turn costs no square."""
        wire = serve(never_answer).connect().sends(get() + chunked(end=False))
        started = time.perf_counter()
        wire.gets(*[b"1\r\na\r\n"] * 20000)
        assert time.perf_counter() - started < 1.5

    def test_endless_extension(self, serve: Serve) -> None:
        """A chunk extension is bounded."""
        wire = serve(Recorder()).connect().sends(chunked(end=False) + b"1;")
        for _ in range(MAX_OVERHEAD // 1024 + 2):
            wire.gets(b"a" * 1024)
        assert [answer.status for answer in read_answers(wire.written)] == [400]

    def test_endless_trailers(self, serve: Serve) -> None:
        """Trailers are bounded, in octets and in number."""
        for line, status in ((b"X: " + b"a" * 1021 + b"\r\n", 400), (b"X:\r\n", 431)):
            wire = serve(Recorder()).connect().sends(chunked(end=False) + b"0\r\n")
            wire.gets(*[line] * 101)
            wire.gets(b"\r\n")
            assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_trailers(self, serve: Serve) -> None:
        """Trailers are dropped, and are no fields of the next request."""
        application = Recorder()
        wire = serve(application).connect()
        wire.sends(chunked(b"abc", trailers=b"X: y\r\nHost: z\r\nZ: 1\r\n") + get())
        assert [scope["headers"] for scope in application.scopes] == [
            [(b"host", b"x"), (b"transfer-encoding", b"chunked")],
            [(b"host", b"x")],
        ]
        assert len(read_answers(wire.written)) == 2


class TestConnections:
    """Requests per connection, and connections at the same time (503 with Retry-After)."""

    @pytest.mark.parametrize("together", [True, False])
    def test_requests(self, serve: Serve, together: bool) -> None:
        """The last request allowed is answered with a close, what follows it not at all."""
        application = Recorder()
        memory = serve(application, max_requests_per_connection=3)
        requests = [get(b"/%d" % n) for n in range(5)]
        wire = memory.connect().sends(*([b"".join(requests)] if together else requests))
        answers = read_answers(wire.written)
        assert [answer.body for answer in answers] == [b"/0", b"/1", b"/2"]
        assert [answer.closes for answer in answers] == [False, False, True]
        assert len(application.scopes) == 3
        assert wire.half_closed  # lingering: the peer does not know that it should stop sending

    def test_connections(self, serve: Serve) -> None:
        """One connection too many gets 503 with Retry-After, and takes nobody's place."""
        memory = serve(never_answer, max_connections=2)
        wires = [memory.connect() for _ in range(5)]
        memory.settle()
        assert [bool(wire.written) for wire in wires] == [False, False, True, True, True]
        (answer,) = read_answers(wires[2].written)
        assert answer.status == 503
        assert answer.fields[b"retry-after"] == b"1"
        assert answer.closes
        assert wires[2].half_closed
        wires[0].vanishes()
        assert not memory.connect().written
        assert memory.connect().written


class TestMemory:
    """K4: no queue and no buffer is without a limit."""

    def test_pipelined_flood(self, serve: Serve) -> None:
        """16 MB of pipelined requests in one go: few are parsed, and the rest is kept once."""
        request = get()
        data = request * (16_000_000 // len(request))
        memory = serve(never_answer)
        wire = memory.connect()
        started = time.perf_counter()
        wire.gets(data)
        assert time.perf_counter() - started < 1
        assert wire.paused
        assert len(wire.protocol._pipelined or ()) == 16
        assert wire.protocol._unparsed is data

    def test_pipelined_flood_is_answered(self, serve: Serve) -> None:
        """A large piece is worked off in linear time."""
        memory = serve(answer_at_once)
        wire = memory.connect()
        requests = 5000
        padding = b"X: " + b"a" * 2000
        started = time.perf_counter()
        wire.gets(get(b"/", padding) * requests)
        while wire.protocol._unparsed:
            memory.settle()
        memory.settle()
        assert time.perf_counter() - started < 5
        assert wire.written.count(b"HTTP/1.1 200 OK\r\n") == requests

    def test_lingering_is_bounded(self, serve: Serve) -> None:
        """The octets discarded after the last response are limited."""
        wire = serve(Recorder()).connect().sends(b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(MAX_LINGER_OCTETS // 1_000_000):
            wire.gets(bytes(1_000_000))
        assert not wire.aborted
        wire.gets(bytes(1_000_000))
        assert wire.aborted

    def test_answers_nobody_reads(self, serve: Serve) -> None:
        """A peer that sends requests and reads no answers is not answered further."""

        async def application(scope, receive, send):  # type: ignore[no-untyped-def]
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": bytes(10000)})

        memory = serve(application)
        wire = memory.connect()
        wire.sends(get())
        wire.stops_reading()
        assert wire.paused
        written = len(wire.written)
        for _ in range(40):
            wire.gets(get())
        assert len(wire.written) == written
        assert not memory.server.instances
        wire.reads_on()
        while wire.protocol._unparsed:
            memory.settle()
        assert wire.written.count(b"HTTP/1.1 200 OK\r\n") == 41

    def test_answers_nobody_reads_with_more_ahead(self, serve: Serve) -> None:
        """Nor are the requests that it had sent before."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect()
        wire.protocol.dataReceived(get() * 3)
        wire.stops_reading()
        memory.settle()
        assert len(application.scopes) == 1
        assert wire.paused
        wire.reads_on()
        assert len(application.scopes) == 3
        assert not wire.paused

    def test_nothing_is_kept_of_a_lost_connection(self, serve: Serve) -> None:
        """A deadline a minute away does not keep the connection that is gone."""
        import gc
        import weakref

        memory = serve(Recorder())
        wire = memory.connect().sends(get())
        reference = weakref.ref(wire.protocol)
        wire.vanishes()
        wire.protocol = None
        del wire
        gc.collect()
        assert reference() is None
