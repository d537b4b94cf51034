"""Request bodies: collected by twisted.web, and while they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from twisted.web.resource import Resource

from daphne_like.asgi.queue import HIGH_WATER, MAX_EVENTS
from daphne_like.http.lingering import LINGER_SECONDS, MAX_LINGER_SECONDS
from daphne_like.http.request_body import MAX_DISCARDED_BODY
from tests.support.applications import Script, body, start
from tests.support.peers import Recorder, answer_at_once, chunked, get, post, read_answers

Start = Callable[..., Any]
MEGABYTE = bytes(range(256)) * 4096


def head(size: int, *fields: bytes) -> bytes:
    return post(b"", *fields, path=b"/app", size=size)


def received(memory: Any, script: Script) -> Any:
    return memory.loop.run_until_complete(asyncio.wait_for(script.receive(), 10))


def answer(memory: Any, script: Script) -> None:
    for message in (start(), body(b"done")):
        memory.loop.run_until_complete(script.send(message))


class TestWhole:
    """ASGI HTTP, "Request - receive event"; the same with both kinds of request."""

    @pytest.mark.parametrize("octets", [b"", b"abc", MEGABYTE])
    def test_length(self, tree: Start, octets: bytes) -> None:
        """H17."""
        recorder = Recorder()
        wire = tree(recorder).connect().sends(post(octets, path=b"/app"))
        assert (recorder.bodies, recorder.ends) == ([octets], ["http.request"])
        assert read_answers(wire.take())[0].body == b"/app"

    def test_chunked(self, tree: Start) -> None:
        """H18."""
        recorder = Recorder()
        memory = tree(recorder)
        memory.connect().sends(chunked(b"ab", MEGABYTE, b"c", path=b"/app"), get(b"/app"))
        assert recorder.bodies == [b"ab" + MEGABYTE + b"c", b""]

    def test_octet_by_octet(self, tree: Start) -> None:
        """However it is cut."""
        recorder = Recorder()
        wire = tree(recorder).connect()
        for octet in chunked(b"hello", b"you", path=b"/app") + get(b"/app"):
            wire.sends(bytes((octet,)))
        assert recorder.bodies == [b"helloyou", b""]
        assert len(read_answers(wire.take())) == 2

    def test_form(self, tree: Start) -> None:
        """What twisted.web parses on its way is there for the application all the same."""
        recorder = Recorder()
        form = b"Content-Type: application/x-www-form-urlencoded"
        tree(recorder).connect().sends(post(b"a=1", form, path=b"/app"))
        assert recorder.bodies == [b"a=1"]

    def test_bounded_events(self, tree: Start) -> None:
        """K4: what is not read is not in memory."""
        script = Script()
        memory = tree(script)
        memory.connect().sends(post(MEGABYTE, path=b"/app"))
        (exchange,) = memory.server.instances
        collected = b""
        while len(collected) < len(MEGABYTE):
            event = received(memory, script)
            collected += event["body"]
            assert event["more_body"] == (len(collected) < len(MEGABYTE))
        assert collected == MEGABYTE
        assert exchange.unread == 0

    def test_too_large(self, tree: Start) -> None:
        """413 by max_body_size, at the limit and above."""
        recorder = Recorder()
        memory = tree(recorder, max_body_size=3)
        assert (
            read_answers(memory.connect().sends(post(b"abc", path=b"/app")).take())[0].status == 200
        )
        for request in (post(b"abcd", path=b"/app"), chunked(b"ab", b"cd", path=b"/app")):
            (refused,) = read_answers(memory.connect().sends(request).take())
            assert (refused.status, refused.closes) == (413, True)
        assert not memory.server.connections

    def test_refused_body_is_not_a_request(self, tree: Start) -> None:
        """What follows a refused request is dropped, never answered."""
        recorder = Recorder()
        wire = tree(recorder, max_body_size=3).connect()
        wire.sends(post(get(b"/app"), path=b"/app"), get(b"/app"))
        assert [answer.status for answer in read_answers(wire.take())] == [413]
        assert recorder.bodies == []


class TestCollected:
    """twisted.web's own request."""

    def test_as_it_is_read(self, stock: Start) -> None:
        """The file of a collected body is read as the application reads."""
        script = Script()
        memory = stock(script)
        memory.connect().sends(post(MEGABYTE, path=b"/app"))
        (exchange,) = memory.server.instances
        assert exchange.unread == HIGH_WATER

    def test_gone_meanwhile(self, stock: Start) -> None:
        """Its file is closed with the connection."""
        script = Script()
        memory = stock(script)
        memory.connect().sends(post(MEGABYTE, path=b"/app")).vanishes()
        assert received(memory, script)["type"] == "http.disconnect"


