"""The order of answers on one connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.peers import Recorder, answer_at_once, chunked, get, post, read_answers, respond

Serve = Callable[..., Memory]


class Gate:
    """An application that answers when the test says so.

    Attributes:
        started: raw paths, in the order in which the application was run.
        most: applications that ran at the same time.
    """

    def __init__(self) -> None:
        self.started: list[bytes] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.running = 0
        self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.started.append(scope["raw_path"])
        self.running += 1
        self.most = max(self.most, self.running)
        waiting = asyncio.get_running_loop().create_future()
        self.waiting.append(waiting)
        await waiting
        self.running -= 1
        await respond(send, scope["raw_path"])

    def open(self, memory: Memory) -> None:
        """Let the one that waits answer."""
        self.waiting.pop(0).set_result(None)
        memory.settle()


class TestOrder:
    """RFC 9112, 9.3.2; S09, S10."""

    @pytest.mark.parametrize("seed", range(10))
    def test_random_delays(self, serve: Serve, seed: int) -> None:
        """S09: 50 pipelined requests to applications with random delays: order and bodies exact."""
        rng = random.Random(seed)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            for _ in range(rng.choice((0, 0, 1, 5, 20))):
                await asyncio.sleep(0)
            body = b""
            more = True
            while more:
                event = await receive()
                body += event["body"]
                more = event["more_body"]
            await send({"type": "http.response.start", "status": 200})
            for part in (scope["raw_path"], b" ", body):
                await send({"type": "http.response.body", "body": part, "more_body": True})
                await asyncio.sleep(0)
            await send({"type": "http.response.body"})

        octets = b""
        expected = []
        for n in range(50):
            path = b"/%d" % n
            body = bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 100))))
            expected.append(path + b" " + body)
            octets += rng.choice(
                (post(body, path=path), chunked(*[body] * bool(body), path=path))
                if body
                else (get(path), post(b"", path=path), chunked(path=path))
            )
        memory = serve(application)
        wire = memory.connect()
        while octets:
            size = rng.choice((1, 10, 1000, 100_000))
            wire.gets(octets[:size])
            octets = octets[size:]
        for _ in range(100):
            memory.settle()
        assert [answer.body for answer in read_answers(wire.written)] == expected

    def test_instant_and_slow(self, serve: Serve) -> None:
        """S10: instant applications do not overtake slow ones."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["raw_path"].endswith(b"s"):
                for _ in range(10):
                    await asyncio.sleep(0)
            await respond(send, scope["raw_path"])

        paths = [b"/%d%b" % (n, b"s" * (n % 3 == 0)) for n in range(40)]
        memory = serve(application)
        wire = memory.connect().sends(b"".join(map(get, paths)))
        for _ in range(20):
            memory.settle()
        assert [answer.body for answer in read_answers(wire.written)] == paths

    @pytest.mark.parametrize("failing", [0, 3, 20])
    def test_after_a_failure(self, serve: Serve, failing: int) -> None:
        """S10: the answer to a failure closes; what came before is right, nothing comes behind."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["raw_path"] == b"/%d" % failing:
                raise ValueError
            await respond(send, scope["raw_path"])

        wire = serve(application).connect()
        wire.sends(b"".join(get(b"/%d" % n) for n in range(30)))
        answers = read_answers(wire.written)
        assert [answer.status for answer in answers] == [200] * failing + [500]
        assert [answer.body for answer in answers[:-1]] == [b"/%d" % n for n in range(failing)]
        assert answers[-1].closes
        assert wire.half_closed

    def test_after_a_close_of_the_application(self, serve: Serve) -> None:
        """RFC 9112, 9.6: after Connection: close nothing more is answered."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await respond(send, scope["raw_path"], 200, (b"Connection", b"close"))

        wire = serve(application).connect().sends(get(b"/1") + get(b"/2") + get(b"/3"))
        (answer,) = read_answers(wire.written)
        assert (answer.body, answer.closes) == (b"/1", True)
        assert wire.half_closed

    def test_after_a_close_of_the_peer(self, serve: Serve) -> None:
        """RFC 9112, 9.6: what a peer sends behind its own Connection: close is no request."""
        application = Recorder()
        wire = serve(application).connect()
        wire.sends(get(b"/1") + get(b"/2", b"Connection: close") + get(b"/3") + b"\x00garbage")
        answers = read_answers(wire.written)
        assert [answer.body for answer in answers] == [b"/1", b"/2"]
        assert answers[1].closes
        assert wire.lost

    def test_close_among_other_connection_fields(self, serve: Serve) -> None:
        """RFC 9112, 9.3: close counts, in whichever Connection field it stands."""
        for fields in (
            (b"Connection: close", b"Connection: keep-alive"),
            (b"Connection: keep-alive", b"Connection: close"),
            (b"Connection: keep-alive, close",),
        ):
            wire = serve(Recorder()).connect().sends(get(b"/1", *fields) + get(b"/2"))
            (answer,) = read_answers(wire.written)
            assert answer.closes
            assert wire.lost

    def test_one_application_at_a_time(self, serve: Serve) -> None:
        """A connection runs one application instance at a time."""
        gate = Gate()
        memory = serve(gate)
        wire = memory.connect().sends(b"".join(get(b"/%d" % n) for n in range(30)))
        for _ in range(30):
            gate.open(memory)
        assert gate.most == 1
        assert gate.started == [b"/%d" % n for n in range(30)]
        assert len(read_answers(wire.written)) == 30


