"""Expect: 100-continue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.peers import Recorder, answer_at_once, get, post, read_answers, respond

Serve = Callable[..., Memory]

EXPECTING = post(b"", b"Expect: 100-continue", size=3)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TestExpect:
    """RFC 9110, 10.1.1: 100 is sent when the application first calls `receive()`."""

    @pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
    def test_asked_for(self, serve: Serve, value: bytes) -> None:
        """100 is sent once, when the application asks for the body."""
        application = Recorder()
        wire = serve(application).connect()
        wire.sends(post(b"", b"Expect: " + value, size=3))
        assert wire.take() == CONTINUE
        wire.sends(b"a", b"bc")
        assert application.bodies == [b"abc"]
        assert [answer.status for answer in read_answers(wire.written)] == [200]

    def test_not_asked_for(self, serve: Serve) -> None:
        """An application that answers first: no 100, and a close, for nobody knows what comes."""
        wire = serve(answer_at_once).connect().sends(EXPECTING)
        (answer,) = read_answers(wire.written)
        assert (answer.status, answer.closes) == (200, True)
        assert wire.half_closed

    def test_not_asked_for_and_the_head_is_out(self, serve: Serve) -> None:
        """Nor is the connection kept where the head has not said close."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body"})

        wire = serve(application).connect().sends(EXPECTING, b"GET")
        assert len(read_answers(wire.written)) == 1
        assert wire.half_closed

    def test_body_comes_unasked(self, serve: Serve) -> None:
        """A peer that did not wait gets no 100, and keeps its connection."""
        wire = serve(answer_at_once).connect().sends(EXPECTING + b"abc" + get(b"/2"))
        assert [answer.body for answer in read_answers(wire.written)] == [b"/", b"/2"]

    def test_no_body(self, serve: Serve) -> None:
        """Without a body there is nothing to continue with."""
        wire = serve(Recorder()).connect().sends(get(b"/", b"Expect: 100-continue"), get())
        assert [answer.status for answer in read_answers(wire.written)] == [200, 200]

    def test_http_10(self, serve: Serve) -> None:
        """HTTP/1.0 knows no 100."""
        wire = serve(Recorder()).connect().sends(EXPECTING.replace(b"1.1", b"1.0"), b"abc")
        assert [answer.status for answer in read_answers(wire.written)] == [200]

    @pytest.mark.parametrize(
        "fields",
        [
            (b"Expect: 200-ok",),
            (b"Expect: 100-continue, x",),
            (b"Expect: x", b"Expect: 100-continue"),
            (b"Expect: 100-continue", b"Expect: x"),
        ],
    )
    def test_other_expectations(self, serve: Serve, fields: tuple[bytes, ...]) -> None:
        """417 for what cannot be met."""
        wire = serve(Recorder()).connect().sends(post(b"", *fields, size=3))
        assert [answer.status for answer in read_answers(wire.written)] == [417]

    def test_in_turn(self, serve: Serve) -> None:
        """Behind another request the 100 comes when its application asks."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["more_body"]:
                pass
            await respond(send, scope["raw_path"])

        wire = serve(application).connect().sends(get(b"/1") + EXPECTING)
        assert [answer.status for answer in read_answers(wire.written)] == [200, 100]
        wire.sends(b"abc")
        assert [answer.status for answer in read_answers(wire.written)] == [200, 100, 200]

    def test_refused_body(self, serve: Serve) -> None:
        """A body that is too large is refused before it is asked for."""
        wire = serve(Recorder(), max_body_size=2).connect().sends(EXPECTING)
        assert [answer.status for answer in read_answers(wire.written)] == [413]
