"""The Server: listens, keeps the live connections and applications, starts and stops."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import re
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from daphne_like import reactor as reactors
from daphne_like.asgi import forked
from daphne_like.asgi import response_fields as fields
from daphne_like.asgi.application import Application
from daphne_like.asgi.instance import run_instance
from daphne_like.asgi.interface import as_asgi3, wants_server
from daphne_like.asgi.lifespan import Lifespan
from daphne_like.asgi.queue import InputQueue
from daphne_like.exceptions import ConfigurationError, ConnectionClosed, PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.factory import HTTPFactory
from daphne_like.http.fields import FieldSection
from daphne_like.http.h1.request_reader import FAST_PATH_HEAD
from daphne_like.http.h1.status_lines import date_line
from daphne_like.listening.errors import cannot_listen
from daphne_like.listening.https import IReloadable
from daphne_like.listening.https_redirect import RedirectToHTTPS
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import speaks_tls
from daphne_like.observe import access, loggers, refusals
from daphne_like.observe.descriptors import descriptors
from daphne_like.observe.stacks import threads
from daphne_like.observe.stacks.waiting import executor_kept_by, stuck_at
from daphne_like.observe.watchdog import Watchdog
from daphne_like.options import Options, without_limits
from daphne_like.process.sighup import install_sighup_reload
from daphne_like.runtime.timer_wheel import TICK_SECONDS, TimerWheel
from daphne_like.runtime.trusted_proxies import TrustedProxies
from daphne_like.runtime.write_batch import WriteBatch
from daphne_like.stopping import Stopping
from daphne_like.websocket.factory import WebSocketFactory
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

CANNOT_LISTEN_STATUS = 1
LOOP_STOPPED_STATUS = 1

_with_threads: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""Event loops whose default executor has the size of ASGI_THREADS, also for the next server."""


class Connection(Protocol):
    """A live connection, of whatever protocol, as the server and its stop see it."""

    transport: Any

    def server_stops(self) -> None:
        """The server begins to stop: tell the peer, and serve requests that are on their way."""

    def close_when_idle(self) -> None:
        """The grace of the stop is over: finish what is in flight, and begin nothing."""

    def disconnect_application(self) -> None:
        """The server has waited long enough: tell the application."""


@dataclasses.dataclass
class DisconnectGrace:
    """An application whose peer has gone: since when, and until when it has time."""

    since: float
    deadline: float
    cancelled: int = 0
    late: int = 0
    late_informed: int = 0

    def may_drop_send(self, exchange: Exchange, now: float) -> bool:
        """Whether to drop a message sent after the peer has gone, instead of raising (H30, W40).

        An exception in the middle of its work would keep a framework from its own handling of the
        disconnect: Channels would not call a consumer's `disconnect`, Django not send
        `request_finished`. Daphne drops all messages, so an application that does not listen would
        never end. An application that has received the disconnect event expects the exception
        (H29); Channels calls `disconnect` only then, so a few messages of a WebSocket still pass.
        """
        if exchange.disconnect_received:
            self.late_informed += 1
            if self.late_informed > exchange.max_informed_late:
                return False
        else:
            self.late += 1
            if self.late > exchange.max_dropped_sends:
                return False
        return now < (self.since + self.deadline) / 2


