"""What proxies say about a request, on HTTP/1.1, HTTP/2 and WebSocket alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.observe.access import FormattedAccessLog
from daphne_like.observe.access_formats import compile_format
from tests.support.applications import Script
from tests.support.h2_peer import H2Peer
from tests.support.h2_websocket import Opened
from tests.support.http_clients import HTTP1Client, HTTP2Client
from tests.support.memory import Memory
from tests.support.peers import answer_at_once
from tests.support.websocket_frames import opening

Field = tuple[bytes, bytes]
Serve = Callable[..., Memory]
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
PEER = ["192.0.2.1", 50000]
TRUSTED = "192.0.2.1,10.0.0.0/8,2001:db8::1"
FORWARDED = {"proxy_headers": "forwarded", "trusted_proxies": TRUSTED}
X_FORWARDED = {"proxy_headers": True, "trusted_proxies": TRUSTED}
NAMED = {
    **X_FORWARDED,
    "proxy_headers_authority": "X-Forwarded-Host",
    "proxy_headers_prefix": "X-Forwarded-Prefix",
}


def on_http1(memory: Memory, path: bytes, fields: list[Field]) -> None:
    HTTP1Client(memory).asks(b"GET", path, *fields)


def on_http2(memory: Memory, path: bytes, fields: list[Field]) -> None:
    HTTP2Client(memory).asks(b"GET", path, *fields)


def on_websocket(memory: Memory, path: bytes, fields: list[Field]) -> None:
    lines = [b"%b: %b" % field for field in fields]
    memory.connect().sends(opening(*lines, line=b"GET %b HTTP/1.1" % path))


def on_http2_websocket(memory: Memory, path: bytes, fields: list[Field]) -> None:
    Opened(H2Peer(memory), *[(name.lower(), value) for name, value in fields], path=path)


@pytest.fixture(params=[on_http1, on_http2, on_websocket, on_http2_websocket])
def scope_of(request: pytest.FixtureRequest, serve: Serve) -> Callable[..., dict[str, Any]]:
    """scope_of(*fields, path, **settings): the scope, its scheme as that of HTTP."""

    def ask(*fields: Field, path: bytes = b"/x", **settings: Any) -> dict[str, Any]:
        script = Script()
        request.param(serve(script, **settings), path, list(fields))
        return script.scope | {"scheme": SCHEMES[script.scope["scheme"]]}

    return ask


ScopeOf = Callable[..., dict[str, Any]]


def host_of(scope: dict[str, Any]) -> bytes:
    (host,) = [value for name, value in scope["headers"] if name == b"host"]
    return bytes(host)


class TestXForwardedFor:
    """S30: the list is read from the right, and ends at the first address that is not trusted."""

    @pytest.mark.parametrize(
        ("value", "client"),
        [
            (b"203.0.113.9", ["203.0.113.9", 0]),
            (b"6.6.6.6, 203.0.113.9, 10.1.2.3", ["203.0.113.9", 0]),
            (b"10.9.9.9,10.1.2.3", ["10.9.9.9", 0]),  # all are trusted
            (b"203.0.113.9:4711", ["203.0.113.9", 4711]),
            (b"2001:DB8::7", ["2001:db8::7", 0]),
            (b"[2001:db8::7]", ["2001:db8::7", 0]),
            (b"[2001:db8::7]:4711, 10.1.2.3:80", ["2001:db8::7", 4711]),
            (b"6.6.6.6, 203.0.113.9, [2001:db8::1]:5", ["203.0.113.9", 0]),
            (b"::ffff:203.0.113.9", ["203.0.113.9", 0]),
            (b"6.6.6.6, ::ffff:10.1.2.3", ["6.6.6.6", 0]),
            (b"203.0.113.9:_hidden", ["203.0.113.9", 0]),
            (b"unknown", PEER),
            (b"_hidden", PEER),
            (b"6.6.6.6, unknown, 10.1.2.3", ["10.1.2.3", 0]),
            (b"6.6.6.6,, 10.1.2.3", ["10.1.2.3", 0]),
            (b"6.6.6.6,", PEER),
            (b"", PEER),
            (b"203.0.113.9:99999", PEER),
            (b"203.0.113.999", PEER),
            (b"1.2.3", PEER),
            (b"[203.0.113.9]", PEER),
            (b"2001:db8::7]:80", PEER),
            (b"fe80::1%<script>", PEER),
            (b'"203.0.113.9"', PEER),
            (b"\xc3\xa9", PEER),
            (b"for=203.0.113.9", PEER),
        ],
    )
    def test_client(self, scope_of: ScopeOf, value: bytes, client: list[Any]) -> None:
        """An address, with or without a port; anything else ends the list."""
        scope = scope_of((b"X-Forwarded-For", value), **X_FORWARDED)
        assert scope["client"] == client
        assert (b"x-forwarded-for", value) in scope["headers"]

    def test_several_fields(self, scope_of: ScopeOf) -> None:
        """Several fields are one list in their order (RFC 9110, 5.3)."""
        fields = [(b"X-Forwarded-For", each) for each in (b"6.6.6.6", b"203.0.113.9", b"10.0.0.1")]
        assert scope_of(*fields, **X_FORWARDED)["client"] == ["203.0.113.9", 0]

    def test_untrusted_peer(self, scope_of: ScopeOf) -> None:
        """S30, S31, K6: no field of an untrusted peer counts."""
        scope = scope_of(
            (b"X-Forwarded-For", b"203.0.113.9"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"evil.example"),
            (b"X-Forwarded-Prefix", b"/evil"),
            (b"Daphne-Root-Path", b"/evil"),
            **NAMED | {"trusted_proxies": "192.0.2.99"},
        )
        assert (scope["client"], scope["scheme"], host_of(scope)) == (PEER, "http", b"x")
        assert (scope["root_path"], scope["path"]) == ("", "/x")
        assert b"daphne-root-path" not in dict(scope["headers"])

    def test_switched_off(self, scope_of: ScopeOf) -> None:
        """Without the option no field counts, even those of a peer on this list."""
        scope = scope_of(
            (b"X-Forwarded-For", b"203.0.113.9"),
            (b"Forwarded", b"for=203.0.113.9;proto=https"),
        )
        assert (scope["client"], scope["scheme"]) == (PEER, "http")

    def test_hops(self, scope_of: ScopeOf) -> None:
        """The list is read for 64 proxies; what is left of them does not count."""
        value = b"203.0.113.9" + b",10.0.0.1" * 64
        assert scope_of((b"X-Forwarded-For", value), **X_FORWARDED)["client"] == ["10.0.0.1", 0]
        value = value.removesuffix(b",10.0.0.1")
        assert scope_of((b"X-Forwarded-For", value), **X_FORWARDED)["client"] == ["203.0.113.9", 0]


class TestOtherFields:
    """S31: scheme, port, host and root path."""

    @pytest.mark.parametrize(
        ("values", "scheme"),
        [
            ([b"https"], "https"), ([b"HTTPS"], "https"), ([b"wss"], "https"), ([b"ws"], "http"),
            ([b"javascript"], "http"), ([b""], "http"), ([b"http, https"], "https"),
            ([b"https, http"], "http"), ([b"http", b"https"], "https"),
        ],
    )  # fmt: skip
    def test_scheme(self, scope_of: ScopeOf, values: list[bytes], scheme: str) -> None:
        """The last one, which the nearest proxy has written, if it is one of four."""
        fields = [(b"X-Forwarded-Proto", value) for value in values]
        assert scope_of(*fields, **X_FORWARDED)["scheme"] == scheme

    @pytest.mark.parametrize(
        ("port", "expected"),
        [(b"81", 81), (b"80, 81", 81), (b"8x", 0), (b"65536", 0), (b"", 0), (b"-1", 0)],
    )
    def test_port(self, scope_of: ScopeOf, port: bytes, expected: int) -> None:
        """The client's port, if it is one and X-Forwarded-For has none of its own."""
        fields = (b"X-Forwarded-Port", port), (b"X-Forwarded-For", b"203.0.113.9")
        assert scope_of(*fields, **X_FORWARDED)["client"] == ["203.0.113.9", expected]
        fields = (b"X-Forwarded-Port", port), (b"X-Forwarded-For", b"203.0.113.9:5")
        assert scope_of(*fields, **X_FORWARDED)["client"] == ["203.0.113.9", 5]

    def test_names_of_options(self, scope_of: ScopeOf) -> None:
        """--proxy-headers-host, -port and -proto: those fields count, and the usual ones do not."""
        scope = scope_of(
            (b"X-Real-IP", b"203.0.113.9"), (b"X-Real-Port", b"81"), (b"X-Scheme", b"https"),
            (b"X-Forwarded-For", b"6.6.6.6"), (b"X-Forwarded-Port", b"6"),
            (b"X-Forwarded-Proto", b"http"), **X_FORWARDED, proxy_headers_host="X-Real-IP",
            proxy_headers_port="X-Real-Port", proxy_headers_proto="X-Scheme",
        )  # fmt: skip
        assert (scope["client"], scope["scheme"]) == (["203.0.113.9", 81], "https")

    def test_not_named(self, scope_of: ScopeOf) -> None:
        """Host and prefix count by option alone, since many proxies pass on those of a client."""
        fields = (b"X-Forwarded-Host", b"evil.example"), (b"X-Forwarded-Prefix", b"/evil")
        scope = scope_of(*fields, **X_FORWARDED)
        assert (host_of(scope), scope["root_path"]) == (b"x", "")

    @pytest.mark.parametrize(
        ("value", "host"),
        [
            (b"example.org", b"example.org"),
            (b"example.org:8443", b"example.org:8443"),
            (b"evil.example, example.org", b"example.org"),
            (b"[2001:db8::7]:80", b"[2001:db8::7]:80"),
            (b"evil.example/path", b"x"),
            (b"user@evil.example", b"x"),
            (b"a b", b"x"),
            (b"example.org:port", b"x"),
            (b"a" * 262, b"x"),
            (b"", b"x"),
        ],
    )
    def test_host(self, scope_of: ScopeOf, value: bytes, host: bytes) -> None:
        """--proxy-headers-authority: the last host replaces Host, in its place."""
        scope = scope_of((b"X-Forwarded-Host", value), **NAMED)
        assert host_of(scope) == host
        assert [name for name, _ in scope["headers"]].index(b"host") == 0


