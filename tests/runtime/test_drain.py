"""The stop of a server, step by step, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.runtime.drain import IDLE_GRACE_SECONDS, LEAVE_SECONDS
from daphne_like.runtime.lifecycle import Stage
from tests.support.memory import Memory
from tests.support.peers import answer_at_once, get, read_answers, respond

Serve = Callable[..., Memory]

GRACE = 30.0
SERVER = "daphne_like.server"


class Deaf:
    """An application that waits for ever: for the disconnect event first, if it listens.

    Attributes:
        told: it has got the disconnect event.
        cancelled: how often it was cancelled.
    """

    def __init__(self, *, leaves: bool = False) -> None:
        self.leaves = leaves
        self.told = False
        self.cancelled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.told = True
            if not self.leaves:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class TestStop:
    """docs/discussion/stopping.rst: the steps, and the time that each of them has."""

    def test_nothing_to_wait_for(self, serve: Serve) -> None:
        """A server without connections stops at once."""
        memory = serve(answer_at_once)
        stopping = memory.stops()
        assert stopping.done()
        assert memory.server.lifecycle.stage is Stage.STOPPED

    def test_idle_connections_have_a_grace(self, serve: Serve) -> None:
        """An idle connection is left open for a moment, then closed; then the stop is over."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(IDLE_GRACE_SECONDS * 0.9)
        assert (wire.closing, stopping.done()) == (False, False)
        assert memory.server.lifecycle.stage is Stage.DRAINING
        memory.passes(IDLE_GRACE_SECONDS * 0.2)
        assert (wire.lost, wire.aborted, stopping.done()) == (True, False, True)

    def test_a_request_is_finished(self, serve: Serve) -> None:
        """The stop waits for a response, for at most `graceful_timeout`."""
        gate = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await gate.wait()
            await respond(send, b"late")

        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(GRACE - 1)
        assert not stopping.done()
        gate.set()
        memory.settle()
        (answer,) = read_answers(wire.written)
        assert (answer.body, answer.closes) == (b"late", True)
        wire.vanishes()
        assert stopping.done()

    def test_another_patience(self, serve: Serve) -> None:
        """Whoever stops the server may give open requests another time than the option."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        drainer = memory.server.drainer
        before = drainer.limit
        drainer.patience = 2 * GRACE
        assert drainer.limit == before + GRACE
        memory.connect().sends(get(b"/1"))
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        memory.passes(2 * GRACE - IDLE_GRACE_SECONDS - 1)
        assert not application.told
        memory.passes(1)
        assert application.told

    def test_an_application_is_told(self, serve: Serve) -> None:
        """After `graceful_timeout` an application gets the disconnect event, and may end."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        memory.passes(GRACE - IDLE_GRACE_SECONDS - 1)
        assert not application.told
        memory.passes(1)
        assert (application.told, application.cancelled) == (True, 0)
        assert memory.server.instances == {}
        wire.vanishes()
        assert stopping.done()

    def test_an_application_is_cancelled(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that does not end then is cancelled, and the log says where it hung."""
        application = Deaf()
        memory = serve(application, graceful_timeout=GRACE)
        memory.connect().sends(get(b"/1"))
        with caplog.at_level(logging.WARNING, SERVER):
            stopping = memory.stops()
            memory.passes(IDLE_GRACE_SECONDS)
            memory.passes(GRACE)
            memory.passes(LEAVE_SECONDS * 0.9)
            assert (application.told, application.cancelled) == (True, 0)
            memory.passes(LEAVE_SECONDS * 0.2)
        assert application.cancelled == 1
        memory.passes(LEAVE_SECONDS)
        assert stopping.done()
        assert [text for text in caplog.messages if "does not end; cancelling it" in text]

    def test_a_second_signal(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """It ends each wait, whatever its time is."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        assert not stopping.done()
        with caplog.at_level(logging.WARNING, SERVER):
            memory.server.drainer.force()
            memory.settle()
        assert caplog.messages[0] == "Second signal: stopping without waiting any longer"
        assert application.cancelled == 1
        assert (wire.aborted, stopping.done()) == (True, True)
