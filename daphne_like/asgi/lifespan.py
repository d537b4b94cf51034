"""The lifespan of an application: startup before the first request, shutdown after the last."""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

from daphne_like.asgi.instance import run_instance
from daphne_like.asgi.interface import Application
from daphne_like.asgi.queue import InputQueue
from daphne_like.exceptions import ApplicationError, ConfigurationError
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

MODES = ("auto", "on", "off")
STARTUP_FAILED_STATUS = 3
LEAVE_SECONDS = 1.0
"""Time for the application to return after its last reply, and again after its cancellation."""


class LifespanStage(enum.Enum):
    """Stages of the lifespan."""

    STARTING = enum.auto()
    RUNNING = enum.auto()
    STOPPING = enum.auto()
    ENDED = enum.auto()


# Messages that an application may send at each stage, and the stage that follows.
REPLIES = {
    (LifespanStage.STARTING, "lifespan.startup.complete"): LifespanStage.RUNNING,
    (LifespanStage.STARTING, "lifespan.startup.failed"): LifespanStage.ENDED,
    (LifespanStage.STOPPING, "lifespan.shutdown.complete"): LifespanStage.ENDED,
    (LifespanStage.STOPPING, "lifespan.shutdown.failed"): LifespanStage.ENDED,
}


class Lifespan:
    """One run of the lifespan protocol (ASGI lifespan 2.0, rules L01 to L13).

    Args:
        application: an ASGI 3 application.
        mode: with `auto`, an application that raises is served without lifespan events; with
            `on`, that is a startup failure; with `off`, the application is never called.

    Attributes:
        state: a dict; every scope gets a shallow copy of it (L11).
    """

    def __init__(self, application: Application, mode: str) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._mode = mode
        self._stage = LifespanStage.STARTING
        self._queue = InputQueue()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None

    async def startup(self, timeout: float) -> None:
        """Send `lifespan.startup` and wait for the application's reply.

        Args:
            timeout: seconds to wait for the reply.
        Raises:
            ConfigurationError: startup failed or took too long, or mode is `on` and the
                application does not support the lifespan protocol. The exit status is 3.
        """
        if self._mode == "off":
            self._stage = LifespanStage.ENDED
            return
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._queue.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(
            run_instance(self._application, scope, self._queue.get, self._send, self, {})
        )
        self._task.add_done_callback(self._instance_ended)
        if not await self._replied(timeout):
            await self._leave()
            raise ConfigurationError(
                f"Application startup took longer than {counted(timeout, 'second')}",
                exit_status=STARTUP_FAILED_STATUS,
            )
        if self._failure is not None:
            await self._leave()
            raise ConfigurationError(
                f"Application startup failed: {self._failure}".rstrip(": "),
                exit_status=STARTUP_FAILED_STATUS,
            )

    async def shutdown(self, timeout: float) -> None:
        """Send `lifespan.shutdown` and wait for the reply or the deadline; log failures.

        A startup without a reply is cancelled.
        """
        if self._stage is LifespanStage.STARTING:
            await self._leave()
        if self._stage is not LifespanStage.RUNNING:
            return
        self._stage = LifespanStage.STOPPING
        self._changed.clear()
        self._queue.put_nowait({"type": "lifespan.shutdown"})
        if not await self._replied(timeout):
            log.warning(
                "Application shutdown took longer than %s; going on", counted(timeout, "second")
            )
        elif self._failure is not None:
            log.error("Application shutdown failed: %s", self._failure)
        await self._leave()

    async def _leave(self) -> None:
        """Wait for the application to return, and cancel it if it does not (L13)."""
        task = self._task
        if task is not None and self._stage is LifespanStage.ENDED:
            await asyncio.wait((task,), timeout=LEAVE_SECONDS)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=LEAVE_SECONDS)

    async def _replied(self, timeout: float) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            kind = str(message["type"])
        except (KeyError, TypeError):
            raise ApplicationError(f"send: expected a dict with 'type', got {message!r:.80}")
        following = REPLIES.get((self._stage, kind))
        if following is None:
            allowed = [reply for stage, reply in REPLIES if stage is self._stage]
            expected = " or ".join(allowed) or "nothing now"
            raise ApplicationError(f"send: expected {expected}, got {kind!r:.80}")
        if kind.endswith(".failed"):
            self._failure = str(message.get("message", ""))
        self._stage = following
        self._changed.set()

    def application_returned(self) -> None:
        if self._stage is LifespanStage.STARTING and self._mode == "on":
            self._failure = "it returned without answering lifespan.startup"
        elif self._stage is LifespanStage.STOPPING:
            log.warning("The application returned without answering lifespan.shutdown")

    def application_failed(self, exception: BaseException) -> None:
        if self._stage is LifespanStage.STARTING:
            # L04: an application that raises does not support the protocol; serve it anyway.
            # SystemExit and KeyboardInterrupt are not such exceptions: they ask the process to end.
            if self._mode == "on" or not isinstance(exception, Exception):
                self._failure = f"{type(exception).__name__}: {exception}"
                log.error("The application raised during startup", exc_info=exception)
            elif self._queue.empty():  # it has received lifespan.startup: it knows the protocol
                log.warning("The application raised during startup; serving without lifespan",
                            exc_info=exception)  # fmt: skip
            else:
                log.debug("No lifespan events: the application raised", exc_info=exception)
        elif self._failure is None:
            log.error("The application raised in its lifespan", exc_info=exception)

    def application_cancelled(self) -> None:
        if self._stage is LifespanStage.STARTING:
            self._failure = "it was cancelled"

    def _instance_ended(self, _task: object) -> None:
        self._stage = LifespanStage.ENDED
        self._changed.set()
