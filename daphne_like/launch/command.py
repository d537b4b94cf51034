"""The `daphne-like` command."""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from daphne_like import __version__
from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.arguments import COMMAND, make_parser, with_dashes
from daphne_like.launch.banner import banner, format_addresses
from daphne_like.launch.configuration import Configuration, load, with_origins
from daphne_like.launch.importing import import_from
from daphne_like.launch.log_setup import keep_a_handler, open_access_log, start_logging
from daphne_like.listening.strings import endpoint_strings
from daphne_like.observe import access, loggers
from daphne_like.options import Options, check_workers
from daphne_like.process import init
from daphne_like.process.exit import wait_for_threads
from daphne_like.process.pid_file import PidFile
from daphne_like.process.systemd import Notifier
from daphne_like.runtime.descriptor_limit import raise_limit

if TYPE_CHECKING:
    from daphne_like.server import Server

QUESTIONS = ("status", "stacks")
"""First arguments that ask a running server. An application in a module of such a name is served
under its full name, as in `status:application`."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_OCTETS = 33554432  # the maximum that glibc accepts for M_MMAP_THRESHOLD on 64 bits


class DefaultServer:
    """The class attribute `server_class`: loads Server when somebody asks for it.

    A supervisor does not, and needs 10 MB less without the protocols.
    """

    def __get__(self, instance: object, owner: type) -> Any:
        from daphne_like.server import Server

        return Server


def is_server(candidate: object) -> TypeGuard[Server]:
    """Tell whether an object is a Server; a `server_class` made for Daphne need not make one."""
    from daphne_like.server import Server

    return isinstance(candidate, Server)


def server_arguments(server_class: Any, options: Options) -> dict[str, Any]:
    """Return the options as a server class takes them.

    Server takes the object. A class with a constructor of its own may have been made for Daphne,
    whose constructor takes each option as a keyword.
    """
    if getattr(server_class, "__init__", None) is CommandLineInterface.server_class.__init__:
        return {"options": options}
    return to_settings(options)


def to_settings(options: Options) -> dict[str, Any]:
    """Return the options as keyword arguments that a `server_class` made for Daphne accepts.

    `endpoints` is left out: the Server gets the endpoint strings of all options separately.
    """
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    del settings["endpoints"]
    # Daphne's command has one option for both timeouts.
    if settings["websocket_handshake_timeout"] is None:
        settings["websocket_handshake_timeout"] = options.websocket_connect_timeout
    names = ("address", "port", "proto")
    for name, value in zip(names, options.forwarded_fields, strict=True):
        settings[f"proxy_forwarded_{name}_header"] = value
    return settings


class CommandLineInterface:
    """The command, with the attribute names of Daphne's class, which programs may subclass."""

    description = "Serve an ASGI application over HTTP, on any Twisted endpoint."
    server_class: Any = DefaultServer()

    name = COMMAND
    """Prefix of messages on standard error."""

    def __init__(self) -> None:
        self.parser = make_parser(self.description, self.name)
        self.server: Server | None = None
        self.options = Options()
        self.notifier = Notifier()
        self.configuration = Configuration(self.options)
        self.log_prefix = ""
        self._actions: access.AccessLog | None = None

    @classmethod
    def entrypoint(cls) -> NoReturn:
        """Run the console script."""
        init.serve_in_child()  # for a class of another program; the command has called it before
        open_standard_descriptors()
        command = cls()
        command.notifier = Notifier.from_environment(os.environ)
        stacks_at_quit()
        try:
            status = command.run(sys.argv[1:])
        except KeyboardInterrupt:  # before the server handles Ctrl-C: the application is imported
            status = 128 + signal.SIGINT
        if not wait_for_threads():
            logging.shutdown()
            sys.stdout.flush()
            os._exit(status)
        sys.exit(status)

    def run(self, args: list[str]) -> int:
        """Serve with the options of a command line.

        Returns:
            The exit status: 0 after a stop, 1 for a port in use, 2 for a bad option or import,
            3 when the application's startup failed.
        """
        if args and args[0] in QUESTIONS:
            return self._ask(args[0], args[1:])
        parsed = self.parser.parse_args(with_dashes(args))
        configure = partial(load, vars(parsed), os.environ)
        if not (parsed.check or parsed.print_config):
            return self.serve(configure)
        from daphne_like.launch.inspection import answer  # not loaded by a server

        try:
            sys.stdout.write(answer(parsed, configure(), os.environ))
        except ConfigurationError as error:
            return self._report(error)
        return 0

    def _ask(self, name: str, args: list[str]) -> int:
        from daphne_like.launch.asking import ask  # not loaded by a server

        try:
            return ask(name, self.name, args)
        except ConfigurationError as error:
            return self._report(error)

    def serve(self, configure: Callable[[], Configuration]) -> int:
        """Serve until a signal arrives, or print one sentence that explains the failure.

        Args:
            configure: returns the configuration; may raise a ConfigurationError. With workers it
                is called again for each restart.
        Returns:
            The exit status, see `run`.
        """
        try:
            self.configuration = configure()
            self.options = self.configuration.options
            check_workers(self.options)
            self.start_logging(self.options)
            raise_limit()
            path = self.configuration.application
            with PidFile(self.options.pid_file):
                if self.options.workers is not None or self.options.reload:
                    return self._supervise(configure)
                return self.run_server(self.make_server(path, self.options))
        except ConfigurationError as error:
            return self._report(with_origins(error, self.configuration.origins))

    def _report(self, error: ConfigurationError) -> int:
        sys.stderr.write(to_sentence(error, self.name))
        return error.exit_status

    def start_logging(self, options: Options) -> None:
        """Log to standard error; see the function."""
        start_logging(options, self.log_prefix)

    def load_asgi_app(self, path: str) -> Any:
        """Import the application; search `--app-dir` (by default the working directory) first."""
        return import_from(path, self.options)

    def make_server(self, path: str, options: Options) -> Server:
        """Install the reactor, import the application and make the server.

        Raises:
            ConfigurationError: the application cannot be imported, or an option is wrong.
        """
        tune_malloc()
        loop = reactors.install().loop
        loop.set_debug(options.verbosity >= 3)
        with loggers.kept_enabled():
            application = self.load_asgi_app(path)
        keep_a_handler(options, self.log_prefix)
        self._actions = open_access_log(options, self.log_prefix)
        self.server = self.server_class(
            application=application,
            endpoints=endpoint_strings(options),
            action_logger=self._actions,
            ready_callable=lambda *_server: self._ready(path),
            **server_arguments(self.server_class, options),
        )
        if is_server(self.server):
            self._notify_of(self.server)
        return self.server

    def _notify_of(self, server: Server) -> None:
        """Let the server report reloads, its stop and the turns of its event loop."""
        server.notifier = self.notifier
        server.lifecycle.add_check(lambda: self.notifier.beat(server.clock()))

    def run_server(self, server: Server) -> int:
        """Run a server until it stops.

        Returns:
            The exit status.
        Raises:
            ConfigurationError: it cannot start.
        """
        try:
            server.run()
        finally:
            if self._actions is not None:
                self._actions.flush()
        # A `server_class` made for Daphne may lack this attribute.
        return int(getattr(server, "exit_status", 0))

    def announce(self, path: str) -> None:
        """Log what is served and where; a worker leaves that to its supervisor."""
        log_banner(self.server, path)

    def _ready(self, path: str) -> None:
        # The callback uses no argument, because a `server_class` made for Daphne passes none.
        keep_a_handler(self.options, self.log_prefix)  # the startup may have configured logging
        self.announce(path)
        freeze()
        where = f" at {format_addresses(self.server)}" if is_server(self.server) else ""
        self.notifier.ready(f"Serving {path}{where}")

    def _supervise(self, configure: Callable[[], Configuration]) -> int:
        # Not loaded by one process.
        from daphne_like.launch.supervised import supervise

        return supervise(type(self), configure, self.notifier)