class TestArriving:
    """StreamingRequest."""

    def test_before_it_is_whole(self, stream: Start) -> None:
        """H19: the application runs with the head, and has each part as it comes."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(6))
        wire.sends(b"abc")
        assert received(memory, script) == {
            "type": "http.request", "body": b"abc", "more_body": True}  # fmt: skip
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"half", True)))
        assert wire.take().endswith(b"4\r\nhalf\r\n")
        wire.sends(b"def")
        assert received(memory, script) == {
            "type": "http.request", "body": b"def", "more_body": False}  # fmt: skip
        memory.loop.run_until_complete(script.send(body(b"whole")))
        assert wire.take() == b"5\r\nwhole\r\n0\r\n\r\n"
        wire.sends(get(b"/app"))
        answer(memory, script)
        assert read_answers(wire.take())[0].body == b"done"

    def test_while_it_starts(self, stream: Start) -> None:
        """What comes before startup is complete is kept, to the high-water mark."""
        recorder = Recorder()
        memory = stream(recorder, run=False)
        wire = memory.connect().sends(head(3 * HIGH_WATER), bytes(HIGH_WATER))
        assert wire.paused
        memory.run()
        assert not wire.paused
        wire.sends(bytes(2 * HIGH_WATER))
        assert recorder.bodies == [bytes(3 * HIGH_WATER)]

    def test_high_and_low_water(self, stream: Start) -> None:
        """K4: the socket is read no further than 64 KiB ahead of the application."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(10**9), bytes(HIGH_WATER - 1))
        assert not wire.paused
        wire.sends(b"x")
        assert wire.paused
        received(memory, script)
        assert not wire.paused

    def test_small_chunks(self, stream: Start) -> None:
        """K4: small chunks make few events, even in one read; all of them reach the application."""
        script = Script()
        memory = stream(script)
        octets = bytes(range(97, 123)) * 200
        whole = chunked(*[octets[at : at + 1] for at in range(len(octets))], path=b"/app")
        wire = memory.connect().sends(whole[:-5])
        (exchange,) = memory.server.instances
        assert exchange.queue.qsize() == MAX_EVENTS
        assert wire.paused
        heard = b""
        while len(heard) < len(octets):
            heard += received(memory, script)["body"]
        assert heard == octets
        assert not wire.paused
        wire.sends(whole[-5:])
        assert received(memory, script) == {
            "type": "http.request", "body": b"", "more_body": False}  # fmt: skip

    def test_transport_drains(self, stream: Start) -> None:
        """That the peer reads our response does not make us read its request."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(10**9), bytes(HIGH_WATER))
        wire.stops_reading()
        wire.reads_on()
        assert wire.paused

    def test_channel_s_timeout(self, stream: Start) -> None:
        """twisted.web's own deadline does not count while it is us that do not read."""
        script = Script()
        memory = stream(script)
        memory.site.timeOut = 60
        wire = memory.connect().sends(head(HIGH_WATER + 1), bytes(HIGH_WATER))
        memory.passes(100)
        assert not wire.closing
        received(memory, script)
        wire.sends(b"x")
        answer(memory, script)
        memory.passes(50)
        assert not wire.closing
        memory.passes(20)
        assert wire.lost

    @pytest.mark.parametrize("timeout", [5])
    def test_too_slow(self, stream: Start, timeout: int) -> None:
        """408 below the least rate; above it the body may take its time."""
        script = Script()
        memory = stream(script, body_timeout=timeout, body_minimum_rate=10)
        wire = memory.connect().sends(head(1000), bytes(100))
        memory.passes(timeout + 1)
        assert wire.take() == b""
        wire.sends(bytes(10))
        memory.passes(timeout + 1)
        assert read_answers(wire.take())[0].status == 408

    def test_no_deadline_meanwhile(self, stream: Start) -> None:
        """A body that waits for us is not too slow."""
        memory = stream(Script(), body_timeout=5)
        wire = memory.connect().sends(head(10**9), bytes(HIGH_WATER))
        memory.passes(6)
        memory.passes(6)
        assert (wire.take(), wire.closing) == (b"", False)

    def test_disconnect(self, stream: Start) -> None:
        """H28: in the middle of the body."""
        script = Script()
        memory = stream(script)
        memory.connect().sends(head(1000), b"abc").vanishes()
        assert received(memory, script) == {"type": "http.disconnect"}
        assert not memory.server.connections

    def test_gone_with_the_head(self, stream: Start) -> None:
        """A peer that is gone before anything has begun."""
        script = Script()
        memory = stream(script)
        wire = memory.connect()
        wire.protocol.dataReceived(head(3))
        wire.vanishes()
        assert script.scope is None


