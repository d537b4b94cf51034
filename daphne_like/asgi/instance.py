"""Runs one application instance to its end, whatever that end is."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from daphne_like.exceptions import ConnectionClosed


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
    leave `loop.run_forever` and stop the server for everybody.

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
    except BaseException as exception:  # noqa: BLE001
        if exception.__traceback__ is not None:
            exception.__traceback__ = exception.__traceback__.tb_next  # this frame says nothing
        owner.application_failed(exception)
    else:
        owner.application_returned()
    finally:
        instances.pop(owner, None)