def open_standard_descriptors() -> None:
    """Open the null device for each standard descriptor that is closed.

    Otherwise the next socket would get its number: printed text would be sent to a peer, and libuv
    aborts the process when it closes a descriptor below 3.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def stacks_at_quit() -> None:
    """Let SIGQUIT write the stacks of all threads to standard error before it ends the process."""
    if hasattr(signal, "SIGQUIT"):
        faulthandler.register(signal.SIGQUIT, chain=True)


def to_sentence(error: ConfigurationError, name: str) -> str:
    """Format an error for standard error: the application's traceback, if any, then a sentence."""
    detail = f"{error.detail}\n" if error.detail else ""
    return f"{detail}{name}: {error}\n"


def tune_malloc() -> None:
    """Let malloc keep the memory of large reads for reuse instead of returning it each time.

    glibc returns blocks above 128 KiB to the system and requests them again for the next read; the
    page faults are a quarter of the cost of a 1 MB upload (measured, docs/discussion/speed.rst).
    Other C libraries have no mallopt, or ignore these settings.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_OCTETS)
        mallopt(M_TRIM_THRESHOLD, KEPT_OCTETS)


def announce_and_freeze(server: Any, path: str) -> None:
    """Log the listening addresses, and exempt long-lived objects from garbage collection.

    Args:
        server: a Server; for another `server_class` only the application's name is logged.
        path: the application's name.
    """
    log_banner(server, path)
    freeze()


def log_banner(server: Any, path: str) -> None:
    """Log the listening addresses; for an object that is no Server only the application's name."""
    served = f"daphne-like {__version__} serves {path}"
    text = banner(server, path) if is_server(server) else served
    logging.getLogger("daphne_like.server").info("%s", text)


def freeze() -> None:
    """Exempt long-lived objects from garbage collection.

    Without the freeze, each full collection walks the modules of server and application.
    """
    gc.collect()
    gc.freeze()
