"""The lifespan of an application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.asgi import lifespan as subject
from daphne_like.asgi.lifespan import Lifespan
from daphne_like.exceptions import ApplicationError, ConfigurationError
from tests.support.applications import GET, body, start

COMPLETE = {"type": "lifespan.startup.complete"}
GONE = {"type": "lifespan.shutdown.complete"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "LEAVE_SECONDS", 0.02)


class Site:
    """Records what it gets; answers with what it is told to."""

    def __init__(self, startup: Any = COMPLETE, shutdown: Any = GONE) -> None:
        self.answers = [startup, shutdown]
        self.scopes: list[Any] = []
        self.events: list[Any] = []
        self.ended = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append({**scope})
        scope["state"]["pool"] = self
        for answer in self.answers:
            self.events.append(await receive())
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                return
            await send(answer)
        self.ended = True


def played(application: Any, mode: str = "auto", timeout: float = 5.0) -> Lifespan:
    """Startup and shutdown of an application."""

    async def main() -> Lifespan:
        lifespan = Lifespan(application, mode)
        await lifespan.startup(timeout)
        await lifespan.shutdown(timeout)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return lifespan

    return asyncio.run(main())


def refused(application: Any, mode: str = "auto", timeout: float = 5.0) -> str:
    """What startup says; no task is left."""

    async def main() -> str:
        with pytest.raises(ConfigurationError) as caught:
            await Lifespan(application, mode).startup(timeout)
        assert caught.value.exit_status == 3
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return str(caught.value)

    return asyncio.run(main())


class TestProtocol:
    """ASGI Lifespan Protocol 2.0."""

    def test_scope_and_events(self) -> None:
        """L01, L05, L08, L13: one call with this scope, startup and shutdown, then it returns."""
        site = Site()
        played(site)
        assert site.scopes == [
            {
                "type": "lifespan",
                "asgi": {"version": "3.0", "spec_version": "2.0"},
                "state": {"pool": site},
            }
        ]
        assert site.events == [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        assert site.ended

    def test_state_is_kept(self) -> None:
        """L12: what the application puts into `state` stays as it is."""
        site = Site()
        assert played(site).state == {"pool": site}

    @pytest.mark.parametrize(
        ("more", "said"), [({"message": "no database"}, ": no database"), ({}, "")]
    )
    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_startup_failed(self, mode: str, more: Any, said: str) -> None:
        """L07: the message is told, and the exit status is 3."""
        failed = {"type": "lifespan.startup.failed", **more}
        assert refused(Site(failed), mode) == f"Application startup failed{said}"

    def test_startup_too_slow(self) -> None:
        """Every wait has a deadline."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        assert (
            refused(application, timeout=0.01)
            == "Application startup took longer than 0.01 seconds"
        )

    def test_a_stop_cancels_a_startup(self) -> None:
        """A server that is told to stop while its application starts leaves nothing behind."""
        ended: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        async def main() -> None:
            lifespan = Lifespan(application, "auto")
            starting = asyncio.create_task(lifespan.startup(5))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await lifespan.shutdown(5)
            with pytest.raises(ConfigurationError, match="it was cancelled"):
                await starting
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())
        assert ended == ["cancelled"]

    def test_shutdown_failed(self, caplog: pytest.LogCaptureFixture) -> None:
        """L10: told, and then the end."""
        played(Site(COMPLETE, {"type": "lifespan.shutdown.failed", "message": "disk full"}))
        assert [record.getMessage() for record in caplog.records] == [
            "Application shutdown failed: disk full"
        ]

    def test_shutdown_too_slow(self, caplog: pytest.LogCaptureFixture) -> None:
        """L09: waited for, but not for ever; then it is cancelled."""
        ended: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(COMPLETE)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        played(application, timeout=0.01)
        assert ended == ["cancelled"]
        assert [record.getMessage() for record in caplog.records] == [
            "Application shutdown took longer than 0.01 seconds; going on"
        ]

    def test_may_finish_after_its_answer(self) -> None:
        """L13: shutdown.complete is not the end of the call."""
        ended: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(COMPLETE)
            await receive()
            await send(GONE)
            await asyncio.sleep(0.001)
            ended.append("in peace")

        played(application)
        assert ended == ["in peace"]

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ({"type": "lifespan.startup.compelte"}, ("send: expected lifespan.startup.complete or "
             "lifespan.startup.failed, got 'lifespan.startup.compelte'")),
            (GONE, ("send: expected lifespan.startup.complete or lifespan.startup.failed, "
             "got 'lifespan.shutdown.complete'")),
            ({}, "send: expected a dict with 'type', got {}"),
            (None, "send: expected a dict with 'type', got None"),
        ],
    )  # fmt: skip
    def test_wrong_message(self, message: Any, said: str) -> None:
        """C10: raised at the `send`, with what is expected."""
        errors: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with pytest.raises(ApplicationError) as caught:
                await send(message)
            errors.append(str(caught.value))
            await send(COMPLETE)
            with pytest.raises(ApplicationError) as caught:
                await send(COMPLETE)
            errors.append(str(caught.value))

        played(application)
        assert errors == [
            said, "send: expected nothing now, got 'lifespan.startup.complete'"
        ]  # fmt: skip