class TestRootPath:
    """H08, S31: root_path by option and by field; the path in the scope is always the whole one."""

    @pytest.mark.parametrize(
        ("value", "root_path"),
        [
            (b"/app", "/app"), (b"/app/", "/app"), (b"/a%20b", "/a b"), (b"/\xc3\xa9", "/\u00e9"),
            (b"/evil, /app", "/app"), (b"", ""), (b"/", ""),
            (b"app", "/option"), (b"//evil.example", "/option"), (b"/\\evil.example", "/option"),
            (b"/%5Cevil.example", "/option"), (b"/%2Fevil.example", "/option"),
            (b"/a%0d%0ab", "/option"), (b"/a?b", "/option"), (b"/a#b", "/option"),
            (b"https://evil.example", "/option"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("name", [b"X-Forwarded-Prefix", b"Daphne-Root-Path"])
    def test_field(self, scope_of: ScopeOf, name: bytes, value: bytes, root_path: str) -> None:
        """A field of a trusted proxy replaces --root-path, if it is a path."""
        scope = scope_of((name, value), **NAMED, root_path="/option")
        assert (scope["root_path"], scope["path"]) == (root_path, "/x")

    def test_whole_path(self, scope_of: ScopeOf) -> None:
        """A proxy that passes on the whole path: path as sent."""
        scope = scope_of(path=b"/app/x", root_path="/app")
        assert (scope["root_path"], scope["path"]) == ("/app", "/app/x")
        scope = scope_of((b"X-Forwarded-Prefix", b"/app"), path=b"/app/x", **NAMED)
        assert (scope["root_path"], scope["path"]) == ("/app", "/app/x")

    def test_stripped(self, scope_of: ScopeOf) -> None:
        """--root-path-stripped: path has the root path again; raw_path is as received."""
        stripped = {"root_path_stripped": True}
        scope = scope_of(path=b"/app/x", root_path="/app", **stripped)
        assert (scope["root_path"], scope["path"]) == ("/app", "/app/app/x")
        scope = scope_of((b"X-Forwarded-Prefix", b"/a%20b"), path=b"/x%20y", **NAMED, **stripped)
        assert (scope["root_path"], scope["path"]) == ("/a b", "/a b/x y")
        assert scope["raw_path"] == b"/x%20y"

    def test_stripped_without_prefix(self, scope_of: ScopeOf) -> None:
        """A request without the field, of a health check for example, stays as it is."""
        scope = scope_of(**NAMED, root_path_stripped=True)
        assert (scope["root_path"], scope["path"]) == ("", "/x")

    def test_option_alone(self, scope_of: ScopeOf) -> None:
        """--root-path-stripped does not read any field."""
        fields = (b"Daphne-Root-Path", b"/evil"), (b"X-Forwarded-Prefix", b"/evil")
        scope = scope_of(*fields, root_path="/app", root_path_stripped=True, trusted_proxies="*")
        assert (scope["root_path"], scope["path"]) == ("/app", "/app/x")


class TestForwarded:
    """RFC 7239: --proxy-headers forwarded reads Forwarded alone."""

    @pytest.mark.parametrize(
        ("values", "client", "scheme", "host"),
        [
            ([b"for=203.0.113.9;proto=https;host=example.org"],
             ["203.0.113.9", 0], "https", b"example.org"),
            ([b"FOR=203.0.113.9 ; Proto=HTTPS"], ["203.0.113.9", 0], "https", b"x"),
            ([b'For="203.0.113.9:4711"'], ["203.0.113.9", 4711], "http", b"x"),
            ([b'for="[2001:db8::7]:4711";by=_me'], ["2001:db8::7", 4711], "http", b"x"),
            ([b'for="[2001:db8::7]"'], ["2001:db8::7", 0], "http", b"x"),
            ([b'for="203.0.113.9:_port"'], ["203.0.113.9", 0], "http", b"x"),
            ([b'for="\\2\\0\\3.0.113.9"'], ["203.0.113.9", 0], "http", b"x"),
            ([b"for=6.6.6.6;proto=https, for=203.0.113.9;proto=http"],
             ["203.0.113.9", 0], "http", b"x"),
            # The element of the farthest trusted proxy tells of the client's own request.
            ([b"for=6.6.6.6;host=evil, for=203.0.113.9;proto=https;host=a, for=10.0.0.1;host=b"],
             ["203.0.113.9", 0], "https", b"a"),
            ([b"for=6.6.6.6", b"for=203.0.113.9;proto=https, for=10.0.0.1", b"for=10.0.0.2"],
             ["203.0.113.9", 0], "https", b"x"),
            # A trusted proxy hides the client's address, and tells the rest.
            ([b"for=6.6.6.6, for=_hidden;proto=https"], PEER, "https", b"x"),
            ([b"for=unknown;proto=https"], PEER, "https", b"x"),
            ([b"for=6.6.6.6, for=_hidden;proto=https, for=10.0.0.1"],
             ["10.0.0.1", 0], "https", b"x"),
            ([b"for=6.6.6.6, proto=https"], PEER, "https", b"x"),
            # A client cannot hide the element that a proxy appends to its field.
            ([b'for=", for=203.0.113.9;proto=https'], ["203.0.113.9", 0], "https", b"x"),
            ([b'for="6.6.6.6\\, for=203.0.113.9;proto=https'], ["203.0.113.9", 0], "https", b"x"),
            ([b'for="', b"for=203.0.113.9;proto=https"], ["203.0.113.9", 0], "https", b"x"),
            ([b'x="a, for="[2001:db8::7]";proto=https'], ["2001:db8::7", 0], "https", b"x"),
            ([b'garbage;;=", for=203.0.113.9, for=10.0.0.1;proto=https'],
             ["203.0.113.9", 0], "http", b"x"),
            # A comma in a quoted string begins no element.
            ([b'for=203.0.113.9;ext="a, for=6.6.6.6"'], ["203.0.113.9", 0], "http", b"x"),
            ([b'ext="a, for=6.6.6.6", for=10.0.0.1'], ["10.0.0.1", 0], "http", b"x"),
            ([b'for=203.0.113.9;ext="a, for=6.6.6.6;x=\\"y\\""'], ["203.0.113.9", 0], "http", b"x"),
            # Garbage has no effect, and ends the list.
            ([b"203.0.113.9"], PEER, "http", b"x"),
            ([b"for=203.0.113.9 proto=https"], PEER, "http", b"x"),
            ([b"for=[2001:db8::7]"], PEER, "http", b"x"),
            ([b"for=2001:db8::7"], PEER, "http", b"x"),
            ([b'for=203.0.113.9;proto=javascript;host="a/b"'], ["203.0.113.9", 0], "http", b"x"),
            ([b"for=203.0.113.9;for=6.6.6.6;proto=https"], PEER, "http", b"x"),
            ([b""], PEER, "http", b"x"),
            ([b"for=203.0.113.9,"], PEER, "http", b"x"),
            ([b"for=203.0.113.9", b'for="'], PEER, "http", b"x"),
            ([b"for=203.0.113.9;;proto=https;"], ["203.0.113.9", 0], "https", b"x"),
        ],
    )  # fmt: skip
    def test_field(
        self,
        scope_of: ScopeOf,
        values: list[bytes],
        client: list[Any],
        scheme: str,
        host: bytes,
    ) -> None:
        """S30, S31: read from the right, up to the first `for` that is not trusted."""
        scope = scope_of(*[(b"Forwarded", value) for value in values], **FORWARDED)
        assert (scope["client"], scope["scheme"], host_of(scope)) == (client, scheme, host)

    def test_exclusive(self, scope_of: ScopeOf) -> None:
        """X-Forwarded-... has no effect with it, and Forwarded none without it."""
        fields = [
            (b"X-Forwarded-For", b"6.6.6.6"), (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Port", b"6"), (b"X-Forwarded-Host", b"evil.example"),
        ]  # fmt: skip
        scope = scope_of(*fields, **FORWARDED)
        assert (scope["client"], scope["scheme"], host_of(scope)) == (PEER, "http", b"x")
        scope = scope_of((b"Forwarded", b"for=6.6.6.6;proto=https;host=evil"), **X_FORWARDED)
        assert (scope["client"], scope["scheme"], host_of(scope)) == (PEER, "http", b"x")

    def test_untrusted_peer(self, scope_of: ScopeOf) -> None:
        """S30: no effect from anybody else."""
        field = (b"Forwarded", b"for=6.6.6.6;proto=https;host=evil.example")
        scope = scope_of(field, proxy_headers="forwarded", trusted_proxies="192.0.2.99")
        assert (scope["client"], scope["scheme"], host_of(scope)) == (PEER, "http", b"x")

    def test_prefix(self, scope_of: ScopeOf) -> None:
        """Forwarded has no prefix; a field that an option names is read beside it."""
        fields = (b"Forwarded", b"for=203.0.113.9"), (b"X-Forwarded-Prefix", b"/app")
        scope = scope_of(*fields, **FORWARDED, proxy_headers_prefix="X-Forwarded-Prefix")
        assert (scope["client"], scope["root_path"]) == (["203.0.113.9", 0], "/app")


class TestQueueTime:
    """X-Request-Start of a trusted proxy is kept for metrics and logs."""

    @pytest.fixture
    def waited(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        """waited(fields, on, **settings): what an observer finds on the exchange or session."""
        monkeypatch.setattr("daphne_like.http.scope.time", lambda: 1_700_000_002.5)

        def ask(fields: list[Field], on: Any = on_http1, **settings: Any) -> Any:
            script = Script()
            memory = serve(script, **settings)
            found: list[Any] = []
            create = memory.server.context.create_application

            def keep(exchange: Any, *args: Any) -> Any:
                found.append(exchange.queue_time)
                return create(exchange, *args)

            memory.server.context.create_application = keep
            on(memory, b"/", fields)
            return found

        return ask

    @pytest.mark.parametrize("on", [on_http1, on_http2, on_websocket, on_http2_websocket])
    def test_kept(self, waited: Callable[..., Any], on: Any) -> None:
        """On every carrier; the last value counts, which the nearest proxy has written."""
        fields = [(b"X-Request-Start", b"t=1"), (b"X-Request-Start", b"t=1700000002.0")]
        observed = {"action_logger": lambda *entry: None}
        assert waited(fields, on, **X_FORWARDED, **observed) == [0.5]
        assert waited(fields, on, **FORWARDED, **observed) == [0.5]
        assert waited(fields[:1], on, **X_FORWARDED, **observed) == [None]
        assert waited([], on, **X_FORWARDED, **observed) == [None]

    def test_untrusted(self, waited: Callable[..., Any]) -> None:
        """From trusted proxies alone, and with --proxy-headers alone."""
        fields = [(b"X-Request-Start", b"t=1700000002.0")]
        observed = {"action_logger": lambda *entry: None}
        assert waited(fields, **observed) == [None]
        settings = {"proxy_headers": True, "trusted_proxies": "192.0.2.99"}
        assert waited(fields, **settings, **observed) == [None]

    @pytest.mark.parametrize("on", [on_http1, on_http2])
    def test_access_log(
        self,
        serve: Serve,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        on: Any,
    ) -> None:
        """The access log has it."""
        monkeypatch.setattr("daphne_like.http.scope.time", lambda: 1_700_000_002.5)
        caplog.set_level("INFO", "daphne_like.access")
        log = FormattedAccessLog(compile_format("%(s)s %(queue_time)s"))
        memory = serve(answer_at_once, action_logger=log, **X_FORWARDED)
        on(memory, b"/", [(b"X-Request-Start", b"t=1700000002.0")])
        log.flush()
        assert caplog.messages[-1] == "200 0.500000"
