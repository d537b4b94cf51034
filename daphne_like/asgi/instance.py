"""Runs one application instance to its end and reports that end once."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from daphne_like.asgi.forked import end_if_forked
from daphne_like.exceptions import ConnectionClosed

log = logging.getLogger("daphne_like.server")

MAX_CHAIN_LENGTH = 16


class Owner(Protocol):
    """An exchange, a session or the lifespan: it learns how its instance ended."""

    def application_returned(self) -> None:
        """Handle a return, or a ConnectionClosed that the application let through (ASGI H31)."""

    def application_failed(self, exception: BaseException) -> None:
        """Handle an exception of the application; the connection must end too (ASGI C12)."""

    def application_cancelled(self) -> None:
        """Handle a cancellation, by the server or by the application itself."""


async def run_instance(
    application: Callable[..., Awaitable[None]],
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    owner: Owner,
    instances: dict[Any, Any],
) -> None:
    """Call the application and report its end exactly once; never raise.

    Every exception is caught here, KeyboardInterrupt and SystemExit too. Otherwise these two would
    pass from the task through `loop.run_forever` and stop the server for everybody. In a process
    that the application has forked they end that process.

    Args:
        application: an ASGI 3 application.
        scope: the connection scope, a new dict.
        receive: the queue's `get`.
        send: takes one message.
        owner: learns how the instance ended.
        instances: the running instances by owner; the owner is removed at the end.
    """
    try:
        await application(scope, receive, send)
    except ConnectionClosed:
        owner.application_returned()
    except CancelledError:
        owner.application_cancelled()
    except BaseException as exception:
        end_if_forked(exception)
        if exception.__traceback__ is not None:
            exception.__traceback__ = exception.__traceback__.tb_next  # leave out this frame
        if follows_close(exception):
            log.debug("%s ended after its connection was closed", owner, exc_info=exception)
            owner.application_returned()
        else:
            owner.application_failed(exception)
    else:
        owner.application_returned()
    finally:
        instances.pop(owner, None)


def follows_close(exception: BaseException) -> bool:
    """Tell whether an exception was caused by ConnectionClosed (ASGI H31).

    Frameworks replace ConnectionClosed by exceptions of their own (Starlette's ClientDisconnect).
    Task groups wrap it: then every member of the group must have been caused by it.
    """
    link: BaseException | None = exception
    for _ in range(MAX_CHAIN_LENGTH):
        if link is None:
            return False
        members = getattr(link, "exceptions", None)
        if isinstance(members, tuple) and members:
            return all(map(follows_close, members))
        if isinstance(link, ConnectionClosed):
            return True
        link = link.__cause__ or link.__context__
    return False
