"""`RunningServer`: any ASGI application on a real server in a separate process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import sys
import tempfile
import time
import warnings
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from daphne_like.exceptions import DaphneLikeError
from daphne_like.testing.stand_in import stand_in_for_daphne, stands_in

if TYPE_CHECKING:
    from typing_extensions import Self

START_SECONDS = 30.0
END_SECONDS = 10.0
CHECK_INTERVAL_SECONDS = 0.02
LOG_OCTETS = 20_000


class DidNotStart(DaphneLikeError):
    """The server did not start; the text contains the cause and the log."""


class RunningServer:
    """A server that listens when the constructor returns; `stop()` or a `with` block ends it.

    It runs in another process, because a process has one Twisted reactor and the tests may need
    it (pytest-twisted). An import string is served by a spawned, fresh process on every system. An
    object may be a function inside a test and cannot be sent to a fresh process, so for objects
    this process is forked, on Linux and macOS alike; changes by the application then stay in the
    child. On systems without fork (Windows), the object must be picklable.

    The server stops gracefully, with lifespan shutdown; `graceful_timeout` is one second here.

    Args:
        application: ASGI application, an object or "module:attribute".
        options: options by the names of `daphne_like.options.Options`; by default the server
            listens on a free port of 127.0.0.1.

    Attributes:
        host, port: address of the server; for a UNIX socket, its path and port 0.
        url, ws_url: the address as "http://host:port" and "ws://host:port"; https and wss with
            `tls_certificate`.

    Raises:
        DidNotStart: the server did not start; the text contains the application's traceback.
        ConfigurationError: an option is out of range.
    """

    def __init__(self, application: Any, **options: Any) -> None:
        from daphne_like.options import Options

        if not {"host", "port", "unix_socket", "file_descriptor", "endpoints"} & set(options):
            options["port"] = 0
        chosen = Options(**{"graceful_timeout": 1, **options})
        fresh = (
            isinstance(application, str) or "fork" not in multiprocessing.get_all_start_methods()
        )
        context: Any = multiprocessing.get_context("spawn" if fresh else "fork")
        descriptor, path = tempfile.mkstemp(prefix="daphne_like-", suffix=".log")
        os.close(descriptor)
        self._log = Path(path)
        self._last_log = ""
        self._connection, childs = context.Pipe()
        self._process = context.Process(
            target=partial(run, stands_in()), args=(application, chosen, path, childs)
        )
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork in a process with threads; the child creates its own
            # reactor, event loop and threads.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            self._process.start()
        childs.close()
        self.host, self.port = self._wait_for_address()
        name = f"[{self.host}]" if ":" in self.host else self.host
        secure = "s" if chosen.tls_certificate else ""
        self.url = f"http{secure}://{name}:{self.port}"
        self.ws_url = f"ws{secure}://{name}:{self.port}"

    @property
    def log(self) -> str:
        """Output and log of the server so far, with standard error and the access log."""
        try:
            return self._log.read_text("utf-8", "replace")
        except FileNotFoundError:
            return self._last_log

    def wait_for_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """Wait until the log matches a regular expression, because log lines may appear late.

        Args:
            pattern: regular expression, searched for in the whole log.
            timeout: seconds.
        Raises:
            TimeoutError: the pattern was not found; the text contains the log.
        """
        deadline = time.monotonic() + timeout
        while (found := re.search(pattern, self.log)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {pattern!r} in the server's log:\n{self.log}")
            time.sleep(CHECK_INTERVAL_SECONDS)
        return found

    def stop(self) -> int | None:
        """End the server, by force if necessary; may be called twice.

        Returns:
            The exit status; the negative number of a signal that has ended the process.
        """
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._connection.close()
        self._last_log = self.log
        self._log.unlink(missing_ok=True)
        status: int | None = self._process.exitcode
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_for_address(self) -> tuple[str, int]:
        try:
            if not self._connection.poll(START_SECONDS):
                self._give_up(f"it does not listen after {START_SECONDS:.0f} seconds")
            address, cause = self._connection.recv()
        except EOFError:
            self._process.join(END_SECONDS)
            self._give_up(f"its process ended with status {self._process.exitcode}")
        if address is None:
            self._give_up(cause)
        return address[0], address[1] or 0

    def _give_up(self, cause: str) -> NoReturn:
        self.stop()
        log = self._last_log[-LOG_OCTETS:]
        raise DidNotStart(
            f"The server did not start: {cause.rstrip()}" + (f"\nIts log:\n{log}" if log else "")
        )


def run(stand_in: bool, application: Any, options: Any, path: str, connection: Connection) -> None:
    """Serve in the child, and send (address, None) or (None, cause) to the parent."""
    if stand_in:
        stand_in_for_daphne()
    write_to(path, options.verbosity)
    from daphne_like.asgi.application import import_application
    from daphne_like.listening.strings import endpoint_strings
    from daphne_like.observe.access import AccessLog
    from daphne_like.process import after_fork
    from daphne_like.testing import child

    access = AccessLog()

    def log_action(protocol: str, action: str, details: dict[str, Any]) -> None:
        access(protocol, action, details)
        access.flush()  # a test may look for the line as soon as it has the response

    def get_application() -> Any:
        if isinstance(application, str):
            sys.path.insert(0, options.app_dir)
            return import_application(application, options.factory)
        return application() if options.factory else application

    settings = {"options": options, "action_logger": log_action}
    try:
        after_fork.prepare()
        child.serve(
            get_application,
            endpoint_strings(options),
            lambda server: connection.send((server.listening_addresses[0], None)),
            settings,
        )
    except BaseException as error:  # noqa: BLE001 # foreign code, at the end of a process
        try:
            connection.send((None, child.format_error(error)))
        except OSError:
            pass  # the parent has ended
        raise SystemExit(1) from None


def write_to(path: str, verbosity: int) -> None:
    """Send standard output, standard error and all logs to a file instead of pytest's capture."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
