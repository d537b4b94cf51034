"""The command `daphne-like` of twistd and twist: the same options, in a service."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.logger import ILogObserver
from twisted.python import logfile, usage
from twisted.python.components import Componentized

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import log_config
from daphne_like.launch.arguments import make_parser, with_dashes
from daphne_like.launch.command import announce_and_freeze, to_sentence, tune_malloc
from daphne_like.launch.configuration import Configuration, load
from daphne_like.launch.log_setup import LEVELS, make_access_log, open_access_log
from daphne_like.launch.service import ASGIService
from daphne_like.launch.supervised_service import SupervisedService
from daphne_like.observe import loggers
from daphne_like.observe.access import AccessLog
from daphne_like.observe.structured import TEXT
from daphne_like.observe.twisted_log import structured_observer, to_twisted_log
from daphne_like.options import DEVELOPMENT, PROCESS, get_group
from daphne_like.runtime.descriptor_limit import raise_limit
from daphne_like.server import Server

log = logging.getLogger("daphne_like.server")

OTHERS = get_group(PROCESS, DEVELOPMENT)
"""Options that a file and the environment do not set for twistd, which has its own."""
EPILOG = """examples:
  twistd -n daphne-like mysite.asgi:application        in the foreground
  twistd --uid www-data --pidfile /run/site.pid \\
      --logfile /var/log/site.log daphne-like -p 80 main:app
  twist daphne-like -e tcp:8000 -e unix:/run/s main:app
"""


class NotStarted(ConfigurationError, SystemExit):
    """Ends twistd or twist with an exit status and without a traceback.

    Must be an Exception: only then does twistd report it to the parent of a daemon and remove the
    pid file. Must be a SystemExit: twistd re-raises it and nothing else may catch it.

    Args:
        error: the error, which has been reported already.
    """

    def __init__(self, error: ConfigurationError) -> None:
        super().__init__(str(error), exit_status=error.exit_status)
        self.code = error.exit_status


class Options(usage.Options):
    """The options of `twistd daphne-like`, parsed by the command's own parser.

    Attributes:
        options: the parsed options.
        application: "module:attribute".
        configure: returns the configuration, read again.
    """

    name = "twistd daphne-like"

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        parser = make_parser(
            "Serve an ASGI application in twistd or twist.",
            self.name,
            EPILOG,
            (PROCESS, DEVELOPMENT),
        )
        parsed = parser.parse_args(with_dashes(list(options or ())))
        try:
            self._choose_reactor()
            configuration = load(vars(parsed), os.environ, unless_flags=OTHERS)
            self.configure = partial(_load_again, vars(parsed), configuration.file)
            self.options = configuration.options
            self.application = configuration.application
            self._check_log_format()
            text = self._answer(parsed, configuration)
        except ConfigurationError as error:
            sys.stderr.write(to_sentence(error, self.name))
            sys.exit(error.exit_status)
        if text is not None:
            sys.stdout.write(text)
            sys.exit(0)
        self.postOptions()  # type: ignore[no-untyped-call] # not typed

    def _answer(self, parsed: argparse.Namespace, configuration: Configuration) -> str | None:
        if parsed.check or parsed.print_config:
            from daphne_like.launch.inspection import answer  # not loaded by a server

            return answer(parsed, configuration, os.environ)
        return None

    def _check_log_format(self) -> None:
        if self.options.log_format == TEXT:
            return
        if self.of_twist:
            raise ConfigurationError(
                "--log-format: twist has an option of this name for its log, which stands before "
                "daphne-like; --access-log-format is independent of it"
            )
        if self._get_twistd_option("syslog"):
            raise ConfigurationError("--log-format: syslog takes text alone")

    def _choose_reactor(self) -> None:
        """Install this package's reactor, unless the user has chosen another one.

        This must happen before Twisted installs its default, because a reactor stays installed
        for the life of the process.
        """
        try:
            reactors.require()
        except ConfigurationError:
            chosen = type(sys.modules["twisted.internet.reactor"]).__name__
            raise ConfigurationError(
                f"--reactor: {chosen} does not run on an asyncio event loop; leave the option out, "
                "or give daphne-like or asyncio"
            )

    def _get_twistd_option(self, option: str) -> Any:
        """Return the value of one of twistd's options; None under twist or if it was not given."""
        parent: Any = self.parent or {}
        return parent.get(option)

    @property
    def of_twist(self) -> bool:
        """True under twist, which opens its log (its option `logFile`) only after the start."""
        return "logFile" in (self.parent or {})

    @property
    def log_file(self) -> Any:
        """File of twistd's log, opened as twistd opens it."""
        name = self._get_twistd_option("logfile")
        if name == "-" or (not name and self._get_twistd_option("nodaemon")):
            return sys.stdout
        return logfile.LogFile.fromFullPath(name or "twistd.log")


