"""A Twisted service that runs a Server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.embedding import load_application
from daphne_like.launch.log_setup import LEVELS, access_log_of_file
from daphne_like.listening.strings import check_trusted_proxies, endpoint_strings
from daphne_like.observe import loggers
from daphne_like.observe.access import AccessLog
from daphne_like.observe.twisted_log import to_twisted_log
from daphne_like.options import Options
from daphne_like.process.sighup import install_sighup_reload
from daphne_like.server import Server

log = logging.getLogger("daphne_like.server")


class ASGIService(Service):
    """An ASGI server as a service for .tac files, MultiServices and twistd plug-ins.

    `privilegedStartService` binds the ports; `startService` imports the application, runs its
    startup and accepts connections; `stopService` stops gracefully. If the event loop is not
    running yet, as under twistd, the application has started when `startService` returns, and the
    server accepts connections once the reactor runs. In a running reactor, `when_started` reports
    the end of the start. The service may be started again after a stop.

    Args:
        application: ASGI 3, ASGI 2 or WSGI, or "module:attribute", which is imported when
            the service starts, after privileges are dropped.
        endpoints: Twisted endpoint strings, in addition to those of the options.
        options: options of the server.
        action_logger: see Server.
        ready_callable: see Server.
    Raises:
        ConfigurationError: the installed reactor does not run on an asyncio event loop. (If no
            reactor is installed, the native one is.)

    Attributes:
        server: the Server while the service runs, otherwise None.
    """

    def __init__(
        self,
        application: Any,
        endpoints: Iterable[str] = (),
        options: Options | None = None,
        *,
        action_logger: Callable[[str, str, dict[str, Any]], None] | None = None,
        ready_callable: Callable[..., Any] | None = None,
    ) -> None:
        reactors.require()
        self.application = application
        self.options = options or Options()
        self.endpoints = list(endpoints)
        if not self.endpoints or self.options.endpoints:
            self.endpoints += endpoint_strings(self.options, self.endpoints)
        else:
            check_trusted_proxies(self.options, self.endpoints)
        self.action_logger = action_logger
        self.ready_callable = ready_callable
        self.server: Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self._bound: asyncio.Future[None]
        self._forget_hangup: Callable[[], None] = lambda: None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()  # type: ignore[no-untyped-call] # not typed
        self._bind()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call] # not typed
        if not logging.getLogger("daphne_like").hasHandlers():
            to_twisted_log("daphne_like", LEVELS[self.options.verbosity])
            loggers.leave_out_internals(self.options.verbosity)
        server = self.server or self._bind()
        loop = server.loop
        # `callWhenRunning` calls its first functions before the loop's first iteration, so check
        # the reactor too.
        runs = loop.is_running() or server.reactor.running
        self._starting = loop.create_task(self._start(server, at_once=runs))
        if runs:
            self._starting.add_done_callback(self._tell)
            return
        # The application's startup may use `deferToThread`.
        server.reactor.getThreadPool().start()
        try:
            loop.run_until_complete(self._starting)
        except BaseException:
            self.server = None
            raise
        # Accept only once the reactor runs: before that, a signal would end the process at once.
        server.reactor.callWhenRunning(self._accept, server)

    def stopService(self) -> Deferred[None]:
        """Stop gracefully (`Server.drain`).

        Returns:
            A Deferred that fires when the stop has ended.
        """
        super().stopService()  # type: ignore[no-untyped-call] # not typed
        server, self.server = self.server, None
        if server is None:
            return succeed(None)
        self._forget_hangup()
        stopped: Deferred[None] = Deferred.fromFuture(server.loop.create_task(server.drain()))
        if isinstance(self.action_logger, AccessLog):
            flush = self.action_logger.flush
            stopped.addCallback(lambda _none: flush())
        return stopped

    def when_started(self) -> Deferred[None]:
        """Return a Deferred for the end of the start.

        Returns:
            A Deferred that fires when the service accepts connections, or fails with a
            ConfigurationError that gives the cause.
        """
        if self._starting is None:
            return fail(ConfigurationError("The service was not started"))
        return Deferred.fromFuture(asyncio.shield(self._starting))

    def _bind(self) -> Server:
        from twisted.internet import reactor

        if self.action_logger is None:
            self.action_logger = access_log_of_file(self.options)
        self.server = server = Server(
            _not_loaded,
            self.endpoints,
            signal_handlers=False,
            action_logger=self.action_logger,
            ready_callable=self.ready_callable,
            options=self.options,
        )
        try:
            server.attach(reactor)
            self._bound = server.bind().asFuture(server.loop)
            if self._bound.done():  # always, except for third-party endpoints
                self._bound.result()
        except BaseException:
            self.server = None
            raise
        return server

    async def _start(self, server: Server, *, at_once: bool) -> None:
        try:
            await self._bound
            server.set_application(load_application(self.application, self.options))
            await server.startup()
        except BaseException:
            if not server.stopping:
                self.server = None
                await server.drain()
            raise
        if at_once:
            self._accept(server)

    def _accept(self, server: Server) -> None:
        if not server.stopping:
            self._forget_hangup = install_sighup_reload(server)
            server.accept()

    def _tell(self, starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None and self.running:
            log.critical("The service does not start: %s", starting.exception())


async def _not_loaded(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("the application is not imported yet")
