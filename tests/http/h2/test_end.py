"""The end of an HTTP/2 connection, and its timeouts (RFC 9113, 5.4, 6.8, 9.1)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.interfaces import INegotiated, ISSLTransport
from zope.interface import implementer

from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from tests.support.applications import Script, body, start
from tests.support.h2_blocks import GET, asking
from tests.support.h2_codes import CALM, NO_ERROR, PROTOCOL, REFUSED, SETTINGS_TIMEOUT
from tests.support.h2_frames import PREFACE, data, goaway, ping, raw, settings
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory, Wire
from tests.support.peers import answer_at_once, never_answer, respond

Serve = Callable[..., Memory]


def answers(memory: Memory, script: Script, octets: bytes = b"done") -> None:
    run = memory.loop.run_until_complete
    run(script.send(start()))
    run(script.send(body(octets)))
    memory.settle()


class TestStop:
    """The server stops: nothing new, and what is in flight is finished."""

    def test_idle(self, serve: Serve) -> None:
        """An idle connection is closed at once, with GOAWAY."""
        peer = H2Peer(serve(answer_at_once))
        peer.asks()
        peer.wire.protocol.upgraded_to.close_when_idle()
        peer.read()
        assert (peer.gone, peer.wire.closing) == ([(NO_ERROR, 1)], True)

    def test_in_flight(self, serve: Serve) -> None:
        """The last stream is named, answered whole, and then the connection closes."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks()
        peer.wire.protocol.upgraded_to.close_when_idle()
        peer.read()
        assert (peer.gone, peer.wire.closing) == ([(NO_ERROR, 1)], False)
        refused = peer.asks()
        assert peer.answer(refused).reset == REFUSED
        answers(memory, script)
        peer.read()
        assert (peer.answer(1).body, peer.answer(1).ended, peer.wire.closing) == (
            b"done",
            True,
            True,
        )
        assert len(peer.gone) == 1

    def test_waited_long_enough(self, serve: Serve) -> None:
        """Then the applications are told, and may still answer."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"a", ends=False)
        peer.wire.protocol.upgraded_to.close_when_idle()
        peer.wire.protocol.upgraded_to.disconnect_application()
        run = memory.loop.run_until_complete
        assert run(script.receive())["body"] == b"a"
        assert run(script.receive())["type"] == "http.disconnect"
        answers(memory, script)
        peer.read()
        assert peer.answer(1).body == b"done"


class TestIdle:
    """Every wait of a connection has a timeout."""

    def test_keep_alive(self, serve: Serve) -> None:
        """`--keep-alive-timeout`: an idle connection goes with NO_ERROR; pings do not keep it."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        peer.asks()
        for _ in range(5):
            memory.passes(10)
            peer.sends(ping())
        assert peer.gone == []
        memory.passes(11)
        peer.read()
        assert (peer.gone, peer.wire.half_closed) == ([(NO_ERROR, 1)], True)
        memory.passes(3)  # for the peer to close its side
        assert peer.wire.lost

    def test_another_request_in_time(self, serve: Serve) -> None:
        """Each request begins the wait anew; one that runs is waited for."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        memory.passes(50)
        peer.asks()
        for _ in range(4):
            memory.passes(25)
            peer.sends(ping())
        assert peer.gone == []
        answers(memory, script)
        memory.passes(50)
        peer.read()
        assert peer.gone == []
        memory.passes(11)
        peer.read()
        assert peer.gone == [(NO_ERROR, 1)]

    def test_never_settled(self, serve: Serve) -> None:
        """S35: a peer has `--header-timeout` to send its preface and settings."""
        for prior in (PREFACE, PREFACE + settings()[:8]):
            memory = serve(answer_at_once)
            wire = memory.connect().sends(prior)
            memory.passes(9)
            assert not wire.closing
            memory.passes(2)
            assert wire.written.endswith(goaway(SETTINGS_TIMEOUT))
            assert wire.closing

    def test_slow_preface(self, serve: Serve) -> None:
        """The same for each octet of the preface at its time."""
        memory = serve(answer_at_once, http="2")
        wire = memory.connect()
        for octet in PREFACE[:10]:
            wire.sends(bytes((octet,)))
            memory.passes(1)
        memory.passes(1)
        assert wire.closing

    def test_slow_head(self, serve: Serve) -> None:
        """S35: a field section that has begun has `--header-timeout`, whatever comes of it."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks()
        peer.sends(raw(1, 1, 3, b""))
        for _ in range(10):
            memory.passes(1)
            peer.sends(raw(9, 0, 3, b""))
        memory.passes(1)
        peer.read()
        assert peer.gone == [(CALM, 1)]
        assert peer.wire.closing

    def test_slow_frame(self, serve: Serve) -> None:
        """S35: and so has any other frame; one of a body has the body's least rate."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        octets = data(1, b"x" * 16384)
        for at in range(0, 12000, 600):
            peer.sends(octets[at : at + 600])
            memory.passes(1)
        assert peer.gone == []
        peer = H2Peer(memory)
        peer.sends(ping()[:12])
        memory.passes(11)
        peer.read()
        assert peer.gone == [(CALM, 0)]

    def test_max_requests(self, serve: Serve) -> None:
        """`--max-requests-per-connection`: the last one is answered, and the connection goes."""
        peer = H2Peer(serve(answer_at_once, max_requests_per_connection=2))
        peer.asks()
        assert peer.gone == []
        peer.asks()
        assert (peer.gone, peer.answer(3).status, peer.wire.closing) == ([(NO_ERROR, 3)], 200, True)
        kinds = [type(frame).__name__ for frame in peer.frames]
        assert kinds.index("GoAwayFrame") == len(kinds) - 1

    def test_max_requests_under_way(self, serve: Serve) -> None:
        """All under way are answered before GOAWAY: some clients read nothing behind it."""
        script = Script()
        memory = serve(script, max_requests_per_connection=2)
        peer = H2Peer(memory)
        run = memory.loop.run_until_complete
        sends = []
        for _ in range(4):
            peer.asks()
            sends.append(script.send)
        for number, send in enumerate(sends):
            peer.read()
            assert (peer.gone, peer.wire.closing) == ([], False)
            run(send(start()))
            run(send(body(b"%d" % number)))
        memory.settle()
        peer.read()
        assert [peer.answer(number).body for number in (1, 3, 5, 7)] == [b"0", b"1", b"2", b"3"]
        assert (peer.gone, peer.wire.closing) == ([(NO_ERROR, 7)], True)

    def test_max_requests_never_idle(self, serve: Serve) -> None:
        """With `--h2-max-streams` more requests GOAWAY comes, whatever is under way."""
        script = Script()
        memory = serve(script, max_requests_per_connection=2, h2_max_streams=3)
        peer = H2Peer(memory)
        run = memory.loop.run_until_complete
        peer.asks()
        first = script.send
        for number in (3, 5, 7, 9):
            assert peer.gone == []
            assert peer.asks() == number
            run(script.send(start()))
            run(script.send(body()))
            memory.settle()
            peer.read()
            assert peer.answer(number).ended
        assert (peer.gone, peer.wire.closing) == ([(NO_ERROR, 9)], False)
        assert peer.answer(peer.asks()).reset == REFUSED
        run(first(start()))
        run(first(body(b"first")))
        memory.settle()
        peer.read()
        assert (peer.answer(1).body, peer.wire.closing) == (b"first", True)

    @pytest.mark.parametrize("octets", [b"", b"x" * 100_000])
    def test_request_on_its_way(self, serve: Serve, octets: bytes) -> None:
        """6.8: what arrives behind GOAWAY is read, so that TCP does not reset the connection."""
        memory = serve(answer_at_once, max_requests_per_connection=1)
        peer = H2Peer(memory)
        peer.asks()
        assert (peer.gone, peer.wire.half_closed, peer.wire.lost) == ([(NO_ERROR, 1)], True, False)
        peer.wire.sends(peer.head(3, asking()) + octets)
        memory.passes(1)
        assert (peer.wire.lost, peer.wire.aborted) == (False, False)
        peer.wire.fin()
        assert (peer.wire.lost, peer.wire.aborted) == (True, False)

    def test_upload_answered_early(self, serve: Serve) -> None:
        """The rest of a body is read before the connection of its last request is closed."""
        memory = serve(answer_at_once, max_requests_per_connection=1)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"x", ends=False)
        assert (peer.answer(number).status, peer.answer(number).ended) == (200, True)
        for _ in range(100):
            peer.sends(data(number, b"x" * 16384))
            assert (peer.gone, peer.wire.closing) == ([], False)
        peer.sends(data(number, b"", ends=True))
        assert (peer.gone, peer.wire.half_closed) == ([(NO_ERROR, 1)], True)

    def test_upload_answered_early_goes_on(self, serve: Serve) -> None:
        """S35: but not for ever: for `--keep-alive-timeout` and half a minute."""
        memory = serve(answer_at_once, max_requests_per_connection=1, keep_alive_timeout=5)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"x", ends=False)
        for _ in range(40):
            memory.passes(0.8)
            peer.sends(data(number, b"x"))
            assert not peer.wire.closing
        for _ in range(10):
            memory.passes(0.8)
            peer.wire.sends(data(number, b"x"))
        peer.read()
        assert peer.wire.half_closed
        memory.passes(3)
        assert peer.wire.lost
        assert peer.gone == [(NO_ERROR, 1)]

    def test_max_connections(self, serve: Serve) -> None:
        """`--max-connections`: one too many is told that nothing was looked at."""
        memory = serve(answer_at_once, max_connections=1, http="2")
        H2Peer(memory)
        peer = H2Peer(memory)
        assert (peer.gone, peer.wire.closing) == ([(NO_ERROR, 0)], True)


class TestPing:
    """`--h2-ping-interval`: a peer that is silent while it waits for us may be gone."""

    def test_answered(self, serve: Serve) -> None:
        """After half a minute of silence it is asked; its answer is enough for the next one."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks()
        memory.passes(31)
        peer.read()
        assert peer.pings == []
        for count in range(1, 4):
            memory.passes(31)
            peer.read()
            assert len(peer.pings) == count
            peer.sends(ping(peer.pings[-1], ack=True))
            memory.passes(31)
        assert not peer.wire.closing

    def test_not_answered(self, serve: Serve, caplog: Any) -> None:
        """Without one in `--ping-timeout` the connection is cut, with one line."""
        caplog.set_level("INFO", "daphne_like.http")
        script = Script()
        memory = serve(script, ping_timeout=10)
        peer = H2Peer(memory)
        peer.asks()
        memory.passes(31)
        memory.passes(31)
        peer.read()
        assert len(peer.pings) == 1
        memory.passes(9)
        assert not peer.wire.lost
        memory.passes(2)
        assert peer.wire.lost
        assert memory.loop.run_until_complete(script.receive())["type"] == "http.disconnect"
        assert len(caplog.records) == 1

    def test_anything_is_an_answer(self, serve: Serve) -> None:
        """A peer that sends anything is alive."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks()
        memory.passes(31)
        memory.passes(31)
        peer.asks()
        memory.passes(31)
        assert not peer.wire.lost

    @pytest.mark.parametrize(
        ("application", "settings"),
        [(answer_at_once, {"keep_alive_timeout": 1000}), (never_answer, {"h2_ping_interval": 0})],
        ids=["idle", "interval 0"],
    )
    def test_nobody_is_asked(self, serve: Serve, application: Any, settings: Any) -> None:
        """An idle connection is not asked; with 0, none is."""
        memory = serve(application, **settings)
        peer = H2Peer(memory)
        peer.asks()
        for _ in range(5):
            memory.passes(40)
        peer.read()
        assert (peer.pings, peer.wire.lost) == ([], False)


class TestPeerGoes:
    """GOAWAY and FIN of the peer."""

    def test_goaway(self, serve: Serve) -> None:
        """6.8: what is under way is answered, and then the connection closes."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks()
        peer.sends(goaway())
        assert not peer.wire.closing
        answers(memory, script)
        peer.read()
        assert (peer.answer(1).body, peer.answer(1).ended, peer.wire.closing) == (
            b"done",
            True,
            True,
        )

    def test_goaway_when_idle(self, serve: Serve) -> None:
        """6.8: an idle connection closes at once."""
        assert H2Peer(serve(never_answer)).sends(goaway()).wire.closing

    def test_fin(self, serve: Serve) -> None:
        """A half-closed peer has the answers it waits for; what it has not finished is lost."""
        script, memory = Script(), None
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"a", ends=False)
        lost = script.receive
        peer.asks()
        peer.wire.fin()
        run = memory.loop.run_until_complete
        assert run(lost())["type"] == "http.disconnect"
        answers(memory, script)
        peer.read()
        assert (peer.answer(3).body, peer.wire.lost) == (b"done", True)
        assert peer.answer(1).status is None

    def test_fin_within_an_unread_body(self, serve: Serve) -> None:
        """The rest of a body that nobody reads does not come any more: nothing waits for it."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"a", ends=False)
        assert peer.answer(number).ended
        peer.wire.fin()
        assert peer.wire.lost

    @pytest.mark.parametrize("values", [{4: 0}, {4: 2}, {4: 1 << 20}])
    def test_fin_without_room(self, serve: Serve, values: dict[int, int]) -> None:
        """Nor is anybody kept waiting for a window that nobody can open any more."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, values)
        peer.asks()
        run = memory.loop.run_until_complete
        run(script.send(start()))
        sent = memory.loop.create_task(script.send(body(b"x" * 100_000)))
        memory.settle()
        assert not sent.done()
        peer.wire.fin()
        assert sent.done()
        assert peer.wire.closing
        assert run(script.receive())["type"] == "http.disconnect"

    def test_fin_when_idle(self, serve: Serve) -> None:
        """Nothing is owed: it closes."""
        peer = H2Peer(serve(never_answer))
        peer.wire.fin()
        assert peer.wire.lost

    def test_vanishes(self, serve: Serve) -> None:
        """A lost connection ends all of its streams and leaves nothing in memory."""
        scripts: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scripts.append(await receive())
            scripts.append(await receive())

        memory = serve(application)
        peer = H2Peer(memory, {4: 0})
        for _ in range(5):
            peer.asks()
        protocol = weakref.ref(peer.wire.protocol.upgraded_to)
        peer.wire.vanishes()
        peer.wire.protocol = peer.wire.producer = None
        memory.settle()
        assert [event["type"] for event in scripts].count("http.disconnect") == 5
        assert not memory.server.connections
        assert not memory.server.instances
        gc.collect()
        assert protocol() is None

    def test_lingers(self, serve: Serve) -> None:
        """5.4.1: after an error the peer can read why, though it still sends; not for long."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.sends(data(7, b""))
        assert (peer.wire.half_closed, peer.wire.lost) == (True, False)
        peer.wire.sends(b"x" * 100_000)
        assert not peer.wire.lost
        memory.passes(3)
        assert peer.wire.lost or peer.wire.closing
        assert peer.wire.protocol.upgraded_to is None

    def test_lingers_for_so_much(self, serve: Serve) -> None:
        """And not for more than a MiB."""
        peer = H2Peer(serve(never_answer))
        peer.sends(data(7, b""))
        for _ in range(17):
            peer.wire.protocol.dataReceived(b"x" * 65536)
        assert peer.wire.aborted

    def test_fin_while_lingering(self, serve: Serve) -> None:
        """Its FIN ends it."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.sends(data(7, b""))
        peer.wire.fin()
        assert peer.wire.lost