class Server:
    """An ASGI server in a process with a Twisted reactor on an asyncio event loop.

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
        redirecting: the Server of `--https-redirect`, or None.
        accepting: False between `bind` and `accept`.
        connections: live ones.
        field_sections: of some connections' first requests, by their octets.
        instances: exchange or session -> the task of its application.
        stopping: a stop has begun; requests that are on their way are still served.
        idle_grace_over: and it waits no longer for idle connections.
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
        self.options = options = dataclasses.replace(
            options or Options(), **without_limits(settings)
        )
        self.application: Application
        self.load(application)
        self.endpoints = list(endpoints or ())
        self.signal_handlers = signal_handlers
        self.action_logger = action_logger
        self.ready_callable = ready_callable
        for option in dataclasses.fields(options):
            # Daphne's Server has every option as an attribute.
            self.__dict__.setdefault(option.name, getattr(options, option.name))
        self.proxies = _proxies(options)
        self.http_factory = HTTPFactory(self)
        self.ws_factory = WebSocketFactory(self)
        self.listeners: list[Any] = []
        self.listening_addresses: list[tuple[str, int | None]] = []
        self.connections: set[Connection] = set()
        self.instances: dict[Any, asyncio.Task[None]] = {}
        self.lifespan_state: dict[str, Any] = {}
        self.accepting = True
        self.stopping = False
        self.idle_grace_over = False
        self.abort_start = False
        self.exit_status = 0
        self.default_fields: dict[int, bytes] = {}
        self.field_sections: dict[bytes, FieldSection] = {}
        self.fast_path_head = min(
            FAST_PATH_HEAD, options.max_request_line, options.max_field_section
        )
        self.loop: asyncio.AbstractEventLoop
        self.clock: Callable[[], float]
        self.timers: TimerWheel
        self.writes: WriteBatch
        self.reactor: Any = None
        self._create_task: Callable[..., asyncio.Task[None]]
        self._run_in_context: Callable[..., asyncio.Task[None]]
        # Weak: an exchange whose application ends in time is not kept until its deadline.
        self._disconnected: WeakKeyDictionary[Any, DisconnectGrace] = WeakKeyDictionary()
        self._lifespan: Lifespan | None = None
        self._watchdog: Watchdog | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._stop = Stopping(self)
        self._parsed: list[Any] = []  # the endpoints
        self.redirecting = self._redirector()
        self.end: Callable[[], None] | None = None

    def load(self, application: Any) -> None:
        """Serve another application, which is called as `interface` says; before `startup` only."""
        options = self.options
        self.application = as_asgi3(application, options.interface, options.wsgi_threads)

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
        self._parsed = endpoints_from(self.endpoints, reactor, options=self.options)
        self.reactor.callWhenRunning(self._spawn)
        self.reactor.addSystemEventTrigger(
            "before", "shutdown", self._deferred, self._drain_and_release
        )
        forget = None
        if self.signal_handlers:
            self.reactor.callWhenRunning(self._stop.handle_signals)
            forget = install_sighup_reload(self)
        self.reactor.run(installSignalHandlers=self.signal_handlers)
        self._run_to_the_end()
        self._stop.forget_signals()
        if forget is not None:
            forget()

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

    def use_loop(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        """Run applications on this event loop, and deadlines by this clock.

        Args:
            loop: of the reactor.
            clock: seconds, monotonic.
        Raises:
            ConfigurationError: ASGI_THREADS is in the environment, and no number of threads.
        """
        forked.serve_here()
        self.loop = loop
        self.clock = clock
        self.timers = TimerWheel(clock)
        self.writes = WriteBatch(loop, self.instances)
        self._create_task = loop.create_task
        threads = os.environ.get("ASGI_THREADS")
        if threads is not None and loop not in _with_threads:
            loop.set_default_executor(ThreadPoolExecutor(_threads(threads), "asgi"))
            _with_threads.add(loop)
        if loop.get_task_factory() in (None, getattr(asyncio, "eager_task_factory", None)):
            # A task that is given its name does not format one ("Task-4711").
            # An eager one would run before its exchange has the application's input.
            self._create_task = partial(asyncio.Task, loop=loop, name="application")
        self._keep_context()
        self._refresh_fields()

    def _keep_context(self) -> None:
        """Make the current context the one in whose copies applications start."""
        # Running `create_task` in a context costs less than passing the context to the task,
        # and works on Python 3.10, whose tasks take no context.
        self._run_in_context = copy_context().run

    async def start(self) -> None:
        """Bind, start the application, then accept: what `run` does, for an event loop that runs.

        In this order a taken port costs no start of the application, and who connects while it
        starts waits in the system's queue (ASGI L05, L06).

        Raises:
            ConfigurationError: a port cannot be had, or the application does not start.
        """
        await self.bind().asFuture(self.loop)
        await self.startup()
        if not self.stopping:
            self.accept()

    @inlineCallbacks
    def bind(self) -> Generator[Deferred[Any], Any, None]:
        """Listen on every endpoint; who connects waits in the system's queue until `accept`.

        Returns:
            A Deferred that has fired already with all of Twisted's endpoints and ours.
        Raises:
            ConfigurationError: one of them cannot be had; the others are given back.
        """
        self._must_have_endpoints()
        self._parsed = self._parsed or endpoints_from(
            self.endpoints, self.reactor, options=self.options
        )
        self.accepting = False
        for string, endpoint in zip(self.endpoints, self._parsed, strict=True):
            try:
                port = yield endpoint.listen(self.http_factory)
            except Exception as error:
                yield self._unbind()
                # An OverflowError comes of a port above 65535.
                if not isinstance(error, (CannotListenError, OSError, OverflowError)):
                    raise
                raise ConfigurationError(
                    cannot_listen(string, self.options, error), exit_status=CANNOT_LISTEN_STATUS
                )
            if IPushProducer.providedBy(port):  # it pushes connections
                port.pauseProducing()
            self.listen_success(port)
        if self.redirecting is not None:
            try:
                self.redirecting.attach(self.reactor)
                yield self.redirecting.bind()
            except Exception:
                yield self._unbind()
                raise

    def _unbind(self) -> Deferred[None]:
        self.listening_addresses.clear()
        return self._stop.close_ports()

    async def startup(self) -> None:
        """Start the periodic checks, and the application: its lifespan (ASGI L05).

        Raises:
            ConfigurationError: its startup failed, or took too long.
        """
        self._keep_context()  # with what has been set since `use_loop`
        self._tick()
        if self.options.stall_warning:
            self._watchdog = Watchdog(self.options.stall_warning)
            self._watchdog.start()
        self._lifespan = Lifespan(self.application, self.options.lifespan)
        self.lifespan_state = self._lifespan.state
        with loggers.kept_enabled():
            await self._lifespan.startup(self.options.lifespan_timeout)
        if self.redirecting is not None:
            await self.redirecting.startup()

    def accept(self) -> None:
        """Serve who connects, from now on, on all ports that are bound."""
        self.accepting = True
        for port in self.listeners:
            if IPushProducer.providedBy(port):
                port.resumeProducing()
        if self.redirecting is not None:
            self.redirecting.accept()
        if self.ready_callable is not None:
            self.ready_callable(*([self] if wants_server(self.ready_callable) else ()))

    @property
    def can_reload(self) -> bool:
        """Whether an endpoint has read files that `reload` reads again."""
        return any(IReloadable.providedBy(endpoint) for endpoint in self._parsed)

    def reopen_logs(self) -> None:
        """Open the file of the access log anew."""
        access.reopen()

    def reload(self) -> None:
        """Read the certificates of all endpoints anew; connections keep those they have."""
        for endpoint in self._parsed:
            if IReloadable.providedBy(endpoint):
                endpoint.reload()

    async def drain(self) -> None:
        """End in order: accept nothing, finish what is in flight, then lifespan shutdown.

        Bounded by the options' times (docs/discussion/stopping.rst).
        """
        if self.redirecting is None:
            await self._stop.drain()
        else:
            await asyncio.gather(self.redirecting.drain(), self._stop.drain())

    async def _drain_and_release(self) -> None:
        from daphne_like.reactor.core import NativeReactor

        await self.drain()
        if isinstance(self.reactor, NativeReactor):
            self.reactor.release_threads()

    async def end_lifespan(self, timeout: float | None = None) -> None:
        """The last thing a server does: lifespan shutdown (ASGI L08), and no more checks.

        Args:
            timeout: seconds; the option's by default.
        """
        if self._lifespan is not None:
            await self._lifespan.shutdown(timeout or self.options.lifespan_timeout)
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._ticking is not None:
            self._ticking.cancel()
        refusals.limit.sum_up(at_once=True)

    def force_stop(self) -> None:
        """Let a stop that has begun wait no longer for connections and applications."""
        self._stop.force()

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

    def _spawn(self) -> None:
        self._starting = self.loop.create_task(self._start_or_give_up())

    def _deferred(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        return Deferred.fromFuture(self.loop.create_task(function()))

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

    def _redirector(self) -> Server | None:
        """The server behind `--https-redirect`: another application on other endpoints."""
        if not self.options.https_redirect:
            return None
        options = dataclasses.replace(
            self.options, https_redirect=(), interface="asgi3", lifespan="off", stall_warning=None,
            unix_mode=None, unix_owner=None, unix_group=None,
        )  # fmt: skip
        redirecting = Server(
            RedirectToHTTPS(self._tls_port),
            endpoints=self.options.https_redirect,
            action_logger=self.action_logger,
            options=options,
        )
        redirecting._stop.quiet = True
        return redirecting

    def _tls_port(self) -> int | None:
        """The first TCP port that speaks TLS."""
        for string, (_, port) in zip(self.endpoints, self.listening_addresses, strict=True):
            if port is not None and speaks_tls(string):
                return port
        return None

    def _must_have_endpoints(self) -> None:
        if not self.endpoints:
            raise ConfigurationError("No endpoints: a server needs at least one to listen on")

    def _give_up(self, sentence: str, exit_status: int) -> None:
        log.critical("%s", sentence)
        self.abort_start = True
        self.exit_status = exit_status
        self.stop()

    def listen_success(self, port: Any) -> None:
        """A port listens; later ones for a socket-activated descriptor come the same way."""
        self.listeners.append(port)
        address = port.getHost()
        host = getattr(address, "host", None)
        if host is not None:
            where: tuple[str, int | None] = (host, address.port)
        else:
            name = address.name.decode("utf-8", "replace") if address.name else ""
            where = (re.sub("^\0", "@", name), None)
        self.listening_addresses.append(where)

    def listen_error(self, failure: Failure) -> None:
        """A port cannot be had: the server does not start.

        Args:
            failure: of a ConfigurationError, which says in a sentence which and why.
        """
        self._give_up(failure.getErrorMessage(), CANNOT_LISTEN_STATUS)

    # What connections tell.

    def protocol_connected(self, connection: Connection) -> bool:
        """A connection is there; False when there is no room for it."""
        most = self.options.max_connections
        self.connections.add(connection)
        return not most or len(self.connections) <= most

    def protocol_disconnected(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)

    def connection_switched(self, before: Connection, after: Connection) -> None:
        """A connection has changed to another protocol."""
        self.connections.discard(before)
        self.connections.add(after)

    def disconnected(self, exchange: Exchange) -> None:
        """The peer is gone before its response was complete: its application may end now."""
        if exchange in self.instances and exchange not in self._disconnected:
            now = self.clock()
            self._disconnected[exchange] = DisconnectGrace(
                now, now + self.options.application_close_timeout
            )

    def application_too_slow(self, exchange: Exchange) -> None:
        """`--http-timeout` has passed without a whole response."""
        log.warning(
            "%s took longer than %s for its response%s",
            exchange,
            counted(exchange.time_limit or 0, "second"),
            self._stuck(exchange),
        )
        self.disconnected(exchange)

    # Applications.

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
        queue: InputQueue = input_type()
        # Not called as a method: it is none, and looked for longer.
        run_in_context = self._run_in_context
        self.instances[protocol] = run_in_context(
            self._create_task,
            run_instance(
                self.application,
                scope,
                queue.get,
                partial(self.handle_reply, protocol),
                protocol,
                self.instances,
            ),
        )
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Carry one message of an application to its exchange or session.

        Returns when the transport has room again, or the connection is closed (ASGI C09).

        Raises:
            ApplicationError: the message is none that ASGI allows here.
            ConnectionClosed: the connection is gone, and the application knows, or has had time to
                hear of it: see Leaving.
        """
        try:
            waiting = protocol.handle_reply(message)
            if waiting is not None:
                await waiting
        except ConnectionClosed:
            leaving = self._disconnected.get(protocol)
            if leaving is None or not leaving.may_drop_send(protocol, self.clock()):
                raise
            await asyncio.sleep(0)  # for whoever listens in another task

    def application_checker(self) -> None:
        """Cancel applications that stay after their peer has gone; reap what ended unseen.

        May be called at any time, twice too.
        """
        now = self.clock()
        for protocol, leaving in list(self._disconnected.items()):
            if leaving.deadline > now:
                continue
            task = self.instances.get(protocol)
            if task is None or task.done():
                self._disconnected.pop(protocol, None)
                self.instances.pop(protocol, None)
                continue
            # One that swallows its cancellation, or cannot obey it as its thread is blocked, is
            # cancelled as often as it takes, and told of twice. Should telling fail, it is
            # cancelled none the less, and the others have their turn the next time (K1).
            leaving.deadline = now + max(1, self.options.application_close_timeout)
            leaving.cancelled += 1
            try:  # before it is cancelled: a cancelled future forgets what would have set it
                where = self._stuck(protocol) if leaving.cancelled <= 2 else ""
                succeeded = threads.succeed(executor_kept_by(task))
            finally:
                task.cancel()
            if leaving.cancelled <= 2:
                log.warning(
                    "%s still runs %s after its peer has gone; %s%s",
                    protocol,
                    counted(now - leaving.since, "second", ".0f"),
                    "cancelling it" if leaving.cancelled == 1 else "it was cancelled and goes on",
                    where,
                )
            if succeeded:
                log.warning(
                    "%s blocks the thread that all synchronous code shares; a new one takes over "
                    "for the others",
                    protocol,
                )

    def kill_all_applications(self) -> Deferred[None]:
        """Cancel every application instance that runs.

        Returns:
            Fires when all have ended; one that swallows its cancellation keeps it waiting.
        """
        tasks = list(self.instances.values())
        for task in tasks:
            task.cancel()

        async def wait() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)

        return self._deferred(wait)

    @staticmethod
    def check_headers_type(message: dict[str, Any]) -> None:
        """Hold the headers of a message to pairs of octets, as every answer's are when it is sent.

        Raises:
            ApplicationError: a ValueError that says which header, and what is wrong with it.
        """
        for index, pair in enumerate(message.get("headers", ())):
            fields.to_field_line(pair, index, message["type"])

    def timeout_checker(self) -> None:
        """Enforce the deadlines of all connections. May be called at any time, twice too."""
        self.timers.tick()

    def _stuck(self, protocol: Any) -> str:
        """Where the application of an exchange waits, as the end of a log line."""
        task = self.instances.get(protocol)
        if task is None:
            return ""
        where, stack = stuck_at(task)
        return f"; {where}\n{stack}" if where else ""

    def _tick(self) -> None:
        """Twice a second: deadlines, reaping, the date, descriptors."""
        self._ticking = self.loop.call_later(TICK_SECONDS, self._tick)
        if self._watchdog is not None:
            self._watchdog.beat()
        for check in (
            self._refresh_fields,
            self.timeout_checker,
            self.application_checker,
            descriptors.check,
            refusals.limit.sum_up,
        ):
            try:
                check()
            except Exception:
                log.exception("A periodic check failed; it goes on with the next one")

    def _refresh_fields(self) -> None:
        """Date and Server lines, for each set of the two that an application sets itself."""
        date = date_line(time.time())
        name = self.options.server_name
        server = f"Server: {name}\r\n".encode("latin-1") if name else b""
        own_date, own_server = 1 << fields.DATE, 1 << fields.SERVER
        self.default_fields = {
            0: date + server,
            own_date: server,
            own_server: date,
            own_date | own_server: b"",
        }

    # The access log.

    def log_exchange(self, exchange: Exchange) -> None:
        """An exchange is over, with a whole answer, a part of one, or none: its status is None."""
        exchange.logged = True
        client = exchange.client
        target = exchange.target.decode("ascii", "backslashreplace")
        details = {
            "path": target,
            "status": exchange.status or None,
            "method": exchange.method,
            "client": f"{client[0]}:{client[1]}" if client else None,
            "time_taken": self.clock() - exchange.started,
            "size": exchange.body_octets_sent,
        }
        if exchange.head_sent is not None:
            details["time_to_head"] = exchange.head_sent - exchange.started
        if exchange.is_cut:
            details["cut"] = True
        self.log_action(*exchange.action, details)

    def refused(self, client: Any, error: PeerError) -> None:
        """A request was refused: it has a line in the log, see observe/refusals.py."""
        refusals.refused(client, error)

    def refused_connection(self, client: Any, code: str, reason: object) -> None:
        """A rule of HTTP/2 was broken, and the connection or stream ended with this code."""
        refusals.refused_connection(client, code, reason)

    def refused_handshake(self, client: Any, reason: object) -> None:
        """A TLS handshake that Twisted's own TLS carries on did not come to its end."""
        refusals.refused_handshake(client, reason)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Tell the action logger, if there is one."""
        if self.action_logger is not None:
            self.action_logger(protocol, action, details)


def _proxies(options: Options) -> TrustedProxies | None:
    names = options.forwarded_fields
    return TrustedProxies(options.trusted_proxies, *names) if any(names) else None


def _threads(text: str) -> int:
    """The number in ASGI_THREADS: threads of the event loop's default executor, as in Daphne."""
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(
            f"ASGI_THREADS in the environment: expected a number of threads, got {text!r}"
        )
    return int(text)
