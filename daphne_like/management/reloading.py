"""The two processes of Django's autoreloader: starting and ending the serving process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from django.utils import autoreload

RELOAD_STATUS = 3  # django.utils.autoreload.trigger_reload
TERMINAL_SECONDS = 0.3
"""A terminal sends Ctrl-C to both processes; by this time the child has received it too."""
THREAD_SECONDS = 1.0
"""Maximum wait for views in threads after the server has stopped."""


def is_child() -> bool:
    """Tell whether this is the serving process, not the one that restarts it."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"


def watch_over(options_with_value: Sequence[str]) -> int:
    """Start the serving process, and restart it after each change, until it ends otherwise.

    Django's own loop (restart_with_reloader) kills the process at once on SIGTERM, and a quarter
    of a second after Ctrl-C, so no request would be finished and no lifespan ended.

    Args:
        options_with_value: option spellings that Django's runserver does not know.
    Returns:
        The exit status of the last process.
    """
    arguments = joined(autoreload.get_child_arguments(), options_with_value)
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        child = subprocess.Popen(arguments, env=environment, close_fds=False)  # noqa: S603 # this command again
        before = _pass_on_signals(child)
        try:
            status = child.wait()
        finally:
            for number, taken in before.items():
                signal.signal(number, taken)
        if status != RELOAD_STATUS:
            return status if status >= 0 else 1


def joined(arguments: Sequence[Any], options_with_value: Sequence[str]) -> list[str]:
    """Return a command line with `--option=value` instead of `--option value` for these options.

    When the project does not load, Django falls back on its own runserver and drops unknown
    options word by word. A separate value would remain and be taken for an address.
    """
    together: list[str] = []
    for argument in map(str, arguments):
        if together and together[-1] in options_with_value:
            option = together.pop()
            together.append(f"{option}={argument}" if option[:2] == "--" else option + argument)
        else:
            together.append(argument)
    return together


def _pass_on_signals(child: subprocess.Popen[bytes]) -> dict[int, Any]:
    """Terminate the child on the first SIGINT or SIGTERM, and kill it on the second.

    Returns:
        The earlier handlers by signal number.
    """
    taken: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        taken.append(number)
        if len(taken) > 1:
            child.kill()
        elif number == signal.SIGTERM:
            child.terminate()
        else:
            later = threading.Timer(TERMINAL_SECONDS, child.terminate)
            later.daemon = True
            later.start()

    return {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}


def remember(error: BaseException) -> None:
    """Make the autoreloader watch the file in which an import failed.

    A module whose import fails is not in sys.modules, where the autoreloader looks for files.
    """

    def again() -> None:
        raise error

    try:
        autoreload.check_errors(again)()
    except Exception:  # noqa: BLE001 # the same error, which is reported elsewhere
        return


def exit_despite_threads(status: Any, tell: Callable[[str], Any]) -> None:
    """Let this process end although a view blocks a thread of the pool.

    Python waits for the pool's threads before it exits. Django's own server need not wait, because
    its threads are daemons.

    Args:
        status: exit status with which the process is about to end.
        tell: called with a sentence if the process ends in this way.
    """

    def end() -> None:
        tell("A view still runs in a thread; ending without it.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))

    timer = threading.Timer(THREAD_SECONDS, end)
    timer.daemon = True
    timer.start()
