"""Names of Daphne's Server that its users call, override or read (docs/howto/from-daphne.rst)."""

from __future__ import annotations

import asyncio
import datetime
import io
import re
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.python.failure import Failure

from daphne_like.exceptions import ApplicationError, ConfigurationError
from daphne_like.observe.access import AccessLogGenerator
from daphne_like.options import Options
from daphne_like.server import Server
from tests.support.memory import Memory
from tests.support.peers import Recorder, get, read_answers
from tests.support.websocket_frames import opening

Serve = Callable[..., Memory]

# Keyword of the constructor, a value, and what the attribute of this name is then.
SETTINGS: list[tuple[str, Any]] = [
    ("http_timeout", 3),
    ("request_buffer_size", 8192),
    ("websocket_timeout", 9),
    ("websocket_connect_timeout", 9),
    ("ping_interval", 9),
    ("ping_timeout", 9),
    ("root_path", "/a"),
    ("proxy_forwarded_address_header", "X-Forwarded-For"),
    ("proxy_forwarded_port_header", "X-Forwarded-Port"),
    ("proxy_forwarded_proto_header", "X-Forwarded-Proto"),
    ("verbosity", 2),
    ("websocket_handshake_timeout", 9),
    ("websocket_max_message_size", 9),
    ("websocket_max_frame_size", 9),
    ("application_close_timeout", 9),
    ("server_name", "x"),
]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers nothing."""


async def stays(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(3600)


# Keywords with Daphne's values for "no limit".
NO_LIMIT = [
    ("http_timeout", 0),
    ("websocket_timeout", -1),
    ("websocket_connect_timeout", -1),
    ("websocket_handshake_timeout", -1),
    ("websocket_handshake_timeout", 0),
    ("ping_interval", 0),
    ("ping_timeout", 0),
    ("websocket_max_message_size", 0),
    ("websocket_max_frame_size", 0),
]


class TestConstructor:
    """Daphne's arguments by their names."""

    @pytest.mark.parametrize(("name", "value"), SETTINGS)
    def test_setting(self, name: str, value: Any) -> None:
        """Each is taken, and is an attribute."""
        server = Server(application, endpoints=["tcp:0"], **{name: value})
        assert getattr(server, name) == value

    @pytest.mark.parametrize(("name", "value"), NO_LIMIT)
    def test_no_limit(self, name: str, value: int) -> None:
        """-1 and 0 where there may be no limit: None, in the attribute too."""
        server = Server(application, endpoints=["tcp:0"], **{name: value})
        assert getattr(server, name, 1) is None
        assert getattr(server.options, name) is None

    @pytest.mark.parametrize(("name", "value"), [("websocket_timeout", -1), ("ping_timeout", 0)])
    def test_options_are_strict(self, name: str, value: int) -> None:
        """`options` is ours: there None alone means no limit."""
        with pytest.raises(ConfigurationError, match="expected more than 0"):
            Options(**{name: value})

    @pytest.mark.parametrize(
        "name",
        [name for name, _ in SETTINGS if name.endswith("timeout") or name == "ping_interval"],
    )
    def test_fraction(self, name: str) -> None:
        """Daphne takes fractions of seconds in its constructor."""
        assert getattr(Server(application, endpoints=["tcp:0"], **{name: 0.5}), name) == 0.5

    def test_time_of_a_fraction(self, serve: Serve) -> None:
        """And they are heeded."""
        memory = serve(stays, http_timeout=0.6)
        wire = memory.connect().sends(get())
        memory.passes(0.5)
        assert wire.written == b""
        memory.passes(0.6)
        assert read_answers(wire.written)[0].status == 503

    def test_others(self) -> None:
        """What is no option."""
        server = Server(
            application, endpoints=["tcp:0"], signal_handlers=False,
            action_logger=print, ready_callable=print,
        )  # fmt: skip
        assert (server.signal_handlers, server.action_logger, server.ready_callable) == (
            False, print, print,
        )  # fmt: skip
        assert server.application is application
        assert (server.listeners, server.listening_addresses, server.abort_start) == ([], [], False)
        assert server.http_factory
        assert server.ws_factory

    def test_no_endpoints(self) -> None:
        """Daphne ends the process; here it is an exception, with a sentence."""
        with pytest.raises(ConfigurationError, match="No endpoints"):
            Server(application).run()


