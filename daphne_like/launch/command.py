"""The `daphne-like` command."""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import gc
import itertools
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.python import log as twisted_log

from daphne_like import __version__
from daphne_like import reactor as reactors
from daphne_like.asgi.application import import_application
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import spellings
from daphne_like.launch.banner import banner
from daphne_like.listening.strings import endpoint_strings
from daphne_like.observe import access, loggers
from daphne_like.observe.escaping import SafeFormatter
from daphne_like.observe.handlers import FileHandler, handler_for
from daphne_like.options import PLACEHOLDERS, Options, without_limits
from daphne_like.process.exit import wait_for_threads
from daphne_like.server import Server

LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_OCTETS = 33554432  # the maximum that glibc accepts for M_MMAP_THRESHOLD on 64 bits
DEMO = "daphne_like.demo:application"
COMMAND = "daphne-like"

EPILOG = """examples:
  daphne-like                                    the demo, at http://127.0.0.1:8000/
  daphne-like mysite.asgi:application            a Django project's application
  daphne-like --factory main:make_app            call make_app() for the application
  daphne-like -b 0.0.0.0 -p 80 main:app          every IPv4 address, port 80
  daphne-like -u /run/site.sock main:app         a UNIX socket, for nginx
  daphne-like -e tcp:80 -e unix:/run/s main:app  several endpoints at once
"""


class Parser(argparse.ArgumentParser):
    """Reports an error in one sentence, without printing the usage first."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, with more helpful messages about unknown options."""
        known = self._option_string_actions  # argparse's only list of option spellings
        arguments = list(sys.argv[1:] if args is None else args)
        for argument in itertools.takewhile(lambda each: each != "--", arguments):
            # Check first: argparse might accept it as an abbreviation of a known option.
            ours = spellings.foreign(argument, known)
            if ours is not None:
                self.error(f"there is no option {argument.partition('=')[0]}: {ours}")
        parsed, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            # The argument after an unknown option may be its value, so name the option.
            first = next((each for each in unknown if each.startswith("-")), unknown[0])
            close = spellings.suggestion(first, known) if first.startswith("-") else None
            hint = f"; did you mean {close}?" if close else ""
            self.error(f"unrecognized arguments: {first}{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help lists the options)\n")


def make_parser(
    description: str, name: str = COMMAND, epilog: str = EPILOG
) -> argparse.ArgumentParser:
    """Return a command-line parser for the fields of Options."""
    parser = Parser(
        prog=name,
        usage="%(prog)s [options] [module:application]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daphne-like {__version__}")
    parser.add_argument(
        "application",
        nargs="?",
        default=DEMO,
        metavar="module:application",
        help="the application to serve, for example mysite.asgi:application; `application`, then "
        "`app`, if no attribute is given; the built-in demo if nothing is given",
    )
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(Options):
        metadata = field.metadata
        if not metadata["flags"]:
            continue
        name = metadata["group"]
        group = groups.setdefault(name, None) or parser.add_argument_group(name)
        groups[name] = group
        add_option(group, field, field.default)
    return parser


def add_option(group: Any, field: dataclasses.Field[Any], default: Any) -> None:
    """Add the option that a field of Options describes.

    Args:
        group: argument group of argparse.
        field: field of Options.
        default: value when the option is not given; also shown in the help.
    """
    metadata = field.metadata
    settings: dict[str, Any] = {"dest": field.name, "help": metadata["help"].replace("%", "%%")}
    if field.default is False:
        settings |= {"action": "store_true", "default": False}
    elif metadata.get("repeated"):
        settings |= {"action": "append", "default": None, "metavar": metadata["metavar"]}
    else:
        settings |= {"default": default, "type": metadata["kind"] or str}
        if metadata.get("choices"):
            settings["choices"] = metadata["choices"]
        elif metadata.get("metavar"):
            settings["metavar"] = metadata["metavar"]
        elif metadata["kind"] in PLACEHOLDERS:
            settings["metavar"] = PLACEHOLDERS[metadata["kind"]]
        if default not in (None, ""):
            shown = "on" if default is True else default
            settings["help"] += f" (default: {shown})".replace("%", "%%")
    group.add_argument(*metadata["flags"], **settings)
    if metadata.get("off"):
        group.add_argument(
            metadata["off"],
            dest=field.name,
            action="store_const",
            const=None,
            help="send no Server field",
        )


def options_from(parsed: argparse.Namespace) -> Options:
    """Return the Options of a parsed command line; -1 and 0 become None where they mean no limit.

    Raises:
        ConfigurationError: a value out of range.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Options):
        if not field.metadata["flags"]:
            continue
        value = getattr(parsed, field.name)
        if field.metadata.get("repeated"):
            value = tuple(value or ())
        values[field.name] = value
    return Options(**without_limits(values))


def server_arguments(server_class: Any, options: Options) -> dict[str, Any]:
    """Return the options as a server class takes them.

    Server takes the object. A class with a constructor of its own may have been made for Daphne,
    whose constructor takes each option as a keyword.
    """
    if getattr(server_class, "__init__", None) is Server.__init__:
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


def with_dashes(arguments: list[str]) -> list[str]:
    """Replace Daphne's underscores in option names (`--websocket_timeout`) with dashes."""
    changed: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return changed + arguments[position:]
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        changed.append(argument)
    return changed


