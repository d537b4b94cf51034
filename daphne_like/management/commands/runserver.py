"""Django's runserver, with this server instead of the WSGI server."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.utils import autoreload

from daphne_like import __version__
from daphne_like import reactor as reactors
from daphne_like.asgi.application import import_application
from daphne_like.asgi.lifespan import STARTUP_FAILED_STATUS
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.arguments import add_config, add_option
from daphne_like.launch.configuration import load
from daphne_like.launch.log_setup import LEVELS
from daphne_like.listening.strings import endpoint_strings, speaks_tls
from daphne_like.management import reloading
from daphne_like.management.request_lines import RequestLines
from daphne_like.observe import loggers
from daphne_like.observe.escaping import SafeFormatter
from daphne_like.options import (
    APPLICATION,
    DEVELOPMENT,
    LISTEN,
    LOG,
    ONLY_WITH_RELOAD,
    PROCESS,
    WORKERS,
    Options,
    get_group,
    seconds,
    without_limits,
)
from daphne_like.process import watching
from daphne_like.server import Server

if apps.is_installed("django.contrib.staticfiles"):
    from django.contrib.staticfiles.management.commands.runserver import Command as DjangoCommand
else:
    from django.core.management.commands.runserver import Command as DjangoCommand

GRACEFUL_SECONDS = 1
"""Time for open requests when Ctrl-C or a change ends the server; 10 for the command."""
STOP_SECONDS = 5.0
"""Maximum time of the whole stop, lifespan shutdown included, before the process exits anyway."""
WATCHFILES, DJANGO = "watchfiles", "django"
TAKEN = {"endpoints", "unix_mode", "unix_owner", "unix_group", *ONLY_WITH_RELOAD}
"""Options of left out groups that runserver offers; Django's address argument replaces the other
ones for listening."""
PREPARED_BY_WORKER = object()
"""Stands for the application until `run` has loaded it for a worker."""
HANDSHAKE = "websocket_handshake_timeout"
"""An option of Daphne's runserver that the command does not have."""
OWN = get_group(APPLICATION, DEVELOPMENT, LISTEN, LOG, PROCESS, WORKERS)
"""Options that a file and the environment do not set for runserver: Django itself has them, they
concern a server for production, or a developer's server must not listen where the site does."""
FIELDS = [
    field
    for field in dataclasses.fields(Options)
    if field.metadata["flags"] and (field.name in TAKEN or field.name not in OWN)
]


class BothSpellings:
    """An argument group that also accepts Daphne's spelling `--http_timeout` of `--http-timeout`.

    Args:
        group: argument group of argparse.
    """

    def __init__(self, group: Any) -> None:
        self._group = group

    def add_argument(self, *flags: str, **settings: Any) -> None:
        """Add an argument, and hidden aliases with underscores (see argparse)."""
        self._group.add_argument(*flags, **settings)
        spelled = [f"--{flag[2:].replace('-', '_')}" for flag in flags if "-" in flag[2:]]
        if spelled:
            hidden = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
            self._group.add_argument(*spelled, **{**settings, **hidden})


