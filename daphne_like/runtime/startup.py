"""Starts what a server needs before its first request, and ends it after the last one."""

from __future__ import annotations

from daphne_like.asgi.lifespan import Lifespan
from daphne_like.observe import loggers, refusals
from daphne_like.observe.watchdog import Watchdog
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.lifecycle import Lifecycle, Stage


class Startup:
    """Runs the application's lifespan, the periodic checks and the watchdog.

    It knows no ports: an application in a twisted.web site has none, and those of a server are
    bound before `run` and opened after it. `runtime/drain.py` calls `end` as the last step of a
    stop.

    Args:
        context: the context of the server's connections, which knows the application.
        lifecycle: enters the stage, and runs the checks.
    """

    def __init__(self, context: ServerContext, lifecycle: Lifecycle) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._lifespan: Lifespan | None = None
        self._watchdog: Watchdog | None = None

    async def run(self) -> None:
        """Start the periodic checks and the application's lifespan (ASGI L05).

        Raises:
            ConfigurationError: the startup failed or took too long; `end` is still necessary.
        """
        context, options = self._context, self._context.options
        context.applications.keep_context()  # includes variables set since `use_loop`
        self._lifecycle.enter(Stage.STARTING)
        self._lifecycle.start_ticking(context.loop)
        if options.stall_warning:
            self._watchdog = Watchdog(options.stall_warning)
            self._watchdog.start()
            self._lifecycle.add_check(self._watchdog.beat)
        self._lifespan = Lifespan(context.applications.application, options.lifespan)
        context.lifespan_state = self._lifespan.state
        with loggers.kept_enabled():
            await self._lifespan.startup(options.lifespan_timeout)

    async def end(self, timeout: float | None = None) -> None:
        """Send lifespan shutdown (ASGI L08), then end the watchdog and the periodic checks.

        Args:
            timeout: seconds for the application; by default the option `lifespan_timeout`.
        """
        if self._lifespan is not None:
            await self._lifespan.shutdown(timeout or self._context.options.lifespan_timeout)
        if self._watchdog is not None:
            self._watchdog.stop()
        self._lifecycle.stop_ticking()
        refusals.limit.sum_up(at_once=True)
