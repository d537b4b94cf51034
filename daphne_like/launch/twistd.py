"""The command `daphne-like` of twistd and twist: the same options, in a service."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import ILogObserver, jsonFileLogObserver
from twisted.python import logfile, usage
from twisted.python.components import Componentized

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.command import (
    LEVELS,
    make_parser,
    open_access_log,
    options_from,
    ready,
    to_sentence,
    tune_malloc,
    with_dashes,
)
from daphne_like.launch.service import ASGIService
from daphne_like.observe import loggers
from daphne_like.observe.access import AccessLog
from daphne_like.observe.twisted_log import to_twisted_log

log = logging.getLogger("daphne_like.server")

EPILOG = """examples:
  twistd -n daphne-like mysite.asgi:application        in the foreground
  twistd --uid www-data --pidfile /run/site.pid \\
      --logfile /var/log/site.log daphne-like -p 80 main:app
  twist daphne-like -e tcp:8000 -e unix:/run/s main:app
"""


class NotStarted(ConfigurationError, SystemExit):
    """Ends twistd or twist with a status, and without a traceback.

    An Exception, because twistd tells the parent of a daemon of those alone, and removes the pid
    file; a SystemExit, because it raises it again, and nobody else catches it.

    Args:
        error: told already.
    """

    def __init__(self, error: ConfigurationError) -> None:
        super().__init__(str(error), exit_status=error.exit_status)
        self.code = error.exit_status


class Options(usage.Options):
    """The options of `twistd daphne-like`: those of the command, by the command's own parser.

    Attributes:
        options: what was chosen.
        application: "module:attribute".
        log_format: "text" or "json".
    """

    name = "twistd daphne-like"

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        parser = make_parser("Serve an ASGI application in twistd or twist.", self.name, EPILOG)
        parser.add_argument(
            "--log-format",
            choices=("text", "json"),
            default="text",
            help="of twistd's --logfile; twist has an option of its own for it (default: text)",
        )
        parsed = parser.parse_args(with_dashes(list(options or ())))
        try:
            self._choose_reactor()
            self.options = options_from(parsed)
            self.application = parsed.application
            self.log_format = parsed.log_format
            if self.log_format == "json" and self._of_twistd("syslog"):
                raise ConfigurationError("--log-format: syslog takes text alone")
        except ConfigurationError as error:
            sys.stderr.write(to_sentence(error, self.name))
            sys.exit(error.exit_status)
        self.postOptions()  # type: ignore[no-untyped-call] # not typed

    def _choose_reactor(self) -> None:
        """Ours, unless one was chosen; now, before Twisted installs its default: it is for life."""
        try:
            reactors.require()
        except ConfigurationError:
            chosen = type(sys.modules["twisted.internet.reactor"]).__name__
            raise ConfigurationError(
                f"--reactor: {chosen} does not run on an asyncio event loop; leave the option out, "
                "or give daphne-like or asyncio"
            )

    def _of_twistd(self, option: str) -> Any:
        """An option of twistd's, None under twist and when it was not given."""
        parent: Any = self.parent or {}
        return parent.get(option)

    @property
    def of_twist(self) -> bool:
        """Whether twist was called; it begins its log, in a file of this name, after the start."""
        return "logFile" in (self.parent or {})

    @property
    def log_file(self) -> Any:
        """The file of twistd's log, opened as twistd opens it."""
        name = self._of_twistd("logfile")
        if name == "-" or (not name and self._of_twistd("nodaemon")):
            return sys.stdout
        return logfile.LogFile.fromFullPath(name or "twistd.log")


class CommandService(ASGIService):
    """The service of `twistd daphne-like`: it ends the process when it does not start.

    Args:
        command: its options.
    """

    def __init__(self, command: Options) -> None:
        self._command = command
        options = command.options
        super().__init__(
            command.application,
            options=options,
            ready_callable=lambda server: ready(server, command.application),
        )
        # A daemon's own leads nowhere, and of what failed twistd passes on 100 octets at most.
        self._stderr: int | None = os.dup(2) if sys.__stderr__ is not None else None

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call] # not typed
        if self._command.log_format == "json" and isinstance(parent, Componentized):
            # Without the separator of RFC 7464, which hardly anything reads but Twisted.
            observer = jsonFileLogObserver(self._command.log_file, recordSeparator="")
            parent.setComponent(ILogObserver, observer)

    def privilegedStartService(self) -> None:
        self._or_end(super().privilegedStartService)

    def startService(self) -> None:
        tune_malloc()
        self._or_end(super().startService)
        self._say("")

    def _or_end(self, step: Callable[[], None]) -> None:
        # All of the process is this command's, the application's own log included.
        to_twisted_log("", LEVELS[self.options.verbosity])
        loggers.use_level(LEVELS[self.options.verbosity])
        try:
            if self.action_logger is None and (self.options.access_log or self.options.verbosity):
                self.action_logger = self._access_log()
            step()
        except ConfigurationError as error:
            if not self._command.of_twist:
                log.critical("%s%s", error, error.detail and f"\n{error.detail}")
            self._say(to_sentence(error, self._command.name))
            raise NotStarted(error) from None

    def _say(self, text: str) -> None:
        """The last word on standard error; who reads it to its end does not wait for a daemon's."""
        descriptor, self._stderr = self._stderr, None
        if descriptor is not None:
            with os.fdopen(descriptor, "w") as stderr:
                stderr.write(text)

    def _access_log(self) -> AccessLog:
        """The lines go to Twisted's log, unless they have a file of their own."""
        if self.options.access_log is None:
            return AccessLog()
        return open_access_log(self.options) or AccessLog()


def makeService(options: Options) -> CommandService:
    """What twistd and twist call, by this name."""
    return CommandService(options)
