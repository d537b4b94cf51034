"""The interface of the process, or of the processes, that the status page is about."""

from __future__ import annotations

from typing import Any, Protocol

from daphne_like.status.history import History
from daphne_like.status.rows import Query

SCHEMA = 1
"""Version of /status.json; a field that is added does not change it."""


class Service(Protocol):
    """One process, or a supervisor with its workers.

    Attributes:
        history: the charts.
        is_ready: a load balancer should send requests.
        is_stopping: a stop has begun.
        actions: names of the actions that this service has.
    """

    history: History

    @property
    def is_ready(self) -> bool:
        """See above."""

    @property
    def is_stopping(self) -> bool:
        """See above."""

    @property
    def actions(self) -> tuple[str, ...]:
        """See above."""

    def overview(self) -> dict[str, Any]:
        """Return what is served where, and the workers."""

    async def listing(self, query: Query) -> dict[str, Any]:
        """Return connections and instances of all processes, and how many are left out."""

    async def threads(self, slot: int) -> str | None:
        """Return the stacks of the threads of a worker; None if no worker has the slot."""

    def act(self, action: str) -> None:
        """Begin one of the actions; return before it is complete."""