class Command(DjangoCommand):  # type: ignore[misc] # Django has no types
    """`manage.py runserver`; with `--noasgi` it runs Django's own server."""

    help = "Starts a web server for development, for HTTP and WebSocket (ASGI)."
    asgi_server_class = Server  # Django's server_cls is used with --noasgi
    _application: Any = None

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Run Django's own WSGI server instead.",
        )
        parser.add_argument(
            "--reloader",
            dest="reloads_with",
            choices=(WATCHFILES, DJANGO),
            help="what reloads: watchfiles, which keeps the port open (the default if it is "
            "installed: pip install 'daphne-like[reload]'), or Django's own autoreloader",
        )
        group = BothSpellings(parser.add_argument_group("daphne-like"))
        add_config(group)
        defaults = self._defaults()
        for field in FIELDS:
            default = defaults.get(field.name, field.default)
            add_option(group, field, default, allow_words=False)  # the parser is Django's
        group.add_argument(
            "--websocket-handshake-timeout",
            dest=HANDSHAKE,
            type=seconds,
            help="seconds for the opening handshake of a WebSocket (the same as "
            "--websocket-connect-timeout; the smaller of the two applies)",
        )
        ours = {"config", "reloads_with", *(field.name for field in FIELDS)}
        self._with_value = [
            spelling
            for action in parser._actions  # argparse's only list of options
            if action.dest in ours and action.nargs != 0
            for spelling in action.option_strings
        ]

    def _defaults(self) -> dict[str, Any]:
        """Return the defaults that differ from the command's, most of them from Django settings."""
        found: dict[str, Any] = {
            "graceful_timeout": GRACEFUL_SECONDS,
            "root_path": _to_root_path(settings.FORCE_SCRIPT_NAME),
        }
        for name in ("websocket_max_message_size", "websocket_max_frame_size"):
            setting = getattr(settings, f"DAPHNE_{name.upper()}", None)
            if setting is not None:
                found[name] = setting
        return found

    def handle(self, *args: Any, **options: Any) -> Any:
        if options["use_asgi"]:
            self._options = self._options_from(options)
        return super().handle(*args, **options)

    def _options_from(self, options: dict[str, Any]) -> Options:
        taken = {"config", "verbosity", *(field.name for field in FIELDS)}
        given = {name: value for name, value in options.items() if name in taken}
        try:
            configuration = load(given, os.environ, defaults=self._defaults(), unless_flags=OWN)
            return dataclasses.replace(
                configuration.options, **without_limits({HANDSHAKE: options[HANDSHAKE]})
            )
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=error.exit_status)

    def run(self, **options: Any) -> None:
        """Serve in this process or, with the autoreloader, in a child that it restarts."""
        if not options["use_asgi"]:
            super().run(**options)
            return
        if self._application is PREPARED_BY_WORKER:
            self._check(options)
            self._log_to_terminal(options["verbosity"])
            self._application = self.get_application(options)
            return
        if options["use_reloader"] and not reloading.is_child():
            if self._uses_watchfiles(options):
                sys.exit(self._serve_and_reload(options))
            sys.exit(reloading.watch_over(self._with_value))
        self._server: Server | None = None
        self._ended = threading.Event()
        self._ended.set()
        status: Any = 0
        try:
            super().run(**options)
        except SystemExit as end:
            status = end.code
            raise
        finally:
            if options["use_reloader"]:
                self._stop()
                reloading.exit_despite_threads(status, self.stderr.write)

    def prepare(self, options: dict[str, Any]) -> Any:
        """Check the project and return its application, in a worker of `supervised`."""
        self._application = PREPARED_BY_WORKER
        self.execute(**options)
        return self._application

    def _uses_watchfiles(self, options: dict[str, Any]) -> bool:
        """Tell which reloader is wanted.

        Raises:
            CommandError: watchfiles is wanted, but not installed.
        """
        wanted = options["reloads_with"]
        only = [name for name in ONLY_WITH_RELOAD if getattr(self._options, name)]
        if wanted == DJANGO or (wanted is None and not only and not watching.is_installed()):
            if only:
                flag = f"--{only[0].replace('_', '-')}"
                raise CommandError(f"{flag} needs --reloader watchfiles", returncode=2)
            return False
        try:
            watching.require_watchfiles("--reloader watchfiles" if wanted else "This option")
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=error.exit_status)
        return True

    def _serve_and_reload(self, options: dict[str, Any]) -> int:
        from daphne_like.management import supervised

        self._log_to_terminal(options["verbosity"])
        application = str(getattr(settings, "ASGI_APPLICATION", None))
        try:
            return supervised.serve_and_reload(
                type(self), options, self._listening(options), application
            )
        except ConfigurationError as error:
            raise _command_error(error)

    def _stop(self) -> None:
        """Stop the server in the autoreloader's thread, and wait for its end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # The parent process passes on a signal that the terminal has sent already.
            signal.signal(number, signal.SIG_IGN)
        if self._server is not None:
            self._server.stop()
        self._ended.wait(STOP_SECONDS)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Check the project, load its application and serve it."""
        if not options["use_asgi"]:
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        self._check(options)
        try:
            reactors.require()
            application = self.get_application(options)
            server = self._make_server(application, options)
        except (ConfigurationError, CommandError) as error:
            if not options["use_reloader"] or options["traceback"]:
                raise _command_error(error)
            self.stderr.write(f"CommandError: {error}")
            return  # the autoreloader waits for a change
        self._serve(server, options)

    def _check(self, options: dict[str, Any]) -> None:
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            # Django 5.2 and later. Not self.get_check_kwargs: runserver's own turns the checks off
            # for `execute`.
            get_kwargs: Any = getattr(BaseCommand, "get_check_kwargs", lambda _self, _options: {})
            self.check(**{**get_kwargs(self, options), "display_num_errors": True})
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()

    def get_application(self, options: dict[str, Any]) -> Any:
        """Return the project's application, wrapped to serve static files if they are enabled.

        Raises:
            CommandError: ASGI_APPLICATION is missing, names nothing, or fails to import.
        """
        application = get_default_application()
        if options.get("use_static_handler") and (settings.DEBUG or options["insecure_serving"]):
            from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

            return ASGIStaticFilesHandler(application)
        return application

    def _listening(self, options: dict[str, Any]) -> Options:
        """Return the server's options, with the address to listen on."""
        chosen = self._options
        if options["addrport"] or not chosen.endpoints:
            try:
                chosen = dataclasses.replace(chosen, host=self._address(), port=int(self.port))
            except ConfigurationError as error:  # names --port, which runserver does not have
                raise CommandError(str(error).removeprefix("--"), returncode=error.exit_status)
        return chosen

    def _make_server(self, application: Any, options: dict[str, Any]) -> Server:
        chosen = self._listening(options)
        return self.asgi_server_class(
            application,
            endpoints=endpoint_strings(chosen),
            signal_handlers=not options["use_reloader"],
            action_logger=self.log_action if options["verbosity"] else None,
            ready_callable=self.print_banner,
            options=chosen,
        )

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action; the server's action logger unless `--verbosity` is 0."""
        RequestLines(self.style)(protocol, action, details)

    def _address(self) -> str:
        family = socket.AF_INET6 if self.use_ipv6 else socket.AF_INET
        try:
            found = socket.getaddrinfo(self.addr, self.port, family, socket.SOCK_STREAM)
        except OSError as error:
            raise CommandError(f"{self.addr} is not an address to listen on: {error.strerror}")
        return str(found[0][4][0])

    def _serve(self, server: Server, options: dict[str, Any]) -> None:
        self._log_to_terminal(options["verbosity"])
        self._server = server
        self._ended.clear()
        try:
            server.run()
        except ConfigurationError as error:  # an endpoint string that cannot be parsed
            self.stderr.write(f"Error: {error}")
            server.exit_status = error.exit_status
        finally:
            self._ended.set()
        status = server.exit_status
        if not options["use_reloader"]:
            if options.get("shutdown_message"):
                self.stdout.write(options["shutdown_message"])
            sys.exit(status)
        if status not in (0, STARTUP_FAILED_STATUS):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # sys.exit would end only the thread

    def _log_to_terminal(self, verbosity: int) -> None:
        """Show the server's log on the terminal unless the project's LOGGING handles it."""
        log = logging.getLogger("daphne_like")
        if not log.hasHandlers():
            out = logging.StreamHandler()
            out.setFormatter(SafeFormatter("%(message)s"))
            log.addHandler(out)
            log.setLevel(LEVELS[verbosity])
            loggers.leave_out_internals(verbosity)

    def print_banner(self, server: Server) -> None:
        """Print Django's banner with the addresses on which the server listens."""
        where = [
            self._url(string, *address)
            for string, address in zip(server.endpoints, server.listening_addresses, strict=True)
        ]
        key = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        self.stdout.write(
            f"{datetime.now():%B %d, %Y - %X}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Starting ASGI/daphne-like version {__version__} development server at "
            f"{', '.join(where)}\n"
            f"Quit the server with {key}."
        )
        if os.environ.get("DJANGO_RUNSERVER_HIDE_WARNING") != "true":
            self.stdout.write(self.style.WARNING(
                "WARNING: This is a development server. In production use the daphne-like "
                "command, or another ASGI or WSGI server."
            ))  # fmt: skip
        self.stdout.flush()

    def _url(self, endpoint: str, host: str, port: int | None) -> str:
        if port is None:
            return f"unix:{host}"
        scheme = "https" if speaks_tls(endpoint) else self.protocol
        if endpoint not in self._options.endpoints and self.addr != "0":
            host = self.addr  # as given: a host name, if the user gave one
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _to_root_path(script_name: str | None) -> str:
    """Return FORCE_SCRIPT_NAME as a root path, with exactly one slash, at its start."""
    name = (script_name or "").strip("/")
    return f"/{name}" if name else ""


def get_default_application() -> Any:
    """Return the application that the setting ASGI_APPLICATION names by a dotted path.

    Raises:
        CommandError: the setting is wrong, or the import fails; the text names the setting and
            includes the traceback of the application's code.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not isinstance(path, str) or "." not in path:
        raise CommandError(
            "The setting ASGI_APPLICATION must name the project's application, for example "
            f"'mysite.asgi.application'; it is {path!r}. (--noasgi runs Django's WSGI server.)"
        )
    module, _, attribute = path.rpartition(".")
    try:
        with loggers.kept_enabled():
            return import_application(f"{module}:{attribute}")
    except ConfigurationError as error:
        if error.__context__ is not None:
            reloading.remember(error.__context__)
        detail = f"\n\n{error.detail}" if error.detail else ""
        raise CommandError(f"The setting ASGI_APPLICATION is {path!r}. {error}{detail}")


def _command_error(error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    return CommandError(str(error), returncode=getattr(error, "exit_status", 1))
