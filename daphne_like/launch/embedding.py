"""Calls that start a server from a program: `serve` in a running event loop, `run` without one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from types import FunctionType, TracebackType
from typing import Any

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.command import CommandLineInterface
from daphne_like.launch.configuration import Configuration
from daphne_like.launch.importing import import_from
from daphne_like.launch.log_setup import access_log_of_file
from daphne_like.listening.strings import endpoint_strings
from daphne_like.observe.access import AccessLog
from daphne_like.options import Options
from daphne_like.reactor.core import AdoptedReactor
from daphne_like.server import Server


class Serving(Coroutine[Any, Any, None]):
    """The return value of `serve`: an awaitable that serves until stopped, or a context manager.

    It is a coroutine, so that `asyncio.run` and `create_task` accept it. Nothing happens until it
    is awaited or entered.

    Args:
        make_server: creates the server; called once, in the event loop that will serve.
        stop: event that stops the server when set; without it, cancellation stops the server.
    """

    def __init__(self, make_server: Callable[[], Server], stop: asyncio.Event | None) -> None:
        self._make_server = make_server
        self._stop = stop
        self._server: Server | None = None
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Server:
        self._server = server = self._make_server()
        self._stop = self._stop or asyncio.Event()
        server.attach(reactors.adopt(asyncio.get_running_loop()))
        server.end = self._stop.set
        try:
            await server.start()
        except BaseException:
            await server.drain()
            raise
        # When `stop` is set inside the block, the drain begins at once, not at the block's end.
        self._watcher = server.loop.create_task(self._drain_when_told(server, self._stop))
        return server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stop is not None
        assert self._watcher is not None
        self._stop.set()
        # Cancelling the program's task must not cancel the drain of open requests.
        await asyncio.shield(self._watcher)
        assert self._server is not None
        if isinstance(self._server.action_logger, AccessLog):
            self._server.action_logger.flush()
        if isinstance(self._server.reactor, AdoptedReactor):
            self._server.reactor.release_threads()

    @staticmethod
    async def _drain_when_told(server: Server, stop: asyncio.Event) -> None:
        await stop.wait()
        await server.drain()

    async def _serve(self) -> None:
        async with self:
            assert self._stop is not None
            await self._stop.wait()

    def _begun(self) -> Coroutine[Any, Any, None]:
        if self._coroutine is None:
            self._coroutine = self._serve()
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        return self._begun().__await__()

    def send(self, value: Any) -> Any:
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        return self._begun().throw(*error)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()


def serve(
    application: Any,
    *endpoints: str,
    stop: asyncio.Event | None = None,
    ready_callable: Callable[..., Any] | None = None,
    **options: Any,
) -> Serving:
    """Serve an application on the running event loop.

    When awaited, it serves until `stop` is set, finishes the open requests, and returns. When
    cancelled, it finishes them too. As a context manager it yields the Server, whose
    `listening_addresses` are its addresses and ports, and stops at the end of the block::

        async with daphne_like.serve(application, port=0) as server:
            host, port = server.listening_addresses[0]

    The program keeps control of signals and logging. The first call installs Twisted's reactor on
    the loop, unless one is already installed there.

    Args:
        application: ASGI 3, ASGI 2 or WSGI, or "module:attribute".
        endpoints: Twisted endpoint strings, in addition to or instead of the options for
            listening (`host`, `port` and others).
        stop: event that stops the server when set.
        ready_callable: called with the Server when it is ready to serve.
        options: command-line options by name: port=8000, tls_certificate="site.pem".
    Raises:
        ConfigurationError: an option is wrong (raised at once); a port cannot be bound, the file
            of `access_log` cannot be opened, the application does not start, or another reactor
            is installed (raised when awaited).
    """
    chosen = options_by_name(endpoints, options)
    for name in ("pid_file", "reload"):
        if getattr(chosen, name):
            raise ConfigurationError(f"{name}: the process belongs to the program that calls serve")

    def make_server() -> Server:
        return Server(
            load_application(application, chosen),
            endpoints=endpoint_strings(chosen),
            signal_handlers=False,
            action_logger=access_log_of_file(chosen),
            ready_callable=ready_callable,
            options=chosen,
        )

    return Serving(make_server, stop)


def run(application: Any, *endpoints: str, **options: Any) -> None:
    """Serve an application until Ctrl-C or SIGTERM, and log as the command does.

    If the server cannot start, print a sentence on standard error and exit the process with the
    command's status. Return after a stop.

    Args:
        application: ASGI 3, ASGI 2 or WSGI, or "module:attribute".
        endpoints: see `serve`.
        options: see `serve`.
    """
    name = application if isinstance(application, str) else _get_name(application)
    command = Foreground(application)
    status = command.serve(lambda: Configuration(options_by_name(endpoints, options), name))
    if status:
        sys.exit(status)


class Foreground(CommandLineInterface):
    """The command, for an application and options that a program passes in.

    Args:
        application: an application object, or "module:attribute".
    """

    name = "daphne_like.run"

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._application = application

    def load_asgi_app(self, path: str) -> Any:
        return load_application(self._application, self.options)


def options_by_name(endpoints: tuple[str, ...], options: dict[str, Any]) -> Options:
    """Return the Options that keyword arguments describe.

    Raises:
        ConfigurationError: an unknown name or an invalid value.
    """
    unknown = sorted(set(options) - set(Options.__dataclass_fields__))
    if unknown:
        raise ConfigurationError(
            f"{unknown[0]!r} is no option (daphne_like.options.Options has them all)"
        )
    more = options.pop("endpoints", ())
    more = (more,) if isinstance(more, str) else tuple(more)
    return Options(endpoints=(*endpoints, *more), **options)


def load_application(application: Any, options: Options) -> Any:
    """Return the application; import it if it is given as "module:attribute".

    Raises:
        ConfigurationError: it cannot be imported.
    """
    if not isinstance(application, str):
        return application
    return import_from(application, options)


def _get_name(application: Any) -> str:
    kind = application if isinstance(application, (FunctionType, type)) else type(application)
    return f"{kind.__module__}:{kind.__qualname__}"