class TestModes:
    """`--lifespan auto|on|off`."""

    def test_off(self) -> None:
        """`off` never calls it."""
        site = Site()
        played(site, "off")
        assert site.scopes == []

    @pytest.mark.parametrize("returns", [True, False], ids=["returns", "raises"])
    def test_auto_without_support(self, returns: bool, caplog: pytest.LogCaptureFixture) -> None:
        """L04: an application that does not know lifespan is served, and nobody is alarmed."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if not returns:
                raise ValueError(scope["type"])

        with caplog.at_level(logging.INFO):
            played(application)
        assert caplog.records == []

    def test_auto_and_a_failing_startup(self, caplog: pytest.LogCaptureFixture) -> None:
        """L04: one that has taken lifespan.startup and raises is served too, with a warning."""
        played(Site(RuntimeError("no database")))
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            "The application raised during startup; serving without lifespan"
        )
        assert record.exc_info is not None

    @pytest.mark.parametrize("mode", ["auto", "on"])
    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
    def test_end_of_the_process(self, mode: str, error: BaseException) -> None:
        """An application that ends the process during startup is not served."""
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        assert refused(Site(error), mode) == f"Application startup failed: {said}"

    def test_on_and_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        """With `on` an exception is a failure."""
        said = refused(Site(RuntimeError("no database")), "on")
        assert said == "Application startup failed: RuntimeError: no database"
        assert caplog.records[0].exc_info is not None

    def test_on_and_returns(self) -> None:
        """With `on` so is no answer."""
        assert refused(Site(None), "on") == (
            "Application startup failed: it returned without answering lifespan.startup"
        )

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_cancelled(self, mode: str) -> None:
        """One that cancels itself has failed."""
        said = refused(Site(asyncio.CancelledError()), mode)
        assert said == "Application startup failed: it was cancelled"

    def test_shutdown_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        """An exception at shutdown is told, and shutdown goes on."""
        played(Site(COMPLETE, RuntimeError("late")))
        assert [record.getMessage() for record in caplog.records] == [
            "The application raised in its lifespan"
        ]

    def test_shutdown_unanswered(self, caplog: pytest.LogCaptureFixture) -> None:
        """So is a missing answer."""
        played(Site(COMPLETE, None))
        assert [record.getMessage() for record in caplog.records] == [
            "The application returned without answering lifespan.shutdown"
        ]


class TestState:
    """ASGI Lifespan, "Lifespan State"."""

    def test_shallow_copies(self, serve: Callable[..., Any]) -> None:
        """L11, C18: each request has the same objects in a dict of its own."""
        pool: list[int] = []
        states: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            states.append(scope["state"])
            scope["state"]["mine"] = len(states)
            scope["state"]["pool"].append(len(states))
            await send(start())
            await send(body())

        memory = serve(application)
        memory.server.context.lifespan_state = {"pool": pool}
        memory.connect().sends(GET, GET)
        assert states == [{"pool": [1, 2], "mine": 1}, {"pool": [1, 2], "mine": 2}]
        assert states[0]["pool"] is states[1]["pool"] is pool
        assert memory.server.context.lifespan_state == {"pool": [1, 2]}