class CommandLineInterface:
    """The command, with the attribute names of Daphne's class, which programs may subclass."""

    description = "Serve an ASGI application over HTTP, on any Twisted endpoint."
    server_class = Server

    name = COMMAND
    """Prefix of messages on standard error."""

    def __init__(self) -> None:
        self.parser = make_parser(self.description, self.name)
        self.server: Server | None = None
        self.options = Options()

    @classmethod
    def entrypoint(cls) -> NoReturn:
        """Run the console script."""
        open_standard_descriptors()
        status = cls().run(sys.argv[1:])
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
        parsed = self.parser.parse_args(with_dashes(args))
        return self.serve(parsed.application, lambda: options_from(parsed))

    def serve(self, path: str, make_options: Callable[[], Options]) -> int:
        """Serve until a signal arrives, or print one sentence that explains the failure.

        Args:
            path: for `load_asgi_app` and for messages.
            make_options: may raise a ConfigurationError.
        Returns:
            The exit status, see `run`.
        """
        try:
            self.options = make_options()
            return self._serve(path, self.options)
        except ConfigurationError as error:
            sys.stderr.write(to_sentence(error, self.name))
            return error.exit_status

    def load_asgi_app(self, path: str) -> Any:
        """Import the application; search `--app-dir` (by default the working directory) first."""
        return import_from(path, self.options)

    def _serve(self, path: str, options: Options) -> int:
        start_logging(options)
        tune_malloc()
        loop = reactors.install().loop
        loop.set_debug(options.verbosity >= 3)
        with loggers.kept_enabled():
            application = self.load_asgi_app(path)
        keep_a_handler(options)
        actions = open_access_log(options)
        self.server = self.server_class(
            application=application,
            endpoints=endpoint_strings(options),
            action_logger=actions,
            ready_callable=lambda *_server: self._ready(path),
            **server_arguments(self.server_class, options),
        )
        try:
            self.server.run()
        finally:
            if actions is not None:
                actions.flush()
        # A `server_class` made for Daphne may lack this attribute.
        return int(getattr(self.server, "exit_status", 0))

    def _ready(self, path: str) -> None:
        # The callback uses no argument, because a `server_class` made for Daphne passes none.
        keep_a_handler(self.options)  # the startup may have configured logging, too
        announce_and_freeze(self.server, path)


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


def import_from(path: str, options: Options) -> Any:
    """Import an application, from `--app-dir` first.

    Raises:
        ConfigurationError: there is no such directory, or the application cannot be imported.
    """
    if not os.path.isdir(options.app_dir):
        raise ConfigurationError(f"--app-dir: {options.app_dir} is not a directory")
    if options.app_dir not in sys.path:
        sys.path.insert(0, options.app_dir)
    with loggers.kept_enabled():
        return import_application(path, options.factory)


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

    Without the freeze, each full collection walks the modules of server and application.

    Args:
        server: a Server; for another `server_class` only the application's name is logged.
        path: the application's name.
    """
    served = f"daphne-like {__version__} serves {path}"
    text = banner(server, path) if isinstance(server, Server) else served
    logging.getLogger("daphne_like.server").info("%s", text)
    gc.collect()
    gc.freeze()


def start_logging(options: Options) -> None:
    """Log to standard error at the level of `-v`; from -v 2, include Twisted's own log.

    Raises:
        ConfigurationError: --log-fmt is not a valid format.
    """
    try:
        formatter = SafeFormatter(options.log_fmt)
    except ValueError as error:
        raise ConfigurationError(f"--log-fmt: {error}")
    handler = handler_for(sys.stderr, "the log on standard error")
    handler.setFormatter(formatter)
    logging.basicConfig(level=LEVELS[options.verbosity], handlers=[handler])
    loggers.enable()
    loggers.use_level(LEVELS[options.verbosity])
    loggers.leave_out_internals(options.verbosity)
    if options.verbosity >= 2:
        twisted_log.PythonLoggingObserver(loggerName="twisted").start()


def keep_a_handler(options: Options) -> None:
    """Log to standard error again if the application has removed every handler."""
    logger = logging.getLogger("daphne_like")
    if logger.propagate and not logger.hasHandlers():
        handler = handler_for(sys.stderr, "the log on standard error")
        handler.setFormatter(SafeFormatter(options.log_fmt))
        logging.getLogger().addHandler(handler)


def access_log_of_file(options: Options) -> access.AccessLog | None:
    """Return the access log of an embedded server, if its option `access_log` is set.

    A process has one access log; the server that starts last decides where it goes.

    Raises:
        ConfigurationError: its file cannot be opened.
    """
    return None if options.access_log is None else open_access_log(options)


def open_access_log(options: Options) -> access.AccessLog | None:
    """Return the access log that the options request; None for no access log.

    Without `--access-log`, handlers configured for the logger `daphne_like.access` or
    `daphne_like` replace standard output.

    Raises:
        ConfigurationError: its file cannot be opened.
    """
    if options.access_log in (None, "-"):
        if options.access_log is None and access.is_configured():
            return access.AccessLog()
        if options.access_log is None and options.verbosity < 1:
            return None
        access.write_to(handler_for(sys.stdout, "the access log on standard output"))
    else:
        try:
            access.write_to(FileHandler(str(options.access_log)))
        except OSError as error:
            raise ConfigurationError(
                f"--access-log: cannot append to {options.access_log}: {error.strerror}"
            )
    return access.AccessLog()
