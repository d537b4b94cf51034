"""The Server: the names that Daphne's users know, the parts wired together, delegation."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from daphne_like import reactor as reactors
from daphne_like.asgi import forked
from daphne_like.asgi.interface import as_asgi3, wants_server
from daphne_like.asgi.lifespan import Lifespan
from daphne_like.asgi.queue import InputQueue
from daphne_like.asgi.response_fields import to_field_line
from daphne_like.exceptions import ConfigurationError
from daphne_like.http.factory import HTTPFactory
from daphne_like.listening.https_redirect import RedirectToHTTPS, redirect_options
from daphne_like.listening.ports import CANNOT_LISTEN_STATUS, Address, Ports
from daphne_like.observe import access, loggers, refusals
from daphne_like.observe.actions import Actions
from daphne_like.observe.descriptors import descriptors
from daphne_like.observe.watchdog import Watchdog
from daphne_like.options import Options, without_limits
from daphne_like.process.sighup import install_sighup_reload
from daphne_like.process.signals import StopSignals
from daphne_like.runtime.applications import Applications
from daphne_like.runtime.connections import Connection, Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.default_fields import DefaultFields
from daphne_like.runtime.drain import Drain
from daphne_like.runtime.lifecycle import Lifecycle, Stage
from daphne_like.runtime.trusted_proxies import TrustedProxies
from daphne_like.websocket.factory import WebSocketFactory

log = logging.getLogger("daphne_like.server")

LOOP_STOPPED_STATUS = 1

_with_threads: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""Event loops whose default executor has the size of ASGI_THREADS, also for the next server."""