class TestNames:
    """Methods that subclasses override, or call."""

    def test_protocols(self, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
        """protocol_connected and protocol_disconnected are told of each connection once."""
        told: list[str] = []

        def tell(name: str) -> None:
            real = getattr(Server, name)
            monkeypatch.setattr(
                Server, name, lambda self, protocol: told.append(name) or real(self, protocol)
            )

        tell("protocol_connected")
        tell("protocol_disconnected")
        wire = serve(Recorder()).connect().sends(get())
        assert told == ["protocol_connected"]
        wire.vanishes()
        assert told == ["protocol_connected", "protocol_disconnected"]

    def test_create_application_and_handle_reply(
        self, monkeypatch: pytest.MonkeyPatch, serve: Serve
    ) -> None:
        """Each instance is made by the one, in a queue of asyncio's, and answers by the other."""
        queues: list[Any] = []
        messages: list[str] = []
        create, handle = Server.create_application, Server.handle_reply

        def created(self: Any, protocol: Any, scope: Any, *more: Any) -> Any:
            queues.append(create(self, protocol, scope, *more))
            return queues[-1]

        async def handled(self: Any, protocol: Any, message: Any) -> None:
            messages.append(message["type"])
            await handle(self, protocol, message)

        monkeypatch.setattr(Server, "create_application", created)
        monkeypatch.setattr(Server, "handle_reply", handled)
        wire = serve(Recorder()).connect().sends(get())
        assert read_answers(wire.written)[0].status == 200
        assert [isinstance(queue, asyncio.Queue) for queue in queues] == [True]
        assert messages == ["http.response.start", "http.response.body"]

    def test_listen_error(self) -> None:
        """A port that cannot be had ends the start with status 1."""
        server = Server(application, endpoints=["tcp:0"])
        server.listen_error(Failure(ConfigurationError("Cannot listen on tcp:1: taken")))
        assert (server.abort_start, server.exit_status) == (True, 1)

    def test_kill_all_applications(self, serve: Serve) -> None:
        """Every instance is cancelled; what is returned fires when the last has ended."""
        memory = serve(stays)
        wires = [memory.connect().sends(get()) for _ in range(3)]
        fired: list[Any] = []
        memory.server.kill_all_applications().addCallback(fired.append)
        assert not fired
        memory.settle()
        assert fired == [None]
        assert not memory.server.instances
        assert [read_answers(wire.written)[0].status for wire in wires] == [500] * 3

    def test_kill_no_applications(self, serve: Serve) -> None:
        """None is no reason to wait."""
        memory = serve(stays)
        fired: list[Any] = []
        memory.server.kill_all_applications().addCallback(fired.append)
        memory.settle()
        assert fired == [None]

    @pytest.mark.parametrize("headers", [[("a", b"b")], [(b"a", "b")], [(b"a", 1)]])
    def test_check_headers_type(self, headers: Any) -> None:
        """Text in the place of octets is a ValueError, as under Daphne."""
        message = {"type": "http.response.start", "headers": headers}
        with pytest.raises(ValueError, match=r"expected bytes as (name|value) of header 0"):
            Server.check_headers_type(message)

    def test_check_headers_type_of_good_ones(self) -> None:
        """Octets, and no headers at all."""
        Server.check_headers_type({"type": "http.response.start", "headers": [(b"a", b"b")]})
        Server.check_headers_type({"type": "http.response.start"})

    def test_a_wrong_message_is_a_value_error(self) -> None:
        """Applications that catch what Daphne raises at `await send(...)`."""
        assert issubclass(ApplicationError, ValueError)


class TestReadyCallable:
    """Daphne calls `ready_callable` without arguments; here it may take the server."""

    @pytest.mark.parametrize(
        ("of", "takes_server"),
        [
            (lambda seen: lambda server: seen.append((server,)), True),
            (lambda seen: lambda *given: seen.append(given), True),
            (lambda seen: lambda server=None: seen.append((server,)), True),
            (lambda seen: partial(lambda text, server: seen.append((server,)), "ready"), True),
            (lambda seen: Bound(seen).with_server, True),
            (lambda seen: CalledBack(seen), True),
            (lambda seen: lambda: seen.append(()), False),
            (lambda seen: lambda port=8000: seen.append(() if port == 8000 else (port,)), False),
            (lambda seen: partial(lambda text: seen.append(()), "ready"), False),
            (lambda seen: partial(lambda text: seen.append(()), text="ready"), False),
            (lambda seen: Bound(seen).without, False),
        ],
    )
    def test_called(self, serve: Serve, of: Any, takes_server: bool) -> None:
        """With the server where it takes an argument, else with none."""
        seen: list[Any] = []
        server = serve(application, ready_callable=of(seen)).server
        server.accept()
        assert seen == [(server,) if takes_server else ()]

    @pytest.mark.parametrize("event", [threading.Event, asyncio.Event])
    def test_event(self, serve: Serve, event: Any) -> None:
        """`Event().set`, which many programs give."""
        told = event()
        serve(application, ready_callable=told.set).server.accept()
        assert told.is_set()

    def test_builtin(self, serve: Serve) -> None:
        """A method written in C gets the server."""
        seen: list[Any] = []
        server = serve(application, ready_callable=seen.append).server
        server.accept()
        assert seen == [server]


class Bound:
    """Methods as `ready_callable`."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def with_server(self, server: Any) -> None:
        self.seen.append((server,))

    def without(self) -> None:
        self.seen.append(())


class CalledBack(Bound):
    """An object with `__call__`."""

    def __call__(self, server: Any) -> None:
        self.seen.append((server,))


class TestScope:
    """H12: `client` is a list [host, port] in every scope."""

    @pytest.mark.parametrize("request_", [get(), opening()], ids=["http", "websocket"])
    @pytest.mark.parametrize("proxied", [False, True])
    def test_client(self, serve: Serve, request_: bytes, proxied: bool) -> None:
        """HTTP and WebSocket, and behind a proxy."""
        scopes: list[Any] = []

        async def keeps(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)

        if proxied:
            request_ = request_.replace(b"\r\n", b"\r\nX-Forwarded-For: 192.0.2.9\r\n", 1)
            memory = serve(keeps, proxy_headers=True, trusted_proxies="*")
            expected = ["192.0.2.9", 0]
        else:
            memory = serve(keeps)
            expected = ["192.0.2.1", 50000]
        memory.connect().sends(request_)
        assert [type(scope["client"]) for scope in scopes] == [list]
        assert [scope["client"] for scope in scopes] == [expected]


class TestActions:
    """The action logger's protocol."""

    def test_http(self, serve: Serve) -> None:
        """("http", "complete", details) with Daphne's keys."""
        seen: list[Any] = []
        memory = serve(Recorder(), action_logger=lambda *entry: seen.append(entry))
        memory.connect().sends(get(b"/a?b=c"))
        ((protocol, action, details),) = seen
        assert (protocol, action) == ("http", "complete")
        assert isinstance(details.pop("time_taken"), float)
        assert details == {
            "path": "/a?b=c",
            "status": 200,
            "method": "GET",
            "client": "192.0.2.1:50000",
            "size": 2,
        }

    def test_generator(self) -> None:
        """AccessLogGenerator writes NCSA lines to its stream, by `write_entry`."""
        stream = io.StringIO()
        log = AccessLogGenerator(stream)
        details = {"path": "/a", "status": 200, "method": "GET", "client": "1.2.3.4:5", "size": 13}
        log("http", "complete", details)
        log("websocket", "connected", {"path": "/ws", "client": None})
        first, second = stream.getvalue().splitlines()
        date = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]"
        assert re.fullmatch(rf'1\.2\.3\.4:5 - - {date} "GET /a" 200 13', first)
        assert re.fullmatch(rf'- - - {date} "WSCONNECT /ws" - -', second)

    def test_write_entry(self) -> None:
        """The method that people override or call, with Daphne's arguments."""
        stream = io.StringIO()
        AccessLogGenerator(stream).write_entry(
            host="h", date=datetime.datetime(2026, 2, 3, 4, 5, 6), request="GET /", status=404,
            length=0, ident="i", user="u",
        )  # fmt: skip
        assert stream.getvalue() == 'h i u [03/Feb/2026:04:05:06] "GET /" 404 0\n'