class TestStopUnderAttack:
    """A stop goes on whatever a peer has prepared for it."""

    def test_budget_that_ends_in_the_stop(self, serve: Serve, caplog: Any) -> None:
        """Sockets in their handshake, no window for their refusals, and no frame left to pay."""
        memory = serve(never_answer)
        peer = H2Peer(memory, {4: 0})
        other = H2Peer(memory)
        for _ in range(3):
            number, peer.next = peer.next, peer.next + 2
            section = [
                (b":method", b"CONNECT"),
                (b":protocol", b"websocket"),
                *GET[1:],
                (b"sec-websocket-version", b"13"),
            ]
            peer.sends(peer.head(number, section, ends=False))
        connection = peer.wire.protocol.upgraded_to
        assert len(connection.streams) == 3
        connection.budget.left = 0.5
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        peer.read()
        assert peer.gone
        assert peer.wire.closing
        assert not connection.streams
        assert not other.wire.aborted


class TestNothingStays:
    """The objects of a request are freed with its response, without the garbage collector."""

    @pytest.mark.parametrize("method", [b"GET", b"POST"])
    def test_no_cycle(self, serve: Serve, method: bytes) -> None:
        """Neither exchange nor stream."""
        gone: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while (await receive()).get("more_body"):
                pass
            await respond(send, b"abc")

        memory = serve(application)
        peer = H2Peer(memory)
        gc.collect()
        gc.disable()
        try:
            number = peer.asks(method, body=None if method == b"GET" else b"abc", ends=False)
            exchange = peer.wire.protocol.upgraded_to.streams[number].exchange
            gone += [weakref.ref(exchange), weakref.ref(exchange.carrier)]
            del exchange
            peer.sends(data(number, b"", ends=True))
            assert [one() for one in gone] == [None, None]
        finally:
            gc.enable()


