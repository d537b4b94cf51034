"""The scope of a WebSocket."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport, ISystemHandle
from zope.interface import alsoProvides

from tests.support.applications import Script, Spoiling
from tests.support.memory import Memory
from tests.support.websocket_frames import FIELDS, OPENING, opening, refused
from tests.support.websocket_peer import KEY

Serve = Callable[..., Memory]

LINE = b"GET /r%C3%A9sum%C3%A9/a%2Fb?x=%20&y HTTP/1.1"
DUPLICATES = (b"X-Multi: 1", b"Cookie: a=b", b"x-multi:  2 ", b"X-Utf: \xc3\xa9", b"Cookie: c=d")

HEADERS = [
    (b"host", b"x"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]

SCOPE = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "scheme": "ws",
    "path": "/chat",
    "raw_path": b"/chat",
    "query_string": b"",
    "root_path": "",
    "headers": HEADERS,
    "client": ["192.0.2.1", 50000],
    "server": ["192.0.2.2", 80],
    "subprotocols": [],
    "state": {},
    "extensions": {"websocket.http.response": {}},
}

CONTROLS = [b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85", b"\x00", b"\x7f"]


def scope_of(serve: Serve, request: bytes, **settings: Any) -> dict[str, Any]:
    """The scope of one request."""
    script = Script()
    serve(script, **settings).connect().sends(request)
    assert script.scope is not None
    return script.scope


class TestScope:
    """ASGI WebSocket, "WebSocket Connection Scope"."""

    def test_whole(self, serve: Serve) -> None:
        """W01-W08, X01: every key, and no other; `method` is none of them."""
        assert scope_of(serve, OPENING) == SCOPE

    def test_types(self, serve: Serve) -> None:
        """C03, C16, W05: plain dicts, lists, str and bytes."""
        scope = scope_of(serve, opening(b"Sec-WebSocket-Protocol: a"))
        assert {key: type(value) for key, value in scope.items()} == {
            **{key: type(value) for key, value in SCOPE.items()}
        }
        assert {type(part) for field in scope["headers"] for part in field} == {bytes}
        assert [type(name) for name in scope["subprotocols"]] == [str]

    def test_path(self, serve: Serve) -> None:
        """W04: the path decoded, as it came, and the query as it came."""
        scope = scope_of(serve, opening(line=LINE))
        assert scope == SCOPE | {
            "path": "/résumé/a/b",
            "raw_path": b"/r%C3%A9sum%C3%A9/a%2Fb",
            "query_string": b"x=%20&y",
        }

    def test_absolute_form(self, serve: Serve) -> None:
        """RFC 9112, 3.2.2: an absolute target is its path, and its authority is the host."""
        scope = scope_of(serve, opening(line=b"GET http://y/chat HTTP/1.1"))
        assert scope == SCOPE | {"headers": [(b"host", b"y"), *HEADERS[1:]]}

    def test_as_http_gives_it(self, serve: Serve) -> None:
        """S02, W05: one parser: fields as HTTP has them, duplicates and their order too."""
        script = Script()
        memory = serve(script)
        scopes = []
        for upgrade in (b"websocket", b"other"):
            request = opening(*DUPLICATES, line=LINE).replace(b"websocket\r\n", upgrade + b"\r\n")
            memory.connect().sends(request)
            scopes.append(script.scope)
        websocket, http = scopes
        headers = [(n, b"websocket" if n == b"upgrade" else v) for n, v in http.pop("headers")]
        assert (
            websocket.pop("headers")
            == headers
            == [
                *HEADERS,
                (b"x-multi", b"1"),
                (b"cookie", b"a=b"),
                (b"x-multi", b"2"),
                (b"x-utf", b"\xc3\xa9"),
                (b"cookie", b"c=d"),
            ]
        )
        assert http.pop("method") == "GET"
        assert websocket == http | {
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }

    @pytest.mark.parametrize("octet", CONTROLS)
    def test_control_octets(self, serve: Serve, octet: bytes) -> None:
        """S02: what a second parser could take for the end of a line is refused."""
        script = Script()
        wire = serve(script).connect().sends(opening(b"X: a" + octet + b"b: c"))
        assert wire.take().startswith(b"HTTP/1.1 400 ")
        assert script.scope is None

    def test_underscores(self, serve: Serve) -> None:
        """S03: names with an underscore are dropped here, too, and frame no handshake."""
        assert scope_of(serve, opening(b"X_Y: 1")) == SCOPE
        script = Script()
        wire = serve(script, keep_underscores=True).connect()
        request = opening(b"Sec_WebSocket_Key: " + KEY, sec_websocket_key=None)
        assert wire.sends(request).take() == refused(
            b"400 Bad Request", b"Sec-WebSocket-Key is not one key of 16 octets."
        )

    def test_root_path(self, serve: Serve) -> None:
        """W04, H08: as for HTTP."""
        assert scope_of(serve, OPENING, root_path="/app") == SCOPE | {"root_path": "/app"}

    def test_state(self, serve: Serve) -> None:
        """W08, L11: a copy of the lifespan's state: the same objects in a dict of its own."""
        script = Script()
        memory = serve(script)
        memory.server.context.lifespan_state = {"pool": object()}
        memory.connect().sends(OPENING)
        assert script.scope["state"] == memory.server.context.lifespan_state
        assert script.scope["state"] is not memory.server.context.lifespan_state

    def test_scopes_share_nothing(self, serve: Serve) -> None:
        """C18: what an application does to its scope is not seen by the next one."""
        application = Spoiling()
        memory = serve(application)
        for _ in range(3):
            memory.connect().sends(opening(b"Sec-WebSocket-Protocol: a, b"))
        assert len(application.seen) == 3
        assert len(set(map(repr, application.seen))) == 1

    def test_copies_over_tls(self, serve: Serve) -> None:
        """C07, C18: a scope can be copied and pickled; what connections share is read-only."""
        script = Script()
        wire = serve(script).connect()
        alsoProvides(wire, ISSLTransport, ISystemHandle)
        wire.getHandle = object  # type: ignore[attr-defined] # TLS that tells nothing
        wire.sends(OPENING)
        scope = script.scope
        copies = [copy.deepcopy(scope), pickle.loads(pickle.dumps(scope))]
        assert copies == [scope, scope]
        for one in copies:
            one["extensions"]["tls"].clear()
        with pytest.raises(TypeError):
            scope["extensions"]["tls"].clear()
        assert "server_cert" in scope["extensions"]["tls"]

    def test_cleared_scope_is_no_obstacle(self, serve: Serve) -> None:
        """C18: the handshake's answer does not come from the scope, which is the application's."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scope.clear()
            await send({"type": "websocket.accept"})

        assert serve(application).connect().sends(OPENING).take().startswith(b"HTTP/1.1 101 ")


class TestAddresses:
    """ASGI WebSocket, "WebSocket Connection Scope": scheme, client and server."""

    def test_wss(self, serve: Serve) -> None:
        """W03: over TLS the scheme is wss."""
        script = Script()
        wire = serve(script).connect()
        alsoProvides(wire, ISSLTransport)
        wire.sends(OPENING)
        assert script.scope == SCOPE | {"scheme": "wss"}

    def test_unix(self, serve: Serve) -> None:
        """W06, H12, H13: on a UNIX socket there is no client."""
        script = Script()
        wire = serve(script).connect()
        wire.peer, wire.host = UNIXAddress(b""), UNIXAddress(b"/run/x.sock")
        wire.sends(OPENING)
        assert script.scope == SCOPE | {"client": None, "server": ["/run/x.sock", None]}

    @pytest.mark.parametrize(
        ("proto", "scheme"),
        [
            (b"http", "ws"), (b"https", "wss"), (b"ws", "ws"), (b"wss", "wss"), (b"WSS", "wss"),
            (b"javascript", "ws"), (b"", "ws"),
        ],
    )  # fmt: skip
    def test_trusted_proxy(self, serve: Serve, proto: bytes, scheme: str) -> None:
        """W03, S31: what a trusted proxy says, of the four schemes that there are."""
        lines = (b"X-Forwarded-Proto: " + proto, b"X-Forwarded-For: 203.0.113.9")
        scope = scope_of(serve, opening(*lines), proxy_headers=True, trusted_proxies="192.0.2.1")
        assert scope == SCOPE | {
            "scheme": scheme,
            "client": ["203.0.113.9", 0],
            "headers": [
                *HEADERS,
                (b"x-forwarded-proto", proto),
                (b"x-forwarded-for", b"203.0.113.9"),
            ],
        }

    def test_untrusted_peer(self, serve: Serve) -> None:
        """S30: anybody else may say what he likes."""
        lines = (b"X-Forwarded-Proto: https", b"X-Forwarded-For: 203.0.113.9")
        scope = scope_of(serve, opening(*lines), proxy_headers=True)
        assert (scope["scheme"], scope["client"]) == ("ws", ["192.0.2.1", 50000])

    def test_root_path_of_a_proxy(self, serve: Serve) -> None:
        """S31: Daphne-Root-Path of a trusted proxy; it is no field of the application's."""
        request = opening(b"Daphne-Root-Path: /a%20b")
        scope = scope_of(serve, request, proxy_headers=True, trusted_proxies="*")
        assert scope == SCOPE | {"root_path": "/a b"}


def test_fields_are_those_of_the_constant() -> None:
    """The scope expected above is that of the handshake in frames.py."""
    assert [(name.lower(), value) for name, value in FIELDS.items()] == HEADERS
