"""Offers of a client's handshake: subprotocols, extensions; and its origin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.applications import Script
from tests.support.handshakes import CLOSED_1000, answer, unseen
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, OPENING, opening, refused, switched

Serve = Callable[..., Memory]

NO_LIST = refused(b"400 Bad Request", b"Sec-WebSocket-Protocol is not a list of different tokens.")
NO_EXTENSIONS = refused(
    b"400 Bad Request", b"Sec-WebSocket-Extensions is not a list of extensions."
)
ORIGIN = refused(b"403 Forbidden", b"This origin is not served.")
ORIGINS = refused(b"400 Bad Request", b"More than one Origin field.")


class TestSubprotocols:
    """RFC 6455, 11.3.4, "Sec-WebSocket-Protocol"."""

    @pytest.mark.parametrize(
        ("lines", "offered"),
        [
            ((), []),
            ((b"Sec-WebSocket-Protocol:",), []),
            ((b"Sec-WebSocket-Protocol: a",), ["a"]),
            ((b"Sec-WebSocket-Protocol: b, a,,c\t",), ["b", "a", "c"]),
            (
                (b"Sec-WebSocket-Protocol: b", b"X: y", b"Sec-WebSocket-Protocol: a,A"),
                ["b", "a", "A"],
            ),
            ((b"sec-websocket-protocol: v1.json~!#$%&'*+-.^_`|",), ["v1.json~!#$%&'*+-.^_`|"]),
        ],
    )
    def test_offered(self, serve: Serve, lines: tuple[bytes, ...], offered: list[str]) -> None:
        """W07: all names of all fields, in their order."""
        script = Script()
        serve(script).connect().sends(opening(*lines))
        assert script.scope["subprotocols"] == offered

    @pytest.mark.parametrize(
        "value", [b"a b", b'"a"', b"a;b", b"a/1", b"\xe9", "é".encode(), b"a, \xff", b"a,b,a"]
    )
    def test_malformed(self, serve: Serve, value: bytes) -> None:
        """S25: 4.1, 10: different tokens; other octets never reach the application."""
        assert unseen(serve, opening(b"Sec-WebSocket-Protocol: " + value)) == NO_LIST

    def test_twice_in_two_fields(self, serve: Serve) -> None:
        """4.1, 10: "all unique strings" holds for all fields together."""
        line = b"Sec-WebSocket-Protocol: a"
        assert unseen(serve, opening(line, line)) == NO_LIST

    def test_number(self, serve: Serve) -> None:
        """S01: a list has an end: 64 names, and no more."""
        names = [b"p%d" % number for number in range(65)]
        script = Script()
        memory = serve(script)
        memory.connect().sends(opening(b"Sec-WebSocket-Protocol: " + b",".join(names[:64])))
        assert script.scope["subprotocols"] == [name.decode() for name in names[:64]]
        wire = memory.connect().sends(opening(b"Sec-WebSocket-Protocol: " + b",".join(names)))
        assert wire.take() == NO_LIST


class TestOrigin:
    """RFC 6455, 10.2, "Origin Considerations"; S28."""

    SERVED = ("https://a.example", "https://b.example:8443")

    @pytest.mark.parametrize("origin", [b"https://a.example", b"https://b.example:8443"])
    def test_served(self, serve: Serve, origin: bytes) -> None:
        """S28: one that is listed."""
        request = opening(b"Origin: " + origin)
        assert answer(serve, request, websocket_origins=self.SERVED) == CLOSED_1000

    @pytest.mark.parametrize(
        "origin",
        [
            b"https://b.example", b"http://a.example", b"https://a.example.evil", b"null", b"",
            b"https://a.example:443", b"https://A.example", b"https://xa.example", b"\xff",
            b"https://a.example/", b"https://a.example, https://a.example",
        ],
    )  # fmt: skip
    def test_foreign(self, serve: Serve, origin: bytes) -> None:
        """S28: exactly that, no pattern, no prefix."""
        request = opening(b"Origin: " + origin)
        assert unseen(serve, request, websocket_origins=self.SERVED) == ORIGIN

    def test_any(self, serve: Serve) -> None:
        """Every origin is served where none is listed."""
        assert answer(serve, opening(b"Origin: https://x.example")) == CLOSED_1000

    def test_absent(self, serve: Serve) -> None:
        """10.2: a client without Origin is not a browser, and could send any value."""
        assert answer(serve, OPENING, websocket_origins=self.SERVED) == CLOSED_1000

    @pytest.mark.parametrize("origins", [(), SERVED])
    def test_two(self, serve: Serve, origins: tuple[str, ...]) -> None:
        """RFC 6454, 7.3: never more than one."""
        request = opening(b"Origin: https://a.example", b"Origin: https://evil.example")
        assert unseen(serve, request, websocket_origins=origins) == ORIGINS


class TestExtensions:
    """RFC 6455, 9.1, "Negotiating Extensions"."""

    @pytest.mark.parametrize(
        "value",
        [
            b"a b", b";", b"a;", b"a; =1", b"a; b=", b'a; b="', b'a; b=""', b'a; b="c', b"a; b c",
            b"\xff", b"a; b=\xff", b'a; b="c d"', b"a; b=c=d", b"(a)",
        ],
    )  # fmt: skip
    def test_malformed(self, serve: Serve, value: bytes) -> None:
        """An invalid list of extensions gets 400."""
        assert unseen(serve, opening(b"Sec-WebSocket-Extensions: " + value)) == NO_EXTENSIONS

    @pytest.mark.parametrize(
        "value", [b"", b",", b"x-unknown", b"a; b", b"a;b=c , d", b'a; b="c"', b"a; b; b=1; B=2"]
    )
    def test_unknown(self, serve: Serve, value: bytes) -> None:
        """9.1: what the server does not know it declines by silence."""
        assert answer(serve, opening(b"Sec-WebSocket-Extensions: " + value)) == CLOSED_1000

    @pytest.mark.parametrize(
        "parameters",
        [
            b"; server_max_window_bits=16", b"; server_max_window_bits=7", b"; x",
            b"; server_max_window_bits", b"; server_max_window_bits=x",
            b"; server_no_context_takeover=1", b"; client_no_context_takeover=1",
            b"; client_max_window_bits=16", b"; client_max_window_bits; client_max_window_bits",
            b"; server_max_window_bits=10; server_max_window_bits=10",
        ],
    )  # fmt: skip
    def test_invalid_deflate(self, serve: Serve, parameters: bytes) -> None:
        """RFC 7692, 7.1: such an offer is declined, the handshake succeeds."""
        line = b"Sec-WebSocket-Extensions: permessage-deflate" + parameters
        assert answer(serve, opening(line)) == CLOSED_1000


class TestSubprotocolAnswer:
    """RFC 6455, 4.2.2, 5.6."""

    def test_line(self, serve: Serve) -> None:
        """The subprotocol that the application has chosen, and it alone."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(opening(b"Sec-WebSocket-Protocol: a, b"))
        memory.loop.run_until_complete(script.send({**ACCEPTS, "subprotocol": "b"}))
        assert wire.take() == switched(b"Sec-WebSocket-Protocol: b")

    def test_scope_is_the_applications(self, serve: Serve) -> None:
        """C18: what is offered does not change with the scope."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(opening(b"Sec-WebSocket-Protocol: a, b"))
        script.scope["subprotocols"].clear()
        memory.loop.run_until_complete(script.send({**ACCEPTS, "subprotocol": "b"}))
        assert wire.take() == switched(b"Sec-WebSocket-Protocol: b")
