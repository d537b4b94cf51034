"""Lists the connections and application instances of this process, with their states in words."""

from __future__ import annotations

import json
from typing import Any

from daphne_like.observe.connection_log import get_connection_number, peer_name
from daphne_like.observe.stacks.waiting import stuck_at
from daphne_like.status.recorder import Recorder, is_open
from daphne_like.status.rows import MAX_MESSAGE, MAX_STACK, MAX_TEXT, Query, Row
from daphne_like.wording import counted, escaped

MAX_DESCRIBED = 20_000
"""Instances that are looked at, the oldest first."""
MAX_SEARCHED = 1000
"""Instances whose places are searched for a text; each takes a tenth of a millisecond."""

STATES = {
    "AWAITING_START": "no response yet",
    "HEAD_BUFFERED": "the response begins with its body",
    "SENDING_BODY": "sending the response",
    "BODY_BLOCKED": "sending a part of the response",
    "AWAITING_TRAILERS": "trailers of the response are missing",
    "COMPLETE": "the response is complete; the application still runs",
    "CLOSED": "the response was given up; the application still runs",
}
"""States of a response, by the names of http/response_state.py."""


def short(seconds: float) -> str:
    """Return a duration in words: 0.4 s, 12 s, 3 min, 2 h, 4 d."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    for unit, length, next_ in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < next_:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


class Listing:
    """The table of one process.

    Args:
        recorder: of its server.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def rows(self, query: Query) -> tuple[list[Row], int]:
        """Return the first rows, with the places where their applications wait.

        Returns:
            The rows, and the number of those that match and are left out.
        """
        running = self._recorder.context.applications.running
        busy: set[Any] = set()
        found: list[tuple[Row, Any]] = []
        for owner in list(running)[:MAX_DESCRIBED]:
            connection = _connection_of(owner)
            busy.add(connection)
            found.append((self._instance(owner, connection), owner))
        for connection in list(self._recorder.opened)[:MAX_DESCRIBED]:
            if connection not in busy:
                found.append((self._connection(connection), None))
        if query.match:  # it may be in the place, too
            for row, owner in found[:MAX_SEARCHED]:
                if not query.matches(row):
                    self._add_place(row, running.get(owner))
        matching = [pair for pair in found if query.matches(pair[0])]
        matching.sort(key=lambda pair: query.key(pair[0]), reverse=True)
        for row, owner in matching[: query.limit]:
            self._add_place(row, running.get(owner))
        rows = _fitting([row for row, _owner in matching[: query.limit]])
        return rows, len(matching) - len(rows)

    def _instance(self, owner: Any, connection: Any) -> Row:
        now = self._recorder.context.clock()
        queue = owner.queue or owner.ended_queue
        state, mood = self._state_of(owner, connection, queue, now)
        is_websocket = owner.is_upgrade
        return {
            "kind": "websocket" if is_websocket else "http",
            "id": _identity(connection, owner.carrier),
            "peer": _peer(owner.client, connection),
            "protocol": "websocket" if is_websocket else f"http/{owner.version}",
            "method": escaped(str(owner.method))[:MAX_TEXT],
            "path": masked(owner.target),
            "age": round(now - owner.started, 3) if owner.started else None,
            "state": state,
            "mood": mood,
            "received": getattr(queue, "received", None) if is_websocket else owner.received,
            "sent": (
                getattr(owner.protocol, "sent", None) if is_websocket else owner.body_octets_sent
            ),
            "queue": owner.unread if queue is not None else 0,
            "where": "",
            "stack": [],
        }

    def _state_of(self, owner: Any, connection: Any, queue: Any, now: float) -> tuple[str, str]:
        """Return the state of an instance in words, and its mood."""
        gone = self._recorder.gone.get(owner)
        if gone is not None:
            since = short(now - gone)
            return f"the peer went {since} ago; the application still runs", "lingers"
        paused = self._recorder.paused.get(connection)
        if paused is not None:
            return f"writing paused for {short(now - paused)}: the peer does not read", "paused"
        slow = "slow" if self._recorder.is_slow(owner, now) else ""
        receives = queue is not None and queue.is_awaited
        if is_open(owner):
            return _of_websocket(queue, receives), slow
        if owner.state.name == "AWAITING_START" and owner.is_upgrade:
            return "the application has not accepted it yet", slow
        if receives and not owner.request_complete:
            return "waiting for the body of the request", ""
        if owner.is_full:
            unread = owner.unread // 1024
            return f"reading paused: {unread} KiB wait for the application", "paused"
        return STATES.get(owner.state.name, owner.state.name), slow

    def _connection(self, connection: Any) -> Row:
        """Return the row of a connection without an instance."""
        recorder = self._recorder
        now = recorder.context.clock()
        paused = recorder.paused.get(connection)
        state = "idle"
        if paused is not None:
            state = f"writing paused for {short(now - paused)}: the peer does not read"
        return {
            "kind": "connection",
            "id": _identity(connection, connection),
            "peer": _peer(None, connection),
            "protocol": connection.protocol_name,
            "method": "",
            "path": "",
            "age": round(now - recorder.opened[connection], 3),
            "state": state,
            "mood": "" if paused is None else "paused",
            "received": None,
            "sent": None,
            "queue": 0,
            "where": "",
            "stack": [],
        }

    @staticmethod
    def _add_place(row: Row, task: Any) -> None:
        if task is not None and not row["stack"]:
            where, stack = stuck_at(task)
            row["where"] = escaped(where)[:MAX_TEXT]
            lines = escaped(stack).splitlines()[-MAX_STACK:]
            row["stack"] = [line.strip()[:MAX_TEXT] for line in lines]


def _of_websocket(queue: Any, receives: bool) -> str:
    """Return the state of an open WebSocket in words."""
    if receives:
        return "open; the application waits for a message"
    waiting = queue.qsize() if queue is not None else 0
    if waiting:
        return f"open; {counted(waiting, 'message')} not received by the application"
    return "open; the application is busy"


def masked(target: bytes | str) -> str:
    """Return a request target without its query, which may have a secret."""
    text = target if isinstance(target, str) else target.decode("latin-1")
    path, mark, _query = text.partition("?")
    return escaped(path)[: MAX_TEXT - 2] + ("?…" if mark else "")


def _connection_of(owner: Any) -> Any:
    """Return the connection of an exchange or session."""
    if is_open(owner):
        return owner.protocol
    return getattr(owner.carrier, "connection", owner.carrier)


def _identity(connection: Any, carrier: Any) -> str:
    number = get_connection_number(getattr(connection, "transport", None))
    stream = getattr(carrier, "number", None)
    return str(number) if stream is None else f"{number}/{stream}"


def _peer(client: Any, connection: Any) -> str:
    if client:
        return escaped(f"{client[0]}:{client[1]}")[:MAX_TEXT]
    transport = getattr(connection, "transport", None)
    return peer_name(transport.getPeer() if transport is not None else None)


def _fitting(rows: list[Row]) -> list[Row]:
    """Return as many of the rows as a message of the control channel has room for."""
    left = MAX_MESSAGE
    for number, row in enumerate(rows):
        left -= len(json.dumps(row)) + 2
        if left < 0:
            return rows[:number]
    return rows
