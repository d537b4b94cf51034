"""What runs in the child process of a test: one server, from nothing to its end."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daphne_like.exceptions import ConfigurationError, DaphneLikeError
from daphne_like.server import Server

HERE = Path(__file__).parent


class StartError(DaphneLikeError):
    """The server did not start; the sentence says why."""


class ChildServer(Server):
    """A server that remembers why it did not start.

    Attributes:
        cause: the sentence, once it has given up.
    """

    cause: str | None = None

    def give_up(self, sentence: str, exit_status: int) -> None:
        self.cause = sentence
        super().give_up(sentence, exit_status)


def serve(
    get_application: Callable[[], Any],
    endpoints: list[str],
    ready: Callable[[Server], None],
    settings: dict[str, Any],
    setup: Callable[[], Any] | None = None,
    teardown: Callable[[], Any] | None = None,
) -> None:
    """Serve until the process is ended; `prepare` has run.

    Args:
        get_application: called first, without arguments.
        endpoints: strings.
        ready: called with the server when it listens.
        settings: arguments of Server.
        setup: called before the server listens, as the last thing before.
        teardown: called when the server has stopped, if it does before the process ends.
    Raises:
        StartError: the server gave up: a taken port, a failed startup.
        Exception: whatever `get_application`, `setup` or `teardown` raise.
    """
    server = ChildServer(get_application(), endpoints=endpoints, ready_callable=ready, **settings)
    if setup is not None:
        setup()
    try:
        server.run()
    finally:
        if teardown is not None:
            teardown()
    if server.cause is not None:
        raise StartError(server.cause)


def told(error: BaseException) -> str:
    """The traceback of an error, as a person wants it: the application's own, then the sentence."""
    if isinstance(error, StartError):
        return f"{error}\n"
    if isinstance(error, ConfigurationError):
        return f"{error.detail}\n{error}\n".lstrip("\n")
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == HERE:
        trace = trace.tb_next
    if trace is None:  # it is ours altogether
        trace = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, trace))
