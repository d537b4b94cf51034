"""The Server: connects the parts, and offers the attributes and methods of Daphne's Server."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from daphne_like import reactor as reactors
from daphne_like.asgi import forked
from daphne_like.asgi.interface import as_asgi3, wants_server
from daphne_like.asgi.queue import InputQueue
from daphne_like.asgi.response_fields import to_field_line
from daphne_like.exceptions import ConfigurationError
from daphne_like.http.factory import HTTPFactory
from daphne_like.listening.all_ports import AllPorts
from daphne_like.listening.descriptor_reserve import DescriptorReserve
from daphne_like.listening.ports import CANNOT_LISTEN_STATUS, Address
from daphne_like.observe import access, refusals
from daphne_like.observe.action_logger import ActionLogger
from daphne_like.observe.observer import Observer, combine, overridden
from daphne_like.observe.request_identity import are_wanted
from daphne_like.observe.stacks.report import describe_instances
from daphne_like.options import Options, without_limits
from daphne_like.process.main_loop import run_reactor
from daphne_like.process.systemd import Notifier
from daphne_like.runtime.applications import Applications
from daphne_like.runtime.connections import Connection, Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.default_fields import DefaultFields
from daphne_like.runtime.drain import Drain
from daphne_like.runtime.drain_plan import DrainPlan
from daphne_like.runtime.executor import use_asgi_threads
from daphne_like.runtime.lifecycle import Lifecycle, Stage
from daphne_like.runtime.startup import Startup
from daphne_like.websocket.factory import WebSocketFactory

if TYPE_CHECKING:
    from daphne_like.metrics.side_server import SideServer
    from daphne_like.runtime.request_queue import RequestQueue

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
        descriptors: pauses the ports before the process runs out of file descriptors.
        request_queue: requests that wait for others to end; None if their number has no limit.
        notifier: reports the state of the process to systemd; silent unless it is replaced.
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
        if options.workers is not None:
            raise ConfigurationError(
                "workers: a Server is one process; the daphne-like command and twistd start several"
            )
        self.endpoints = list(endpoints or ())
        self.signal_handlers = signal_handlers
        self.action_logger = action_logger
        self.ready_callable = ready_callable
        self.abort_start = False
        self.exit_status = 0
        self.end: Callable[[], None] | None = None
        self._observers: list[Observer] = []
        self.reactor: Any = None
        self.notifier = Notifier()
        self.connections = Connections(options.max_connections)
        self.applications = Applications(options.application_close_timeout)
        self.context = context = self._make_context()
        # What only an option needs is loaded with the option, because it takes memory.
        if are_wanted(options):
            from daphne_like.runtime.request_ids import RequestIds

            RequestIds(options, context, self.applications)
        self.set_application(application)
        if options.max_connections_per_ip is not None:
            from daphne_like.runtime.per_address import PerAddress

            PerAddress(context)
        self.request_queue: RequestQueue | None = None
        if options.max_concurrent_requests is not None:
            from daphne_like.runtime.request_queue import RequestQueue

            self.request_queue = RequestQueue(context)
        self.ws_factory = context.websockets
        self.http_factory = HTTPFactory(context)
        self.ports = AllPorts(self.endpoints, options)
        self.descriptors = DescriptorReserve(self.ports.accepting, self.ports.count)
        self.ports.tell_accepted(self.descriptors.accepted)
        self.default_fields = DefaultFields(options.server_name, time.time, context.default_fields)
        checks = (
            self.default_fields.refresh,
            self.timeout_checker,
            self.application_checker,
            self.descriptors.check,
            refusals.limit.sum_up,
        )
        self.lifecycle = Lifecycle(context, checks)
        self._startup = Startup(context, self.lifecycle)
        self._sides: list[SideServer] = []
        if options.metrics or options.status:
            # Not loaded without these options: a megabyte of memory.
            from daphne_like.process.recycling import resident_memory
            from daphne_like.status.side_servers import make_side_servers

            self._sides = make_side_servers(self, Server, resident_memory)
        ports = (self.ports.serving, self.ports.redirecting)
        self.drainer = Drain(context, self.connections, ports, self.lifecycle, self.end_lifespan)
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
        context.websockets = WebSocketFactory(context)
        return context

    def _unless_overridden(self, name: str, delegate: Any) -> Any:
        """Return the delegate of a method, or the method itself if a subclass overrides it.

        Calling the delegate directly saves one call per request or message.
        """
        return getattr(self, name) if self._overrides(name) else delegate

    def _overrides(self, name: str) -> bool:
        return getattr(type(self), name) is not OWN[name]

    def set_application(self, application: Any) -> None:
        """Set the application, adapted to ASGI 3 as `interface` says; only before `startup`."""
        options = self.options
        adapted = as_asgi3(application, options.interface, options.wsgi_threads)
        if options.readiness_path:
            from daphne_like.runtime.readiness import Readiness

            adapted = Readiness(adapted, options.readiness_path, lambda: self.lifecycle.is_ready)
        self.application = self.applications.application = adapted

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
        self.ports.require()
        reactors.require()
        from twisted.internet import reactor

        self.attach(reactor)
        self.ports.parse(reactor)
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
        self.descriptors.use_loop(loop)
        if self.options.slow_request is not None:
            from daphne_like.runtime.slow_requests import SlowRequests

            slow = SlowRequests(self.options.slow_request, self.applications, clock)
            self.lifecycle.add_check(slow.check)
            self._observers.append(slow)
        self._observe()
        self.default_fields.use_clock(wall_clock)

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer what happens; only before the ports are bound."""
        self._observers.append(observer)
        self._observe()

    def _observe(self) -> None:
        """Give the context its observer: the action logger, and those that were added."""
        logger: Observer | None = None
        if isinstance(self.action_logger, Observer) and not self._overrides("log_action"):
            logger = self.action_logger  # cheaper than through a dict
        elif self.action_logger is not None:
            logger = ActionLogger(self.log_action)
        observer = combine([*([logger] if logger else []), *self._observers])
        self.context.observer = self.applications.observer = observer
        self.connections.observer = observer
        self.context.exchange_opened = overridden(observer, "exchange_opened")

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
        """Listen on every endpoint; clients wait in the listen queue until `accept`."""
        self.ports.parse(self.reactor)
        self.lifecycle.enter(Stage.BOUND)
        yield self.ports.bind(self.http_factory, self.listen_success, self._factory_for)
        try:
            for side in self._sides:
                yield side.bind(self.reactor)
        except Exception:
            yield self.ports.serving.unbind()
            yield self.ports.redirecting.unbind()
            raise

    def _factory_for(self, application: Any) -> HTTPFactory:
        """Return a factory that differs from `http_factory` only in its application."""
        others = self.applications.sibling(application)
        return HTTPFactory(
            self.lifecycle.share(applications=others, create_application=others.create)
        )

    async def startup(self) -> None:
        """Start the periodic checks and the application's lifespan; see Startup.run."""
        for side in self._sides:
            await side.open(self.reactor)
        await self._startup.run()

    def accept(self) -> None:
        """Accept connections on all bound ports."""
        self.lifecycle.enter(Stage.SERVING)
        self.ports.open()
        if self.ready_callable is not None:
            self.ready_callable(*([self] if wants_server(self.ready_callable) else ()))

    @property
    def can_reload(self) -> bool:
        """True if any endpoint has files that `reload` reads again."""
        return self.ports.serving.can_reload

    def reload(self) -> None:
        """Reload the certificates of all endpoints; open connections keep their certificates."""
        self.ports.serving.reload()

    @staticmethod
    def reopen_logs() -> None:
        """Reopen the file of the access log."""
        access.reopen()

    def log_stacks(self) -> None:
        """Log where all application instances wait."""
        log.warning("%s", describe_instances(self.instances, self.clock()))

    async def drain(self, plan: DrainPlan | None = None) -> None:
        """Stop gracefully: accept nothing, finish open requests, then send lifespan shutdown.

        The time of each step is bounded (docs/discussion/stopping.rst).

        Args:
            plan: the times of the steps; by default what the signal or the options ask for.
        """
        if plan is not None:
            self.drainer.plan = plan
        try:
            await self.drainer.run()
        finally:
            for side in self._sides:
                await side.close()
            self.descriptors.stop()

    async def end_lifespan(self, timeout: float | None = None) -> None:
        """Send lifespan shutdown, the last step of a stop; see Startup.end."""
        await self._startup.end(timeout)

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
        self.ports.serving.add(port)

    def listen_error(self, failure: Failure) -> None:
        """Give up the start because a port cannot be bound; the failure's text names the cause."""
        self.give_up(failure.getErrorMessage(), CANNOT_LISTEN_STATUS)

    # Attributes of Daphne's Server.

    @property
    def stopping(self) -> bool:
        """True if a stop has begun."""
        return self.lifecycle.is_stopping

    @property
    def listeners(self) -> list[Any]:
        """Twisted's ports."""
        return self.ports.serving.listeners

    @property
    def listening_addresses(self) -> list[Address]:
        """Addresses on which the server listens."""
        return self.ports.serving.addresses

    @property
    def redirect_addresses(self) -> list[Address]:
        """Addresses on which `--https-redirect` listens."""
        return self.ports.redirecting.addresses

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
        """Run an application instance, and return its input; see Applications.create."""
        return self.applications.create(protocol, scope, input_type)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass one message of an application to its exchange or session; see Applications.reply."""
        await self.applications.reply(protocol, message)

    def application_checker(self) -> None:
        """Cancel applications whose peer is long gone; may be called at any time and repeatedly."""
        self.applications.reap()

    def timeout_checker(self) -> None:
        """Enforce the deadlines of all connections; may be called at any time and repeatedly."""
        self.context.timers.tick()
        if self.request_queue is not None:
            self.request_queue.check()

    def kill_all_applications(self) -> Deferred[None]:
        """Cancel every running application instance; the Deferred fires when all have ended."""
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


OWN = {
    "create_application": Server.create_application,
    "handle_reply": Server.handle_reply,
    "log_action": Server.log_action,
}
"""Methods of this class, for detecting overrides in subclasses."""