class TestAhead:
    """At most 16 requests are parsed ahead; then the connection is not read."""

    @pytest.mark.parametrize(("ahead", "paused"), [(15, False), (16, False), (17, True)])
    @pytest.mark.parametrize("together", [True, False])
    def test_bound(self, serve: Serve, ahead: int, paused: bool, together: bool) -> None:
        """With 16 ahead the peer is still read; what comes then is kept and reading pauses."""
        gate = Gate()
        memory = serve(gate)
        requests = [get(b"/%d" % n) for n in range(1 + ahead)]
        wire = memory.connect().gets(*([b"".join(requests)] if together else requests))
        assert len(wire.protocol._pipelined) == min(ahead, 16)
        assert wire.paused == paused

    @pytest.mark.parametrize("together", [True, False])
    def test_reading_resumes(self, serve: Serve, together: bool) -> None:
        """After half of the responses, stored octets are parsed and reading resumes."""
        gate = Gate()
        memory = serve(gate)
        requests = [get(b"/%d" % n) for n in range(20)]
        wire = memory.connect().gets(*([b"".join(requests)] if together else requests))
        for _ in range(8):
            assert wire.paused
            gate.open(memory)
        assert not wire.paused
        assert len(wire.protocol._pipelined) == 11
        wire.gets(get(b"/last"))
        for _ in range(13):
            gate.open(memory)
        assert len(read_answers(wire.written)) == 21
        assert wire.protocol._idle

    def test_kept_with_a_part_of_a_request(self, serve: Serve) -> None:
        """Stored octets may end in a head or in a body; the rest arrives later."""
        for last in (get(b"/last"), post(bytes(100), path=b"/last")):
            for cut in (1, 20, len(last) - 1):
                gate = Gate()
                memory = serve(gate)
                wire = memory.connect()
                wire.gets(b"".join(get(b"/%d" % n) for n in range(17)) + last[:cut])
                assert wire.paused
                for _ in range(17):
                    gate.open(memory)
                wire.gets(last[cut:])
                gate.open(memory)
                assert read_answers(wire.written)[-1].body == b"/last"
                assert len(gate.started) == 18

    def test_kept_garbage(self, serve: Serve) -> None:
        """Stored octets may be invalid; the error response comes in order."""
        gate = Gate()
        memory = serve(gate)
        wire = memory.connect().gets(get() * 18 + b"\x00" * 100)
        for _ in range(18):
            gate.open(memory)
        answers = read_answers(wire.written)
        assert [answer.status for answer in answers] == [200] * 18 + [400]
        assert not wire.paused

    def test_fails_while_more_is_kept(self, serve: Serve) -> None:
        """A failure drops what is ahead and what is kept."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        wire = serve(application).connect().gets(get() * 40)
        assert [answer.status for answer in read_answers(wire.written)] == [500]
        assert not wire.paused
        assert wire.half_closed

    def test_body_of_the_sixteenth(self, serve: Serve) -> None:
        """The body of the last request ahead is kept, too, and comes whole."""
        body = bytes(range(256)) * 100
        application = Recorder()
        gate = Gate()

        async def both(scope: Any, receive: Any, send: Any) -> None:
            await (application if scope["method"] == "POST" else gate)(scope, receive, send)

        for request in (post(body), chunked(body[:20000], body[20000:])):
            memory = serve(both)
            wire = memory.connect().gets(get() * 16 + request[:500], request[500:])
            for _ in range(16):
                gate.open(memory)
            assert application.bodies == [body] * len(application.bodies)
            assert len(read_answers(wire.written)) == 17

    def test_the_next_after_a_discarded_body(self, serve: Serve) -> None:
        """The rest of a body nobody read may end in the same read as the next request begins."""
        for rest in (get(b"/2"), get(b"/2")[:10]):
            wire = serve(answer_at_once).connect().sends(post(b"", path=b"/1", size=10))
            wire.gets(b"0123456789" + rest)
            wire.gets(get(b"/2")[len(rest) :] + get(b"/3"))
            wire.gets(get(b"/4"))
            answers = read_answers(wire.written)
            assert [answer.body for answer in answers] == [b"/1", b"/2", b"/3", b"/4"]
