"""Runs one server in the child process of a test."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daphne_like.exceptions import ConfigurationError, DaphneLikeError
from daphne_like.server import Server

HERE = Path(__file__).parent


class StartError(DaphneLikeError):
    """The server did not start; the text is a sentence with the cause."""


class ChildServer(Server):
    """A server that keeps the cause of a failed start.

    Attributes:
        cause: a sentence, once the server has given up.
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
    """Serve until the process ends; call `prepare` before.

    Args:
        get_application: called first, without arguments.
        endpoints: endpoint strings.
        ready: called with the server when it listens.
        settings: arguments of Server.
        setup: called immediately before the server starts.
        teardown: called after the server has stopped, unless the process ends first.
    Raises:
        StartError: the server gave up, because of a port in use or a failed startup.
        Exception: any exception of `get_application`, `setup` or `teardown`.
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


def format_error(error: BaseException) -> str:
    """Format an error: a sentence for known errors, otherwise the application's own traceback."""
    if isinstance(error, StartError):
        return f"{error}\n"
    if isinstance(error, ConfigurationError):
        return f"{error.detail}\n{error}\n".lstrip("\n")
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == HERE:
        trace = trace.tb_next
    if trace is None:  # every frame is in this folder
        trace = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, trace))