class TestExpect:
    """RFC 9110, 10.1.1."""

    EXPECTING = head(3, b"Expect: 100-continue")

    def test_when_it_is_read(self, stream: Start) -> None:
        """100 goes out when the application asks for the body, and the field is in its scope."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(self.EXPECTING)
        assert wire.take() == b""
        assert (b"expect", b"100-continue") in script.scope["headers"]
        task = memory.loop.create_task(script.receive())
        memory.settle()
        assert wire.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sends(b"abc")
        assert task.result()["body"] == b"abc"

    def test_not_read(self, stream: Start) -> None:
        """An answer without 100, and the connection closes: the peer may or may not send."""
        wire = stream(answer_at_once).connect().sends(self.EXPECTING)
        (one,) = read_answers(wire.take())
        assert (one.status, one.closes, wire.half_closed) == (200, True, True)

    def test_too_large(self, stream: Start) -> None:
        """413, and no 100 before it."""
        wire = stream(Script(), max_body_size=2).connect().sends(self.EXPECTING)
        assert [one.status for one in read_answers(wire.take())] == [413]

    def test_other_resources(self, stream: Start) -> None:
        """As twisted.web has it."""
        wire = stream(Script()).connect()
        wire.sends(self.EXPECTING.replace(b"/app", b"/other"))
        assert wire.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sends(b"abc")
        assert read_answers(wire.take())[0].status == 404


class TestAnsweredEarly:
    """A response that does not wait for the body."""

    def test_short_rest(self, stream: Start) -> None:
        """It is read and dropped; the connection goes on."""
        recorder = Recorder()
        memory = stream(answer_at_once)
        memory.add(b"other", recorder)
        memory.run()
        wire = memory.connect().sends(head(MAX_DISCARDED_BODY))
        (one,) = read_answers(wire.take())
        assert not one.closes
        wire.sends(bytes(MAX_DISCARDED_BODY), get(b"/other"))
        assert read_answers(wire.take())[0].body == b"/other"

    def test_long_rest(self, stream: Start) -> None:
        """The peer reads the answer and that the connection closes, though it still sends."""
        memory = stream(answer_at_once)
        wire = memory.connect().sends(head(MAX_DISCARDED_BODY + 1))
        (one,) = read_answers(wire.take())
        assert one.closes
        assert (wire.half_closed, wire.lost) == (True, False)
        wire.sends(bytes(MAX_DISCARDED_BODY + 1))
        assert wire.lost

    def test_rest_turns_out_long(self, stream: Start) -> None:
        """After a head that did not say so the connection closes all the same."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(10**6))
        for message in (start(), body(b"a", True), body(b"b")):
            memory.loop.run_until_complete(script.send(message))
        assert not read_answers(wire.take())[0].closes
        wire.sends(bytes(MAX_DISCARDED_BODY))
        assert not wire.half_closed
        wire.sends(b"x")
        assert wire.half_closed
        wire.sends(bytes(10**6 - MAX_DISCARDED_BODY - 1))
        assert wire.lost

    def test_chunked(self, stream: Start) -> None:
        """Nobody knows how long it is."""
        wire = stream(answer_at_once).connect()
        wire.sends(chunked(b"a", path=b"/app", end=False))
        assert read_answers(wire.take())[0].closes
        assert wire.half_closed

    def test_silent(self, stream: Start) -> None:
        """A peer that neither sends nor closes is not waited for."""
        memory = stream(answer_at_once)
        wire = memory.connect().sends(head(10**9))
        memory.passes(1)
        assert not wire.lost
        memory.passes(2)
        assert wire.lost

    def test_response_in_the_transport(self, stream: Start) -> None:
        """A peer that reads slowly is not taken for a silent one."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(10**9))
        wire.stops_reading()
        script.raises(ValueError())
        memory.settle()
        assert wire.half_closed
        memory.passes(LINGER_SECONDS * 3)
        assert not wire.lost
        memory.passes(MAX_LINGER_SECONDS)
        assert wire.lost

    def test_endless(self, stream: Start) -> None:
        """Nor one that sends for ever."""
        memory = stream(answer_at_once)
        wire = memory.connect().sends(head(10**9))
        for _ in range(17):
            wire.sends(MEGABYTE)
        assert wire.aborted

    def test_fails_in_the_middle(self, stream: Start) -> None:
        """C12: 500 while the body comes."""
        script = Script()
        memory = stream(script)
        wire = memory.connect().sends(head(10**9), b"abc")
        script.raises(ValueError())
        memory.settle()
        (one,) = read_answers(wire.take())
        assert (one.status, one.closes, wire.half_closed) == (500, True, True)


class TestOtherResources:
    """Everything else in the tree has its requests as twisted.web gives them."""

    def test_render_has_the_body(self, tree: Start) -> None:
        """`content` and `args` of a form, and the resource is looked for once."""
        looked: list[bytes] = []

        class Page(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                return bytes(request.content.read() + request.args[b"a"][0])

        class Folder(Resource):
            def getChild(self, name: bytes, request: Any) -> Any:
                looked.append(name)
                return Page()

        memory = tree(Script())
        memory.root.putChild(b"folder", Folder())
        form = b"Content-Type: application/x-www-form-urlencoded"
        wire = memory.connect().sends(post(b"", form, path=b"/folder/x", size=3), b"a=1")
        assert read_answers(wire.take())[0].body == b"a=11"
        assert looked == [b"x"]

    def test_child_by_the_body(self, tree: Start) -> None:
        """A `getChild` that needs the form is asked again when it is there."""
        memory = tree(Script())

        class Folder(Resource):
            def getChild(self, name: bytes, request: Any) -> Any:
                assert request.args[b"a"] == [b"1"]
                return memory.resource

        memory.root.putChild(b"folder", Folder())
        form = b"Content-Type: application/x-www-form-urlencoded"
        memory.server.set_application(Recorder())
        wire = memory.connect().sends(post(b"", form, path=b"/folder/x", size=3), b"a=1")
        assert read_answers(wire.take())[0].body == b"/folder/x"

    def test_render_raises(self, tree: Start) -> None:
        """500 with the whole body read."""

        class Page(Resource):
            def render(self, request: Any) -> bytes:
                raise ValueError

        memory = tree(Script())
        memory.root.putChild(b"page", Page())
        wire = memory.connect().sends(post(b"", path=b"/page", size=3), b"a=1")
        assert read_answers(wire.take())[0].status == 500

    def test_star(self, tree: Start) -> None:
        """OPTIONS * with a body."""
        wire = tree(Script()).connect()
        wire.sends(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", b"abc")
        wire.sends(get(b"/other"))
        assert [one.status for one in read_answers(wire.take())] == [200, 404]
