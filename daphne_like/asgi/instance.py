"""Runs one application instance to its end, whatever that end is."""

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
    """Who is told how an instance ended: an exchange, a session or the lifespan."""

    def application_returned(self) -> None:
        """The application returned, or let our own ConnectionClosed through (ASGI H31)."""

    def application_failed(self, exception: BaseException) -> None:
        """The application raised; the connection must end too (ASGI C12)."""

    def application_cancelled(self) -> None:
        """The application ended by cancellation, by us or by itself."""


async def run_instance(
    application: Callable[..., Awaitable[None]],
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    owner: Owner,
    instances: dict[Any, Any],
) -> None:
    """Call the application and report its end exactly once; never raises.

    Everything is caught here, KeyboardInterrupt and SystemExit too: out of a task they would
    leave `loop.run_forever` and stop the server for everybody. A process that the application has
    forked ends with them.

    Args:
        application: an ASGI 3 application.
        scope: the connection scope, a fresh dict.
        receive: the queue's `get`.
        send: takes one message.
        owner: told how it ended.
        instances: the register of what runs, by owner; left at the end.
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
            exception.__traceback__ = exception.__traceback__.tb_next  # this frame says nothing
        if follows_close(exception):
            log.debug("! %s ended after its connection was closed", owner, exc_info=exception)
            owner.application_returned()
        else:
            owner.application_failed(exception)
    else:
        owner.application_returned()
    finally:
        instances.pop(owner, None)


def follows_close(exception: BaseException) -> bool:
    """Whether an exception is what an application made of our ConnectionClosed (ASGI H31).

    Frameworks raise their own in its place (Starlette's ClientDisconnect), and task groups wrap
    it: then every member of the group must come of it.
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