class Server:
    """An ASGI server in a process with a Twisted reactor on an asyncio event loop.

    Options are attributes by their names, as in Daphne's Server: `server.http_timeout`.

    Args:
        application: ASGI 3, ASGI 2 or WSGI; `interface` says which, or finds out.
        endpoints: Twisted endpoint strings, at least one.
        signal_handlers: let SIGINT and SIGTERM stop the server; not outside the main thread.
        action_logger: called with ("http", "complete", details) for each exchange, and with
            ("websocket", "connecting", "connected", "rejected" or "disconnected", details).
        ready_callable: called when the server accepts connections, with the server if it takes
            an argument, else without, as by Daphne.
        options: everything that can be chosen; default values where left out.
        settings: single options by name, as Daphne's constructor takes them: with -1 and 0 for
            "no limit", too, which is None in `options` and in the attribute of the name.

    Attributes:
        listening_addresses: (host, port) or (path, None) for each port, once it listens.
        redirect_addresses: the same for the ports of `--https-redirect`.
        connections: live ones.
        instances: exchange or session -> the task of its application.
        context: what connections know of the server.
        exit_status: for the process, after `run`.
    """

    def __init__(
        self,
        application: Any,
        endpoints: Iterable[str] | None = None,
        signal_handlers: bool = True,
        action_logger: Callable[[str, str, dict[str, Any]], None] | None = None,
        ready_callable: Callable[..., Any] | None = None,
        options: Options | None = None,
        **settings: Any,
    ) -> None:
        options = options or Options()
        self.options = options = (
            dataclasses.replace(options, **without_limits(settings)) if settings else options
        )
        self.endpoints = list(endpoints or ())
        self.signal_handlers = signal_handlers
        self.action_logger = action_logger
        self.ready_callable = ready_callable
        self.abort_start = False
        self.exit_status = 0
        self.end: Callable[[], None] | None = None
        self.reactor: Any = None
        self.context = context = ServerContext(options)
        self.connections = Connections(options.max_connections)
        self.applications = applications = Applications(options.application_close_timeout)
        applications.handle_reply = self._unless_overridden("handle_reply", applications.reply)
        self.load(application)
        context.applications = applications
        context.create_application = self._unless_overridden(
            "create_application", applications.create
        )
        context.connected = self.protocol_connected
        context.disconnected = self.protocol_disconnected
        context.switched = self.connections.replace
        context.refused = refusals.refused
        context.refused_connection = refusals.refused_connection
        context.refused_handshake = refusals.refused_handshake
        context.trusted_proxies = TrustedProxies.from_options(options)
        context.websockets = self.ws_factory = WebSocketFactory(context)
        self.http_factory = HTTPFactory(context)
        self.ports = Ports(self.endpoints, options)
        self.redirect_ports = Ports(list(options.https_redirect), redirect_options(options))
        self.lifecycle = Lifecycle(
            context,
            (
                self._beat,
                self._refresh_default_fields,
                self.timeout_checker,
                self.application_checker,
                descriptors.check,
                refusals.limit.sum_up,
            ),
        )
        self.drainer = Drain(
            context,
            self.connections,
            (self.ports, self.redirect_ports),
            self.lifecycle,
            self.end_lifespan,
        )
        self._lifespan: Lifespan | None = None
        self._watchdog: Watchdog | None = None
        self._default_fields: DefaultFields
        self.loop: asyncio.AbstractEventLoop
        self.clock: Callable[[], float]

    def _unless_overridden(self, name: str, delegate: Any) -> Any:
        """Return the delegate of a method, or the method itself where a subclass has its own.

        Calling the delegate spares one call per request or message.
        """
        return delegate if getattr(type(self), name) is OWN[name] else getattr(self, name)

    def load(self, application: Any) -> None:
        """Serve another application, which is called as `interface` says; before `startup` only."""
        options = self.options
        self.application = self.applications.application = as_asgi3(
            application, options.interface, options.wsgi_threads
        )

    def __getattr__(self, name: str) -> Any:
        """Return an option: Daphne's Server has every option as an attribute."""
        if name in Options.__dataclass_fields__ and "options" in self.__dict__:
            return getattr(self.options, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Running.

    def run(self) -> None:
        """Serve until the reactor stops; then `exit_status` tells how it went.

        Raises:
            ConfigurationError: no endpoints, an unusable one, or a reactor on no asyncio loop.
        """
        self._must_have_endpoints()
        reactors.require()
        from twisted.internet import reactor

        self.attach(reactor)
        self.end = self._stop_reactor
        self._parse_endpoints()
        self.reactor.callWhenRunning(self._spawn)
        self.reactor.addSystemEventTrigger("before", "shutdown", self._drain_and_release)
        restore = []
        if self.signal_handlers:
            signals = StopSignals(self.stop, self._force, lambda: self.stopping, self.drainer.limit)
            self.drainer.has_signals = True
            self.reactor.callWhenRunning(signals.install)
            restore = [signals.restore, install_sighup_reload(self)]
        self.reactor.run(installSignalHandlers=self.signal_handlers)
        self._run_to_the_end()
        for put_back in restore:
            put_back()

    def _run_to_the_end(self) -> None:
        """Stop in order, though the application has stopped the event loop (`loop.stop()`)."""
        while self.reactor.running:
            if not self.stopping:
                log.critical("The application has stopped the event loop: stopping the server")
                self.exit_status = self.exit_status or LOOP_STOPPED_STATUS
                self._stop_reactor()
            self.loop.run_forever()

    def attach(self, reactor: Any) -> None:
        """Take the reactor and its event loop; nothing runs yet."""
        self.reactor = reactor
        loop = reactors.event_loop(reactor)
        asyncio.set_event_loop(loop)
        self.use_loop(loop, loop.time)

    def use_loop(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Run applications on this event loop, and deadlines by this clock.

        Args:
            loop: of the reactor.
            clock: seconds, monotonic.
            wall_clock: seconds since 1970, for the Date field.
        Raises:
            ConfigurationError: ASGI_THREADS is in the environment, and is not a number of threads.
        """
        forked.serve_here()
        self.loop = loop
        self.clock = clock
        use_asgi_threads(loop)
        self.applications.use_loop(loop, clock)
        self.context.use_loop(loop, clock)
        if self.action_logger is not None:
            self.context.actions = Actions(self.log_action, clock)
        self._default_fields = DefaultFields(
            self.options.server_name, wall_clock, self.context.default_fields
        )
        self._default_fields.refresh()

    async def start(self) -> None:
        """Bind, start the application, then accept: what `run` does, for an event loop that runs.

        In this order a taken port costs no start of the application, and clients that connect
        while it starts wait in the listen queue (ASGI L05, L06).

        Raises:
            ConfigurationError: a port cannot be had, or the application does not start.
        """
        await self.bind().asFuture(self.loop)
        await self.startup()
        if not self.stopping:
            self.accept()

    @inlineCallbacks
    def bind(self) -> Generator[Deferred[Any], Any, None]:
        """Listen on every endpoint; clients wait in the listen queue until `accept`.

        Returns:
            A Deferred that has fired already with all of Twisted's endpoints and ours.
        Raises:
            ConfigurationError: one of them cannot be had; the others are given back.
        """
        self._must_have_endpoints()
        self._parse_endpoints()
        self.lifecycle.enter(Stage.BOUND)
        yield self.ports.bind(self.http_factory, self.listen_success)
        if self.redirect_ports.strings:
            try:
                yield self.redirect_ports.bind(self._redirect_factory(), self.redirect_ports.add)
            except Exception:
                yield self.ports.close()
                raise

    def _must_have_endpoints(self) -> None:
        if not self.endpoints:
            raise ConfigurationError("No endpoints: a server needs at least one to listen on")

    def _parse_endpoints(self) -> None:
        self.ports.parse(self.reactor)
        self.redirect_ports.parse(self.reactor)

    def _redirect_factory(self) -> HTTPFactory:
        """Return the factory for `--https-redirect`: only its application is another one."""
        redirects = self.applications.sibling(RedirectToHTTPS(self.ports.find_tls_port))
        return HTTPFactory(
            self.lifecycle.share(applications=redirects, create_application=redirects.create)
        )

    async def startup(self) -> None:
        """Start the periodic checks, and the application: its lifespan (ASGI L05).

        Raises:
            ConfigurationError: its startup failed, or took too long.
        """
        self.applications.keep_context()  # with what has been set since `use_loop`
        self.lifecycle.enter(Stage.STARTING)
        self.lifecycle.start_ticking(self.loop)
        if self.options.stall_warning:
            self._watchdog = Watchdog(self.options.stall_warning)
            self._watchdog.start()
        self._lifespan = Lifespan(self.application, self.options.lifespan)
        self.context.lifespan_state = self._lifespan.state
        with loggers.kept_enabled():
            await self._lifespan.startup(self.options.lifespan_timeout)

    def accept(self) -> None:
        """Serve all who connect from now on, on all ports that are bound."""
        self.lifecycle.enter(Stage.SERVING)
        self.ports.open()
        self.redirect_ports.open()
        if self.ready_callable is not None:
            self.ready_callable(*([self] if wants_server(self.ready_callable) else ()))

    @property
    def can_reload(self) -> bool:
        """Whether an endpoint has read files that `reload` reads again."""
        return self.ports.can_reload

    def reload(self) -> None:
        """Read the certificates of all endpoints anew; connections keep those they have."""
        self.ports.reload()

    @staticmethod
    def reopen_logs() -> None:
        """Open the file of the access log anew."""
        access.reopen()

    async def drain(self) -> None:
        """End in order: accept nothing, finish what is in flight, then lifespan shutdown.

        Bounded by the options' times (docs/discussion/stopping.rst).
        """
        await self.drainer.run()

    async def end_lifespan(self, timeout: float | None = None) -> None:
        """The last thing a server does: lifespan shutdown (ASGI L08), and no more checks.

        Args:
            timeout: seconds; the option's by default.
        """
        if self._lifespan is not None:
            await self._lifespan.shutdown(timeout or self.options.lifespan_timeout)
        if self._watchdog is not None:
            self._watchdog.stop()
        self.lifecycle.stop_ticking()
        refusals.limit.sum_up(at_once=True)

    def stop(self) -> None:
        """End what serves, from any thread: the reactor after `run`; what is in flight is finished.

        Whoever starts a server in another way sets `end`, which is called in the reactor's thread.
        """
        if self.end is not None:
            self.reactor.callFromThread(self.end)

    def _stop_reactor(self) -> None:
        from twisted.internet.error import ReactorNotRunning

        try:
            self.reactor.stop()
        except ReactorNotRunning:
            pass  # on its way already

    def _force(self) -> None:
        self.reactor.callFromThread(self.drainer.force)

    def _spawn(self) -> None:
        self._starting = self.loop.create_task(self._start_or_give_up())

    def _deferred(self, coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromFuture(self.loop.create_task(coroutine))

    def _drain_and_release(self) -> Deferred[None]:
        return self._deferred(self._drain_then_release())

    async def _drain_then_release(self) -> None:
        from daphne_like.reactor.core import NativeReactor

        await self.drain()
        if isinstance(self.reactor, NativeReactor):
            self.reactor.release_threads()

    async def _start_or_give_up(self) -> None:
        try:
            await self.start()
        except ConfigurationError as error:
            if self.stopping:  # which has cancelled the startup
                return
            if error.exit_status == CANNOT_LISTEN_STATUS:
                self.listen_error(Failure(error))
            else:
                self._give_up(str(error), error.exit_status)
        except Exception as error:
            log.debug("Starting failed", exc_info=True)
            self._give_up(f"Cannot start: {type(error).__name__}: {error}", CANNOT_LISTEN_STATUS)

    def _give_up(self, sentence: str, exit_status: int) -> None:
        log.critical("%s", sentence)
        self.abort_start = True
        self.exit_status = exit_status
        self.stop()

    def listen_success(self, port: Any) -> None:
        """Register a port that listens; those of socket-activated descriptors come the same way."""
        self.ports.add(port)

    def listen_error(self, failure: Failure) -> None:
        """End the start of the server: a port cannot be had.

        Args:
            failure: of a ConfigurationError, which says in a sentence which and why.
        """
        self._give_up(failure.getErrorMessage(), CANNOT_LISTEN_STATUS)

    # What Daphne's users read.

    @property
    def stopping(self) -> bool:
        """Whether a stop has begun."""
        return self.lifecycle.is_stopping

    @property
    def listeners(self) -> list[Any]:
        """Twisted's ports."""
        return self.ports.listeners

    @property
    def listening_addresses(self) -> list[Address]:
        """Where the server listens."""
        return self.ports.addresses

    @property
    def redirect_addresses(self) -> list[Address]:
        """Where `--https-redirect` listens."""
        return self.redirect_ports.addresses

    @property
    def instances(self) -> dict[Any, asyncio.Task[None]]:
        """The running applications."""
        return self.applications.running

    # What connections call, and subclasses override.

    def protocol_connected(self, protocol: Connection) -> bool:
        """Register a connection; return False when there is no room for it."""
        return self.connections.admit(protocol)

    def protocol_disconnected(self, protocol: Connection) -> None:
        """Forget a connection that is gone."""
        self.connections.discard(protocol)

    def create_application(
        self, protocol: Any, scope: dict[str, Any], input_type: type[InputQueue] = InputQueue
    ) -> InputQueue:
        """Run an application instance for a scope; what is put into the queue, it receives.

        The instance starts in a copy of the server's context. It does not inherit the context of
        the caller, because the caller may be another application's task: the end of one response
        starts the next pipelined request.

        Args:
            protocol: an exchange, or a session: takes the messages, and is told the end.
            scope: a fresh dict.
            input_type: of the queue, by what the events hold.
        Returns:
            The instance's input, an asyncio.Queue of ASGI events.
        """
        return self.applications.create(protocol, scope, input_type)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Carry one message of an application to its exchange or session.

        Returns when the transport has room again, or the connection is closed (ASGI C09).

        Raises:
            ApplicationError: the message is not one that ASGI allows here.
            ConnectionClosed: the connection is gone, and the application knows, or has had time to
                hear of it: see DisconnectGrace.
        """
        await self.applications.reply(protocol, message)

    def application_checker(self) -> None:
        """Cancel applications that stay after their peer has gone; reap what ended unseen.

        May be called at any time, twice too.
        """
        self.applications.reap()

    def timeout_checker(self) -> None:
        """Enforce the deadlines of all connections. May be called at any time, twice too."""
        self.context.timers.tick()

    def kill_all_applications(self) -> Deferred[None]:
        """Cancel every application instance that runs.

        Returns:
            Fires when all have ended; one that swallows its cancellation keeps it waiting.
        """
        return self._deferred(self.applications.kill_all())

    @staticmethod
    def check_headers_type(message: dict[str, Any]) -> None:
        """Hold the headers of a message to pairs of octets, as every response's are.

        Raises:
            ApplicationError: a ValueError that says which header, and what is wrong with it.
        """
        for index, pair in enumerate(message.get("headers", ())):
            to_field_line(pair, index, message["type"])

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Tell the action logger, if there is one."""
        if self.action_logger is not None:
            self.action_logger(protocol, action, details)

    # The periodic checks.

    def _beat(self) -> None:
        if self._watchdog is not None:
            self._watchdog.beat()

    def _refresh_default_fields(self) -> None:
        self._default_fields.refresh()


OWN = {
    "create_application": Server.create_application,
    "handle_reply": Server.handle_reply,
}
"""The methods here, to tell those of subclasses from them."""


def use_asgi_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Give an event loop an executor of ASGI_THREADS threads, as Daphne does.

    Raises:
        ConfigurationError: ASGI_THREADS is in the environment, and is not a number of threads.
    """
    text = os.environ.get("ASGI_THREADS")
    if text is None or loop in _with_threads:
        return
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(
            f"ASGI_THREADS in the environment: expected a number of threads, got {text!r}"
        )
    loop.set_default_executor(ThreadPoolExecutor(int(text), "asgi"))
    _with_threads.add(loop)
