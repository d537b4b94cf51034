"""`DaphneProcess`: a server in a separate process, like that of `daphne.testing`."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import pickle
import sys
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any
from weakref import ref

from daphne_like.testing.stand_in import stand_in_for_daphne, stands_in

CHECK_INTERVAL_SECONDS = 0.1
END_SECONDS = 5.0
"""Maximum wait for a terminated process before it is killed."""
MAX_OCTETS = 12_000
"""Maximum size of an error sent to the parent. It is less than the capacity of any system's pipe,
so that the child never waits for a parent that does not read."""


class Ready(multiprocessing.synchronize.Event):
    """An event whose `wait` also ends when the process that should set it has ended."""

    def __init__(self, process: DaphneProcess) -> None:
        super().__init__(ctx=multiprocessing.get_context())
        self._process: Callable[[], DaphneProcess | None] | None = ref(process)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server listens.

        Args:
            timeout: seconds.
        Returns:
            Whether the server listens; False at once if its process has ended before.
        Raises:
            RuntimeError: no timeout is given, and the process has ended; the text gives the cause.
                Callers without a timeout ignore the return value (Channels 4.1).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = CHECK_INTERVAL_SECONDS if deadline is None else deadline - time.monotonic()
            if super().wait(max(0.0, min(left, CHECK_INTERVAL_SECONDS))):
                return True
            process = None if self._process is None else self._process()
            if process is not None and process.has_ended():
                if self.is_set():
                    return True
                if deadline is None:
                    raise RuntimeError(f"The server did not start:\n{process.cause()}")
                return False
            if deadline is not None and time.monotonic() >= deadline:
                return False


class DaphneProcess(multiprocessing.Process):
    """A process that serves an ASGI application; `terminate()` ends it at once.

    The process may be forked, even from a process whose reactor is running. It may also be
    spawned; then the arguments must be picklable.

    Args:
        host: address to listen on.
        get_application: called in the child; returns the application.
        kwargs: arguments of `daphne_like.server.Server`: options by name.
        setup: called in the child before it serves.
        teardown: called in the child after it has stopped serving.
        port: port to listen on; by default a free one.

    Attributes:
        ready: set when the server listens.
        port: its value is the real port once the server listens.
        errors: queue of (exception, traceback as text) if the server could not start. The child
            also writes the text to standard error.
    """

    def __init__(
        self,
        host: str,
        get_application: Callable[[], Any],
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[[], Any] | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.get_application = get_application
        self.kwargs = kwargs or {}
        self.setup = setup
        self.teardown = teardown
        self.port = multiprocessing.Value("i", port or 0)
        self.ready = Ready(self)
        self.errors: multiprocessing.Queue[tuple[BaseException, str]] = multiprocessing.Queue()

    def __reduce__(self) -> Any:
        # Install the substitute for Daphne before unpickling the rest, because unpickling
        # `get_application` or a subclass may import channels.testing.
        everything = bytes(ForkingPickler.dumps((type(self), self.__dict__)))
        return revive, (stands_in(), everything)

    def run(self) -> None:
        """Serve; called in the child."""
        from daphne_like.process import after_fork
        from daphne_like.testing import child

        try:
            from daphne_like.listening.strings import build_endpoint_description_strings

            after_fork.prepare()
            child.serve(
                self.get_application,
                build_endpoint_description_strings(self.host, self.port.value),
                self._listens,
                {"signal_handlers": False, **self.kwargs},
                self.setup,
                self.teardown,
            )
        except BaseException as error:  # noqa: BLE001 # foreign code, at the end of a process
            text = child.format_error(error)
            sys.stderr.write(text)
            sys.stderr.flush()
            self.errors.put(portable(error, text))
            raise SystemExit(1) from None

    def _listens(self, server: Any) -> None:
        self.port.value = server.listening_addresses[0][1] or 0
        self.ready.set()

    def listening(self, timeout: float) -> int:
        """Start, and wait until it listens.

        Args:
            timeout: seconds.
        Returns:
            The port.
        Raises:
            RuntimeError: it does not; with the cause, and it has ended.
        """
        self.start()
        if self.ready.wait(timeout):
            return int(self.port.value)
        cause = self.cause()
        self.end()
        raise RuntimeError(f"The server did not start:\n{cause}")

    def end(self) -> None:
        """End the process, by force if necessary."""
        self.terminate()
        self.join(END_SECONDS)
        if self.exitcode is None:
            self.kill()
            self.join()
        self.errors.close()

    def has_ended(self) -> bool:
        """Tell whether this process has started the child and the child has ended."""
        return self._popen is not None and self.exitcode is not None  # type: ignore[attr-defined] # not in typeshed

    def cause(self) -> str:
        """Return the cause of the failed start, as far as known; the error stays in `errors`."""
        try:
            error = self.errors.get(timeout=CHECK_INTERVAL_SECONDS)
        except Exception:  # noqa: BLE001 # queue.Empty, or what unpickling raises
            return f"its process ended with status {self.exitcode}"
        self.errors.put(error)
        return error[1]


def revive(stand_in: bool, everything: bytes) -> DaphneProcess:
    """Return the DaphneProcess that a spawned child represents."""
    if stand_in:
        stand_in_for_daphne()
    kind, attributes = pickle.loads(everything)  # noqa: S301 # written by __reduce__
    process: DaphneProcess = kind.__new__(kind)
    process.__dict__.update(attributes)
    return process


def portable(error: BaseException, text: str) -> tuple[BaseException, str]:
    """Return an error and a text that can be pickled and sent without waiting for a reader."""
    text = text[-MAX_OCTETS // 4 :]  # a character takes at most four octets
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 # pickled in the line above
        fits = len(pickled) <= MAX_OCTETS // 2
    except Exception:  # noqa: BLE001 # exceptions of any kind have __reduce__ of any kind
        fits = False
    if fits:
        return error, text
    return RuntimeError(f"{type(error).__name__}: {error}"[: MAX_OCTETS // 8]), text
