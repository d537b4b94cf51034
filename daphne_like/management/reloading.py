"""The two processes of Django's autoreloader: the one that starts the other, and its end."""

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
"""A terminal sends Ctrl-C to both processes; after this the other one has had it too."""
THREAD_SECONDS = 1.0
"""For views in threads to return, once the server has stopped."""


def is_child() -> bool:
    """Whether this is the process that serves, and not the one that starts it again."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"


def watch_over(options_with_value: Sequence[str]) -> int:
    """Start the serving process, again after each change, until it ends for another reason.

    Django's own loop (restart_with_reloader) kills the process at once on SIGTERM, and a quarter
    of a second after Ctrl-C: no request would be finished, and no lifespan ended.

    Args:
        options_with_value: spellings of ours that Django's runserver does not know.
    Returns:
        The exit status of the last one.
    """
    arguments = joined(autoreload.get_child_arguments(), options_with_value)
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        child = subprocess.Popen(arguments, env=environment, close_fds=False)  # noqa: S603 # ourselves
        before = _pass_on_signals(child)
        try:
            status = child.wait()
        finally:
            for number, taken in before.items():
                signal.signal(number, taken)
        if status != RELOAD_STATUS:
            return status if status >= 0 else 1


def joined(arguments: Sequence[Any], options_with_value: Sequence[str]) -> list[str]:
    """A command line with `--option=value` for each `--option value` of ours.

    When the project does not load, Django falls back on its own runserver and drops the options
    that this one does not know, one word at a time: a value on its own would be an address.
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
    """The first SIGINT or SIGTERM ends the child, the second kills it."""
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
    """Have the autoreloader watch the file in which an import failed.

    A module whose import fails is not in sys.modules, where the autoreloader looks for files.
    """

    def again() -> None:
        raise error

    try:
        autoreload.check_errors(again)()
    except Exception:  # noqa: BLE001 # the same one again, which is reported elsewhere
        return


def leave_threads(status: Any, tell: Callable[[str], Any]) -> None:
    """Let this process end although a view blocks a thread of the pool.

    Python waits for the pool's threads when it ends; Django's own server, whose threads are
    daemons, does not.

    Args:
        status: that the process is about to end with.
        tell: is given a sentence when it comes to that.
    """

    def end() -> None:
        tell("A view still runs in a thread; ending without it.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))

    timer = threading.Timer(THREAD_SECONDS, end)
    timer.daemon = True
    timer.start()
