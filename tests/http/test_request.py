"""The scope of a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import PeerError
from daphne_like.http import fields
from daphne_like.http.h1 import request_line as request
from daphne_like.http.h1.request_reader import MAX_CACHED_REQUEST
from daphne_like.http.target import Target, split_target
from daphne_like.runtime.context import MAX_SECTIONS
from tests.support.applications import EXTENSIONS, Spoiling
from tests.support.memory import Memory, Wire
from tests.support.peers import Answer, Recorder, get, post, read_answers

Serve = Callable[..., Memory]

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"x")],
    "client": ["192.0.2.1", 50000],
    "server": ["192.0.2.2", 80],
    "state": {},
    "extensions": EXTENSIONS,
}


def scopes_of(serve: Serve, *requests: bytes, **settings: Any) -> list[dict[str, Any]]:
    """The scopes of requests on one connection, each answered before the next."""
    application = Recorder()
    serve(application, **settings).connect().sends(*requests)
    return application.scopes


class TestScope:
    """ASGI HTTP, "HTTP Connection Scope"."""

    def test_whole(self, serve: Serve) -> None:
        """H01-H14: every key of a plain request."""
        assert scopes_of(serve, get()) == [SCOPE]

    def test_fields(self, serve: Serve) -> None:
        """H09, H10: order and duplicates stay, names are in lower case, values are bare."""
        fields = (b"A: 1", b"b:2  ", b"A:  3\t", b"Cookie: a=b; c=d", b"C:", b"D: a b")
        (scope,) = scopes_of(serve, get(b"/", *fields))
        assert scope["headers"][1:] == [
            (b"a", b"1"),
            (b"b", b"2"),
            (b"a", b"3"),
            (b"cookie", b"a=b; c=d"),
            (b"c", b""),
            (b"d", b"a b"),
        ]

    def test_underscores(self, serve: Serve) -> None:
        """S03: names with an underscore are dropped, for X_Y and X-Y are one name elsewhere."""
        (scope,) = scopes_of(serve, get(b"/", b"X_Forwarded_For: 1", b"X-Forwarded-For: 2"))
        assert scope["headers"] == [(b"host", b"x"), (b"x-forwarded-for", b"2")]

    def test_underscores_kept(self, serve: Serve) -> None:
        """S03: there is a switch to keep them."""
        (scope,) = scopes_of(serve, get(b"/", b"X_Y: 1"), keep_underscores=True)
        assert scope["headers"] == [(b"host", b"x"), (b"x_y", b"1")]

    def test_underscored_framing_frames_nothing(self, serve: Serve) -> None:
        """S03, S08: Content_Length is no Content-Length."""
        wire = serve(Recorder()).connect().sends(get(b"/1", b"Content_Length: 30") + get(b"/2"))
        assert [answer.body for answer in read_answers(wire.written)] == [b"/1", b"/2"]

    @pytest.mark.parametrize("method", ["PROPFIND", "PURGE", "QUERY", "TRACE", "OPTIONS"])
    def test_method(self, serve: Serve, method: str) -> None:
        """H03: other methods are the application's business."""
        (scope,) = scopes_of(serve, get().replace(b"GET", method.encode()))
        assert scope["method"] == method

    @pytest.mark.parametrize("method", [b"BAN", b"VERSION-CONTROL", b"UPDATE", b"G", b"M" * 64])
    def test_unlisted_method(self, serve: Serve, method: bytes) -> None:
        """A method that httptools does not know is served, wherever its request is cut."""
        octets = get(b"/a").replace(b"GET", method) + post(b"abc").replace(b"POST", method)
        whole = b"\r\n" + octets + b"\r\n" + octets
        application = Recorder()
        memory = serve(application)
        for cut in range(1, len(whole)):
            application.scopes.clear()
            application.bodies.clear()
            wire = memory.connect().gets(whole[:cut], whole[cut:])
            assert [scope["method"] for scope in application.scopes] == [method.decode()] * 4
            assert application.bodies == [b"", b"abc"] * 2
            assert len(read_answers(wire.written)) == 4
            wire.vanishes()

    def test_unlisted_method_again(self, serve: Serve) -> None:
        """One that comes again with the same fields, or with other ones, keeps its name."""
        application = Recorder()
        wire = serve(application).connect()
        ban = get(b"/a").replace(b"GET", b"BAN")
        wire.sends(get(b"/a"), ban, ban, get(b"/a"), ban.replace(b"BAN", b"LABEL"))
        methods = [scope["method"] for scope in application.scopes]
        assert methods == ["GET", "BAN", "BAN", "GET", "LABEL"]

    def test_unlisted_method_of_http_10(self, serve: Serve) -> None:
        """One of HTTP/1.0 closes the connection, or keeps it as the fields say."""
        application = Recorder()
        wire = serve(application).connect()
        wire.sends(b"BAN / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"BAN / HTTP/1.0\r\n\r\n")
        assert [scope["http_version"] for scope in application.scopes] == ["1.0", "1.0"]
        assert wire.closing

    def test_scopes_share_nothing(self, serve: Serve) -> None:
        """C18: what an application does to its scope is not seen by the next one."""
        application = Spoiling()
        serve(application).connect().sends(get(), get(), get())
        assert len(application.seen) == 3
        assert len(set(map(repr, application.seen))) == 1

    def test_empty_lines_before(self, serve: Serve) -> None:
        """RFC 9112, 2.2: empty lines before the request line are no part of it."""
        assert scopes_of(serve, b"\r\n" + get(), b"\r\n\r\n\r\n" + get()) == [SCOPE, SCOPE]

    def test_http_10(self, serve: Serve) -> None:
        """H02: the version; HTTP/1.0 needs no Host."""
        (scope,) = scopes_of(serve, b"GET / HTTP/1.0\r\n\r\n")
        files = {name: {} for name in ("http.response.pathsend", "http.response.zerocopysend")}
        assert scope == SCOPE | {"http_version": "1.0", "headers": [], "extensions": files}

    @pytest.mark.parametrize("host", [b"", b"x", b"x:80", b"[::1]:80", b"x.", b"a%20b", b"x:"])
    def test_host(self, serve: Serve, host: bytes) -> None:
        """RFC 9112, 3.2: what a Host field may be."""
        (scope,) = scopes_of(serve, get(host=host))
        assert scope["headers"] == [(b"host", host)]


class TestTarget:
    """RFC 9112, 3.2; ASGI H05-H07."""

    @pytest.mark.parametrize(
        ("target", "split"),
        [
            (b"/", Target("/", b"/", b"", None)),
            (b"/a%20b?c=%20&d?e", Target("/a b", b"/a%20b", b"c=%20&d?e", None)),
            (b"/%C3%A9", Target("/é", b"/%C3%A9", b"", None)),
            (b"/%FF", Target("/�", b"/%FF", b"", None)),
            (b"/%00%0a%1b[31m", Target("/\0\n\x1b[31m", b"/%00%0a%1b[31m", b"", None)),
            (b"//evil/one", Target("//evil/one", b"//evil/one", b"", None)),
            (b"/a/../b/./", Target("/a/../b/./", b"/a/../b/./", b"", None)),
            (b"/%2e%2f%", Target("/./%", b"/%2e%2f%", b"", None)),
            (b"/?", Target("/", b"/", b"", None)),
            (b"http://x/a?b", Target("/a", b"/a", b"b", b"x")),
            (b"HTTPS://x:1", Target("/", b"/", b"", b"x:1")),
            (b"http://x?b", Target("/", b"/", b"b", b"x")),
        ],
    )
    def test_split(self, target: bytes, split: Target) -> None:
        """H05-H07: path decoded, raw path and query as received, no authority."""
        for _ in range(2):
            assert split_target(b"GET", target) == split

    def test_star(self) -> None:
        """RFC 9112, 3.2.4: `*` belongs to OPTIONS."""
        assert split_target(b"OPTIONS", b"*") == Target("*", b"*", b"", None)
        with pytest.raises(PeerError, match="400"):
            split_target(b"GET", b"*")

    def test_absolute_form_sets_host(self, serve: Serve) -> None:
        """RFC 9112, 3.2.2: its authority takes the place of Host."""
        (scope,) = scopes_of(serve, get(b"http://y:1/a?b", b"Z: 1"))
        assert scope == SCOPE | {
            "path": "/a",
            "raw_path": b"/a",
            "query_string": b"b",
            "headers": [(b"host", b"y:1"), (b"z", b"1")],
        }

    def test_cache_is_bounded(self, serve: Serve) -> None:
        """No table that peers fill grows for ever."""
        wire = serve(Recorder()).connect()
        for n in range(request.MAX_CACHED_REQUEST_LINES + 10):
            wire.gets(get(b"/%d" % n, b"X-%d: 1" % n, b"Y-%d: 1" % n, host=b"x%d" % n))
        assert len(request.request_lines.entries) <= request.MAX_CACHED_REQUEST_LINES
        assert len(fields.names.entries) <= fields.MAX_NAMES
        assert len(fields.hosts.entries) <= fields.MAX_HOSTS

    @pytest.mark.parametrize("more", [0, 1])
    def test_long_entries_are_not_cached(self, serve: Serve, more: int) -> None:
        """A peer cannot fill the caches of names and hosts with long entries."""
        name = b"X-" + b"x" * (fields.MAX_CACHED_NAME - 2 + more)
        host = b"y" * (fields.MAX_CACHED_HOST + more)
        (scope,) = scopes_of(serve, get(b"/", name + b": 1", host=host))
        assert scope["headers"] == [(b"host", host), (name.lower(), b"1")]
        assert (name in fields.names.entries, host in fields.hosts.entries) == (not more, not more)


FIELDS = b"\r\nHost: x\r\nA: 1\r\nX_Y: 2\r\nB: 3  \r\n\r\n"


class TestFieldsAgain:
    """A field section that came again is not parsed again; nobody can tell."""

    LINES = (
        b"GET / HTTP/1.1",
        b"GET /other?query HTTP/1.1",
        b"HEAD / HTTP/1.1",
        b"POST / HTTP/1.1",
        b"PROPFIND / HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://y/z HTTP/1.1",
        b"GET /%C3%A9 HTTP/1.1",
        b"GET / HTTP/1.0",
        b"GET /#a HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / RTSP/1.0",
        b"GET  / HTTP/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"CONNECT x:1 HTTP/1.1",
        b"GET /",
        b"",
        b"\r",
        b"\nGET / HTTP/1.1",
        b"GET / HTTP/1.1\nX: y",
        b"GET / HTTP/1.1\rX: y",
        b"GET / HTTP/1.1\r",
        b"X: y",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1",
    )

    @pytest.mark.parametrize("line", LINES)
    @pytest.mark.parametrize("fields", [FIELDS, b"\r\nHost: x\r\n\r\n"])
    def test_same_result(self, serve: Serve, line: bytes, fields: bytes) -> None:
        """H01-H14: scope, answer and close are those of the same request on a new connection."""
        application = Recorder()
        memory = serve(application)
        first = get(b"/first").partition(b"\r\n")[0] + fields
        methods = (line.partition(b" ")[0],)
        fresh = memory.connect().sends(line + fields)
        scopes, application.scopes = application.scopes, []
        again = memory.connect().sends(first)
        again.take()
        application.scopes = []
        again.sends(line + fields)
        assert again.protocol._last_section is not None
        assert application.scopes == scopes
        assert read_answers(again.written, methods) == read_answers(fresh.written, methods)
        assert (again.half_closed, again.lost) == (fresh.half_closed, fresh.lost)

    @pytest.mark.parametrize(
        "fields",
        [b"Connection: keep-alive\r\n", b"Connection: Keep-Alive\r\nHost: x\r\n"],
    )
    def test_http_10_keeps_alive(self, serve: Serve, fields: bytes) -> None:
        """RFC 9112, 9.3: keep-alive of HTTP/1.0 is in the fields, also when they come again."""
        whole = b"GET / HTTP/1.0\r\n" + fields + b"\r\n"
        wire = serve(Recorder()).connect().sends(whole, whole, whole)
        answers = read_answers(wire.written)
        assert [answer.fields[b"connection"] for answer in answers] == [b"keep-alive"] * 3

    def test_only_whole_heads_are_remembered(self, serve: Serve) -> None:
        """A head that arrives in pieces or after other octets is cached without these."""
        for before in (get(b"/a"), get(b"/a") + b"\r\n", b""):
            application = Recorder()
            wire = serve(application).connect()
            wire.gets(before + b"GET / HTTP/1.1\r\nSecret: 1\r\nHo", b"st: x\r\nB: c\r\n\r\n")
            wire.take()
            seen = len(application.scopes)
            wire.gets(b"GET / HTTP/1.1\r\nB: c\r\n\r\n")
            assert [answer.status for answer in read_answers(wire.written)] == [400]
            assert len(application.scopes) == seen

    @pytest.mark.parametrize("cut", range(1, 60))
    def test_not_while_a_head_is_unfinished(self, serve: Serve, cut: int) -> None:
        """Octets that look like the last head again may be the rest of another one."""
        application = Recorder()
        wire = serve(application).connect().sends(get())
        head = b"GET /2 HTTP/1.1\r\nSecret: 1\r\nX: GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        wire.gets(head[:cut], head[cut:])
        assert application.scopes[1]["headers"] == [
            (b"secret", b"1"),
            (b"x", b"GET / HTTP/1.1"),
            (b"host", b"x"),
        ]

    def test_not_behind_a_body(self, serve: Serve) -> None:
        """A request with a body is never taken for one that came again."""
        application = Recorder()
        wire = serve(application).connect()
        for _ in range(3):
            wire.gets(post(get()))
            wire.gets(get())
        assert [scope["method"] for scope in application.scopes] == ["POST", "GET"] * 3
        assert application.bodies == [get(), b""] * 3


def undated(wire: Wire, methods: tuple[bytes, ...]) -> list[Answer]:
    """Return a server's responses without their dates."""
    return read_answers(re.sub(rb"(?m)^Date: .*\n", b"", wire.written), methods)


class TestFieldsOfOthers:
    """So it is on a connection whose first request has the fields of another's first one."""

    @pytest.mark.parametrize("line", TestFieldsAgain.LINES)
    @pytest.mark.parametrize("fields", [FIELDS, b"\r\nHost: x\r\n\r\n"])
    def test_same_result(self, serve: Serve, line: bytes, fields: bytes) -> None:
        """Scope, answer and close are those of the same request on a server's first connection."""
        application, other = Recorder(), Recorder()
        fresh = serve(application).connect().sends(line + fields)
        memory = serve(other)
        memory.connect().sends(get(b"/first").partition(b"\r\n")[0] + fields)
        other.scopes = []
        again = memory.connect().sends(line + fields)
        assert other.scopes == application.scopes
        methods = (line.partition(b" ")[0],)
        assert undated(again, methods) == undated(fresh, methods)
        assert (again.half_closed, again.lost) == (fresh.half_closed, fresh.lost)

    @pytest.mark.parametrize(
        "first",
        [
            *(line + b"\r\nHost: x\r\nB: 1\r\n\r\n" for line in TestFieldsAgain.LINES),
            b"GET /\nA: evil\r\nHost: x\r\nB: 1\r\n\r\n",
            b"GET / HTTP/1.1\nA: evil\r\nHost: x\r\nB: 1\r\n\r\n",
            b"GET / HTTP/1.1\rA: evil\r\nHost: x\r\nB: 1\r\n\r\n",
            b"GET /\nHost: evil\r\nB: 1\r\n\r\n",
            b"\r\r\nGET / HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n",
            b"\n\r\nGET / HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nB: 1\n\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n B: 1\r\n\r\n",
        ],
    )
    def test_nobody_is_given_anybody_s(self, serve: Serve, first: bytes) -> None:
        """Whatever a first request was, others are served, or refused, as on their own."""
        followers = [
            b"GET / HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nB: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nGET / HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n",
            first,
            *(b"GET / HTTP/1.1" + first[cut.start() :] for cut in re.finditer(b"\r", first)),
        ]
        application = Recorder()
        memory = serve(application)
        memory.connect().sends(first)
        for follower in followers:
            alone = Recorder()
            fresh = serve(alone).connect().sends(follower)
            application.scopes = []
            wire = memory.connect().sends(follower)
            assert application.scopes == alone.scopes
            methods = (follower.partition(b" ")[0],)
            assert undated(wire, methods) == undated(fresh, methods)
            assert (wire.half_closed, wire.lost) == (fresh.half_closed, fresh.lost)

    def test_no_secrets(self, serve: Serve) -> None:
        """Credentials are not kept after the connection."""
        memory = serve(Recorder())
        for secret in (b"Cookie: a=b", b"Authorization: x", b"Proxy-Authorization: x"):
            memory.connect().sends(get(b"/", secret))
        assert memory.server.context.sections.entries == {}

    def test_not_parsed(self, serve: Serve) -> None:
        """There is not even a parser."""
        memory = serve(Recorder())
        first, second = (memory.connect().sends(get()) for _ in range(2))
        assert first.protocol.parser is not None
        assert second.protocol.parser is None
        assert read_answers(second.written)[0].status == 200

    def test_each_server_has_its_own(self, serve: Serve) -> None:
        """A checked section is valid for the options of one server only."""
        for keep in (True, False, True):
            (scope,) = scopes_of(serve, get(b"/", b"X_Y: 1"), keep_underscores=keep)
            assert ((b"x_y", b"1") in scope["headers"]) is keep
        small = serve(Recorder(), max_fields=1).connect().sends(get(b"/", b"X_Y: 1"))
        assert read_answers(small.written)[0].status == 431

    def test_bounded(self, serve: Serve) -> None:
        """In number and in size; what frames a body is not among them."""
        memory = serve(Recorder())
        known = memory.server.context.sections.entries
        for n in range(MAX_SECTIONS + 10):
            memory.connect().sends(get(b"/", b"X: %d" % n))
        assert 0 < len(known) <= MAX_SECTIONS
        known.clear()
        memory.connect().sends(get(b"/", b"X: " + b"x" * MAX_CACHED_REQUEST))
        memory.connect().sends(post(b"abc"))
        memory.connect().sends(get(b"/", b"Connection: close"))
        assert known == {}

    def test_first_requests_alone(self, serve: Serve) -> None:
        """Fields that change from one request of a connection to the next fill nothing."""
        memory = serve(Recorder())
        memory.connect().sends(*(get(b"/", b"X: %d" % n) for n in range(5)))
        assert len(memory.server.context.sections.entries) == 1


class TestLog:
    """S06: control characters of a request are escaped in log lines."""

    def test_no_control_characters(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """S06: what a peer puts into its path is escaped wherever it is logged."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        serve(application).connect().sends(get(b"/%0a%1b[31m%C2%85?%0a"))
        assert caplog.records
        for record in caplog.records:
            assert not set("\n\x1b\x85") & set(record.getMessage())
