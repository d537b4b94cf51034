"""The Server: connects the parts, and offers the attributes and methods of Daphne's Server."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

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
from daphne_like.process.main_loop import run_reactor
from daphne_like.runtime.applications import Applications
from daphne_like.runtime.connections import Connection, Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.default_fields import DefaultFields
from daphne_like.runtime.drain import Drain
from daphne_like.runtime.executor import use_asgi_threads
from daphne_like.runtime.lifecycle import Lifecycle, Stage
from daphne_like.runtime.trusted_proxies import TrustedProxies
from daphne_like.websocket.factory import WebSocketFactory

log = logging.getLogger("daphne_like.server")


class Server:
    """An ASGI server in a process with a Twisted reactor on an asyncio event loop.

    Every option is an attribute, as in Daphne's Server: `server.http_timeout`.

    Args:
        application: ASGI 3, ASGI 2 or WSGI; the option `interface` names or detects the kind.
        endpoints: Twisted endpoint strings, at least one.
        signal_handlers: let SIGINT and SIGTERM stop the server; only in the main thread.
        action_logger: called with ("http", "complete", details) for each exchange, and with
            ("websocket", "connecting", "connected", "rejected" or "disconnected", details).
        ready_callable: called when the server accepts connections; gets the server if it takes
            an argument, and no argument otherwise, as in Daphne.
        options: the options; defaults if omitted.
        settings: single options by name, as for Daphne's constructor: -1 and 0 also mean
            "no limit", which is None in `options` and in the attributes.

    Attributes:
        listening_addresses: (host, port) or (path, None) for each listening port.
        redirect_addresses: the same for the ports of `--https-redirect`.
        connections: open connections.
        instances: exchange or session -> the task of its application.
        context: the part of the server that connections use.
        exit_status: exit status for the process, after `run`.
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
        self.connections = Connections(options.max_connections)
        self.applications = Applications(options.application_close_timeout)
        self.context = context = self._make_context()
        self.set_application(application)
        self.ws_factory = context.websockets
        self.http_factory = HTTPFactory(context)
        self.ports = Ports(self.endpoints, options)
        redirects = redirect_options(options) if options.https_redirect else options
        self.redirect_ports = Ports(list(options.https_redirect), redirects)
        checks = (
            self._beat,
            self._refresh_default_fields,
            self.timeout_checker,
            self.application_checker,
            descriptors.check,
            refusals.limit.sum_up,
        )
        self.lifecycle = Lifecycle(context, checks)
        ports = (self.ports, self.redirect_ports)
        self.drainer = Drain(context, self.connections, ports, self.lifecycle, self.end_lifespan)
        self._lifespan: Lifespan | None = None
        self._watchdog: Watchdog | None = None
        self._default_fields: DefaultFields
        self.loop: asyncio.AbstractEventLoop
        self.clock: Callable[[], float]

    def _make_context(self) -> ServerContext:
        """Make what connections may know; the methods of subclasses are bound into it."""
        applications = self.applications
        applications.handle_reply = self._unless_overridden("handle_reply", applications.reply)
        context = ServerContext(self.options)
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
        context.trusted_proxies = TrustedProxies.from_options(self.options)
        context.websockets = WebSocketFactory(context)
        return context

    def _unless_overridden(self, name: str, delegate: Any) -> Any:
        """Return the delegate of a method, or the method itself if a subclass overrides it.

        Calling the delegate directly saves one call per request or message.
        """
        return delegate if getattr(type(self), name) is OWN[name] else getattr(self, name)

    def set_application(self, application: Any) -> None:
        """Set the application, adapted to ASGI 3 as `interface` says; only before `startup`."""
        options = self.options
        self.application = self.applications.application = as_asgi3(
            application, options.interface, options.wsgi_threads
        )

    def __getattr__(self, name: str) -> Any:
        """Return an option: Daphne's Server has every option as an attribute."""
        if name in Options.__dataclass_fields__ and "options" in self.__dict__:
            return getattr(self.options, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def run(self) -> None:
        """Serve until the reactor stops, and set `exit_status`.

        Raises:
            ConfigurationError: no endpoint is given, an endpoint is unusable, or the reactor does
                not run on an asyncio event loop.
        """
        self._must_have_endpoints()
        reactors.require()
        from twisted.internet import reactor

        self.attach(reactor)
        self._parse_endpoints()
        run_reactor(self)

    def attach(self, reactor: Any) -> None:
        """Set the reactor and its event loop; nothing runs yet."""
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
        """Set the event loop for applications and the clock for deadlines.

        Args:
            loop: the reactor's event loop.
            clock: returns monotonic seconds.
            wall_clock: returns seconds since 1970, for the Date field.
        Raises:
            ConfigurationError: ASGI_THREADS in the environment is not a number of threads.
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
        """Bind the ports, start the application, then accept, on a running event loop.

        Binding first means that the application is not started in vain if a port is in use, and
        that clients who connect during its startup wait in the listen queue (ASGI L05, L06).

        Raises:
            ConfigurationError: a port cannot be bound, or the application does not start.
        """
        await self.bind().asFuture(self.loop)
        await self.startup()
        if not self.stopping:
            self.accept()

    @inlineCallbacks
    def bind(self) -> Generator[Deferred[Any], Any, None]:
        """Listen on every endpoint; clients wait in the listen queue until `accept`.

        Returns:
            A Deferred, which has already fired for the endpoints of Twisted and of this package.
        Raises:
            ConfigurationError: an endpoint cannot be bound; the ports bound before are closed.
        """
        self._must_have_endpoints()
        self._parse_endpoints()
        self.lifecycle.enter(Stage.BOUND)
        yield self.ports.bind(self.http_factory, self.listen_success)
        if self.redirect_ports.strings:
            try:
                yield self.redirect_ports.bind(self._redirect_factory(), self.redirect_ports.add)
            except Exception:
                yield self.ports.unbind()
                raise

    def _must_have_endpoints(self) -> None:
        if not self.endpoints:
            raise ConfigurationError("No endpoints: a server needs at least one to listen on")

    def _parse_endpoints(self) -> None:
        self.ports.parse(self.reactor)
        self.redirect_ports.parse(self.reactor)

    def _redirect_factory(self) -> HTTPFactory:
        """Return the factory for `--https-redirect`, which differs only in its application."""
        redirects = self.applications.sibling(RedirectToHTTPS(self.ports.find_tls_port))
        return HTTPFactory(
            self.lifecycle.share(applications=redirects, create_application=redirects.create)
        )

    async def startup(self) -> None:
        """Start the periodic checks and the application's lifespan (ASGI L05).

        Raises:
            ConfigurationError: the startup failed or took too long.
        """
        self.applications.keep_context()  # includes variables set since `use_loop`
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
        """Accept connections on all bound ports."""
        self.lifecycle.enter(Stage.SERVING)
        self.ports.open()
        self.redirect_ports.open()
        if self.ready_callable is not None:
            self.ready_callable(*([self] if wants_server(self.ready_callable) else ()))

    @property
    def can_reload(self) -> bool:
        """True if any endpoint has files that `reload` reads again."""
        return self.ports.can_reload

    def reload(self) -> None:
        """Reload the certificates of all endpoints; open connections keep their certificates."""
        self.ports.reload()

    @staticmethod
    def reopen_logs() -> None:
        """Reopen the file of the access log."""
        access.reopen()

    async def drain(self) -> None:
        """Stop gracefully: accept nothing, finish open requests, then send lifespan shutdown.

        The options bound the time of each step (docs/discussion/stopping.rst).
        """
        await self.drainer.run()

    async def end_lifespan(self, timeout: float | None = None) -> None:
        """Send lifespan shutdown (ASGI L08) and end the periodic checks; the last step of a stop.

        Args:
            timeout: seconds; by default the option `lifespan_timeout`.
        """
        if self._lifespan is not None:
            await self._lifespan.shutdown(timeout or self.options.lifespan_timeout)
        if self._watchdog is not None:
            self._watchdog.stop()
        self.lifecycle.stop_ticking()
        refusals.limit.sum_up(at_once=True)

    def stop(self) -> None:
        """Stop gracefully; may be called from any thread.

        After `run`, this stops the reactor. Callers that start the server in another way set `end`,
        which is called in the reactor's thread.
        """
        if self.end is not None:
            self.reactor.callFromThread(self.end)

    def force_stop(self) -> None:
        """Let a stop wait no longer. Any thread may call this."""
        self.reactor.callFromThread(self.drainer.force)

    def give_up(self, sentence: str, exit_status: int) -> None:
        """Stop without having served, and log why."""
        log.critical("%s", sentence)
        self.abort_start = True
        self.exit_status = exit_status
        self.stop()

    def listen_success(self, port: Any) -> None:
        """Register a listening port; ports of inherited sockets are registered here too."""
        self.ports.add(port)

    def listen_error(self, failure: Failure) -> None:
        """Give up the start of the server because a port cannot be bound.

        Args:
            failure: failure with a ConfigurationError, whose text names the port and the cause.
        """
        self.give_up(failure.getErrorMessage(), CANNOT_LISTEN_STATUS)

    # Attributes of Daphne's Server.

    @property
    def stopping(self) -> bool:
        """True if a stop has begun."""
        return self.lifecycle.is_stopping

    @property
    def listeners(self) -> list[Any]:
        """Twisted's ports."""
        return self.ports.listeners

    @property
    def listening_addresses(self) -> list[Address]:
        """Addresses on which the server listens."""
        return self.ports.addresses

    @property
    def redirect_addresses(self) -> list[Address]:
        """Addresses on which `--https-redirect` listens."""
        return self.redirect_ports.addresses

    @property
    def instances(self) -> dict[Any, asyncio.Task[None]]:
        """Running application instances."""
        return self.applications.running

    # Methods that connections call and subclasses may override.

    def protocol_connected(self, protocol: Connection) -> bool:
        """Register a connection; return False if the maximum number is open."""
        return self.connections.admit(protocol)

    def protocol_disconnected(self, protocol: Connection) -> None:
        """Unregister a closed connection."""
        self.connections.discard(protocol)

    def create_application(
        self, protocol: Any, scope: dict[str, Any], input_type: type[InputQueue] = InputQueue
    ) -> InputQueue:
        """Run an application instance for a scope; events put into the returned queue reach it.

        The instance starts in a copy of the server's context. It does not inherit the context of
        the caller, because the caller may be another application's task: the end of one response
        starts the next pipelined request.

        Args:
            protocol: exchange or session that handles the instance's messages and its end.
            scope: a new dict.
            input_type: class of the queue, which depends on the kind of events.
        Returns:
            The instance's input, an asyncio.Queue of ASGI events.
        """
        return self.applications.create(protocol, scope, input_type)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass one message of an application to its exchange or session.

        Return when the transport has room again or the connection is closed (ASGI C09).

        Raises:
            ApplicationError: ASGI does not allow this message here.
            ConnectionClosed: the connection is gone, and the application has received the
                disconnect event or has had time to: see DisconnectGrace.
        """
        await self.applications.reply(protocol, message)

    def application_checker(self) -> None:
        """Cancel applications that still run long after their peer has gone; reap ended ones.

        May be called at any time and repeatedly.
        """
        self.applications.reap()

    def timeout_checker(self) -> None:
        """Enforce the deadlines of all connections; may be called at any time and repeatedly."""
        self.context.timers.tick()

    def kill_all_applications(self) -> Deferred[None]:
        """Cancel every running application instance.

        Returns:
            A Deferred that fires when all have ended; an instance that swallows its cancellation
            delays it.
        """
        return Deferred.fromFuture(self.loop.create_task(self.applications.kill_all()))

    @staticmethod
    def check_headers_type(message: dict[str, Any]) -> None:
        """Check that the headers of a message are pairs of bytes, as in every response.

        Raises:
            ApplicationError: a header is wrong; also a ValueError. The text names the header.
        """
        for index, pair in enumerate(message.get("headers", ())):
            to_field_line(pair, index, message["type"])

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Call the action logger, if there is one."""
        if self.action_logger is not None:
            self.action_logger(protocol, action, details)

    def _beat(self) -> None:
        if self._watchdog is not None:
            self._watchdog.beat()

    def _refresh_default_fields(self) -> None:
        self._default_fields.refresh()


OWN = {
    "create_application": Server.create_application,
    "handle_reply": Server.handle_reply,
}
"""Methods of this class, for detecting overrides in subclasses."""
