"""The timeouts of a connection."""

from __future__ import annotations

import enum

from daphne_like.runtime.timer_wheel import NEVER, TimerWheel


class Timeout(enum.Enum):
    """The events that a connection waits for, each for a limited time."""

    TLS_HANDSHAKE = enum.auto()  # the TLS handshake, with Twisted's own TLS
    KEEP_ALIVE = enum.auto()  # the next request on an idle connection
    REQUEST_HEAD = enum.auto()  # the rest of a request head
    REQUEST_BODY = enum.auto()  # the request body, at the minimum rate
    RESPONSE = enum.auto()  # the response of the application
    WRITE_STALL = enum.auto()  # the peer to read
    LINGER = enum.auto()  # the peer to close its side
    LIFETIME = enum.auto()  # the end of a WebSocket
    ANNOUNCEMENT = enum.auto()  # an HTTP/2 peer to read that the server stops
    PONG = enum.auto()  # the acknowledgement of a ping
    PEER_SILENT = enum.auto()  # data from an HTTP/2 peer, before it is pinged
    COMPRESSOR_IDLE = enum.auto()  # the next message to compress on a WebSocket


class Timeouts:
    """The deadlines of one connection; only the earliest is on the timer wheel."""

    __slots__ = ("_due", "_timers", "deadline", "scheduled_at")

    def __init__(self, timers: TimerWheel) -> None:
        self._timers = timers
        self._due: dict[Timeout, float] | None = None
        self.deadline = NEVER
        self.scheduled_at = NEVER

    def has_timeout(self, timeout: Timeout) -> bool:
        """Tell whether a timeout is set."""
        return self._due is not None and timeout in self._due

    def set_timeout(self, timeout: Timeout, seconds: float | None) -> None:
        """Set or restart a timeout; do nothing if `seconds` is None or 0."""
        if not seconds:
            return
        if self._due is None:
            self._due = {}
        self._due[timeout] = self._timers.clock() + seconds
        self._choose()

    def start_keep_alive(self, seconds: float) -> None:
        """Clear all timeouts and start the keep-alive timeout.

        This runs for every request, so it usually costs one store. The timeout may expire early
        by at most one tick of the wheel.
        """
        self._due = None
        self.deadline = deadline = self._timers.now + seconds
        if deadline < self.scheduled_at:
            self._timers.add(self)

    def clear_timeout(self, timeout: Timeout) -> None:
        """Clear a timeout: the event has happened."""
        if self._due is not None and self._due.pop(timeout, None) is not None:
            self._choose()

    def clear_timeouts(self) -> None:
        """Clear all timeouts."""
        self._due = None
        self.deadline = NEVER

    def _choose(self) -> None:
        if not self._due:
            self.clear_timeouts()
            return
        self.deadline = deadline = min(self._due.values())
        if deadline < self.scheduled_at:
            self._timers.add(self)

    def deadline_passed(self) -> None:
        """See timer_wheel.HasDeadline."""
        if self._due is None:
            self.timed_out(Timeout.KEEP_ALIVE)
            return
        late = min(self._due, key=self._due.__getitem__)
        self.clear_timeout(late)
        self.timed_out(late)

    def log_label(self) -> str:
        """Return how log lines about the connection begin; see observe/connection_log.py."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.log_label()

    def timed_out(self, timeout: Timeout) -> None:
        """Handle an expired timeout."""
        raise NotImplementedError