def _load_again(given: Mapping[str, Any], file: str | None) -> Configuration:
    """Return the configuration of a command line, read again.

    Args:
        given: the parsed command line.
        file: absolute path of the file that was read first. twistd may have changed its directory.
    """
    return load({**given, "config": file}, os.environ, unless_flags=OTHERS)


class OfTwistd(Service):
    """The part of both services that concerns twistd: its log, and the end of a failed start.

    Args:
        command: parsed options.
    """

    _command: Options
    _log_config: str | None
    _stderr: int | None

    def set_command(self, command: Options) -> None:
        """Set the parsed options, and keep standard error for the cause of a failed start."""
        self._command = command
        self._log_config = command.options.log_config
        # A daemon's own standard error is the null device, and twistd passes at most 100 bytes
        # of an error message on to the parent.
        self._stderr = os.dup(2) if sys.__stderr__ is not None else None

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call] # not typed
        style = self._command.options.log_format
        if style != TEXT and isinstance(parent, Componentized):
            observer = structured_observer(self._command.log_file, style)
            parent.setComponent(ILogObserver, observer)

    def _or_end(self, step: Callable[[], None]) -> None:
        """Run a step of the start; end the process with one sentence if it fails."""
        # This command owns the process, so the application's log records go to Twisted too.
        level = LEVELS[self._command.options.verbosity]
        try:
            self._configure_log()
            to_twisted_log("", level)
            loggers.use_level(level)
            loggers.leave_out_internals(self._command.options.verbosity)
            step()
        except ConfigurationError as error:
            self._report_failure(error)
            raise NotStarted(error) from None

    def _configure_log(self) -> None:
        """Configure logging from --log-config, once."""
        path, self._log_config = self._log_config, None
        if path is not None:
            log_config.configure(path)

    def _report_failure(self, error: ConfigurationError) -> None:
        if not self._command.of_twist:
            log.critical("%s%s", error, error.detail and f"\n{error.detail}")
        self._say(to_sentence(error, self._command.name))

    def _say(self, text: str) -> None:
        """Write a last text to the original standard error and close it.

        A parent that reads standard error to its end must not wait until the daemon ends.
        """
        descriptor, self._stderr = self._stderr, None
        if descriptor is not None:
            with os.fdopen(descriptor, "w") as stderr:
                stderr.write(text)


class CommandService(OfTwistd, ASGIService):
    """The service of `twistd daphne-like`; ends the process if it cannot start.

    Args:
        command: parsed options.
    """

    def __init__(self, command: Options) -> None:
        self.set_command(command)
        ASGIService.__init__(
            self,
            command.application,
            options=command.options,
            ready_callable=lambda server: announce_and_freeze(server, command.application),
        )

    def privilegedStartService(self) -> None:
        self._or_end(super().privilegedStartService)

    def startService(self) -> None:
        tune_malloc()
        self._or_end(super().startService)
        raise_limit()
        self._say("")

    def _bind(self) -> Server:
        # twist calls no `privilegedStartService`, so this is the first step of both.
        options = self.options
        if self.action_logger is None and (options.access_log or options.verbosity):
            self.action_logger = self._access_log()
        return super()._bind()

    def _access_log(self) -> AccessLog:
        """Return an access log that writes to Twisted's log, or to its own file if it has one."""
        if self.options.access_log is None:
            return make_access_log(self.options)
        return open_access_log(self.options) or make_access_log(self.options)


class WorkersService(OfTwistd, SupervisedService):
    """The service of `twistd daphne-like --workers N`.

    Args:
        command: parsed options.
    """

    def __init__(self, command: Options) -> None:
        self.set_command(command)
        SupervisedService.__init__(self, command.configure, self._report_failure)

    def privilegedStartService(self) -> None:
        self._or_end(super().privilegedStartService)

    def startService(self) -> None:
        self._or_end(super().startService)

    def _ready(self) -> None:
        super()._ready()
        self._say("")


def makeService(options: Options) -> OfTwistd:
    """Create the service; twistd and twist look this function up by its name."""
    return CommandService(options) if options.options.workers is None else WorkersService(options)