@implementer(ISSLTransport, INegotiated)
class SecureWire(Wire):
    """A connection whose TLS has settled on a protocol before it is made, as with our own TLS."""

    negotiatedProtocol: bytes | None = None
    nextProtocol = negotiatedProtocol


def secure(memory: Memory, negotiated: bytes | None) -> Wire:
    """A connection of which ALPN has settled on this protocol."""
    kind = type("Negotiated", (SecureWire,), {"negotiatedProtocol": negotiated})
    wire: Wire = kind(memory)
    return wire


class TestNegotiated:
    """RFC 9113, 3.2; RFC 7301: what ALPN has settled on is what is spoken."""

    REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    def test_settings_at_once(self, serve: Serve) -> None:
        """3.4: h2: the server's SETTINGS do not wait for the client's preface."""
        memory = serve(answer_at_once)
        wire = secure(memory, b"h2")
        memory.settle()
        assert wire.written[3:4] == b"\4"
        number = len(wire.written)
        wire.sends(PREFACE[:7], PREFACE[7:] + settings(), ping())
        assert wire.written[number:].endswith(ping(ack=True))

    @pytest.mark.parametrize(
        "first", [REQUEST, b"\r\n" + REQUEST, b"G", b"PRI * HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
    )
    def test_no_preface(self, serve: Serve, first: bytes) -> None:
        """3.4: h2 without its preface: SETTINGS and GOAWAY, never an HTTP/1.1 response."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)

        memory = serve(application)
        # Another connection's first request had the same fields.
        memory.connect().sends(self.REQUEST)
        assert len(scopes) == 1
        wire = secure(memory, b"h2").sends(first)
        assert wire.written[3:4] == b"\4"
        assert wire.written.endswith(goaway(PROTOCOL))
        assert b"HTTP" not in wire.written
        assert wire.closing
        assert len(scopes) == 1

    def test_silence(self, serve: Serve) -> None:
        """S35: h2 and no preface at all: `--header-timeout`, with a GOAWAY."""
        memory = serve(answer_at_once)
        wire = secure(memory, b"h2")
        memory.passes(11)
        assert wire.written.endswith(goaway(SETTINGS_TIMEOUT))
        assert wire.closing

    def test_preface_on_http_1(self, serve: Serve) -> None:
        """http/1.1: HTTP/2's preface is no request."""
        wire = secure(serve(answer_at_once), b"http/1.1").sends(PREFACE + settings())
        assert wire.written.startswith(b"HTTP/1.1 400 ")
        assert b"\0\0" not in wire.written
        assert wire.closing

    @pytest.mark.parametrize("negotiated", [b"http/1.1", None])
    def test_http_1(self, serve: Serve, negotiated: bytes | None) -> None:
        """http/1.1, or a client without ALPN: HTTP/1.1 is served."""
        wire = secure(serve(answer_at_once), negotiated).sends(self.REQUEST)
        assert wire.written.startswith(b"HTTP/1.1 200 ")

    def test_prior_knowledge(self, serve: Serve) -> None:
        """3.3: a client without ALPN may know that the server speaks HTTP/2."""
        wire = secure(serve(answer_at_once), None).sends(PREFACE + settings(), ping())
        assert wire.written.endswith(ping(ack=True))

    def test_too_many_connections(self, serve: Serve) -> None:
        """`--max-connections`: one too many is told in its own protocol."""
        memory = serve(answer_at_once, max_connections=1)
        secure(memory, b"h2")
        wires = [secure(memory, b"h2"), secure(memory, b"http/1.1")]
        memory.settle()
        assert wires[0].written.endswith(goaway(NO_ERROR))
        assert b"HTTP" not in wires[0].written
        assert wires[1].written.startswith(b"HTTP/1.1 503 ")
        assert all(wire.closing for wire in wires)

    def test_transport_that_tells_late(self, serve: Serve) -> None:
        """A wrapper around somebody else's TLS may not tell of the handshake: 400, and no scope."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)

        memory = serve(application)
        wire = secure(memory, None)
        wire.negotiatedProtocol = b"h2"  # type: ignore[attr-defined]
        wire.sends(self.REQUEST)
        assert wire.written.startswith(b"HTTP/1.1 400 ")
        assert scopes == []
