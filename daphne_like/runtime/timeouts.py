"""What a connection can wait for, and until when."""

from __future__ import annotations

import enum

from daphne_like.runtime.timer_wheel import NEVER, TimerWheel


class Timeout(enum.Enum):
    """What a connection waits for; each has an option with its seconds."""

    TLS_HANDSHAKE = enum.auto()  # TLS, where it is Twisted's own
    KEEP_ALIVE = enum.auto()  # another request on an idle connection
    REQUEST_HEAD = enum.auto()  # the rest of a request head
    REQUEST_BODY = enum.auto()  # the body, at the least rate
    RESPONSE = enum.auto()  # the application's response
    WRITE_STALL = enum.auto()  # a peer that does not read
    LINGER = enum.auto()  # the peer's end of a closed connection
    LIFETIME = enum.auto()  # a WebSocket's end
    PONG = enum.auto()  # the answer to a ping
    PEER_SILENT = enum.auto()  # a peer of HTTP/2 that sends nothing, to be pinged
    COMPRESSOR_IDLE = enum.auto()  # a WebSocket without messages to compress


class Timeouts:
    """The deadlines of one connection; the earliest is the one that the wheel looks at."""

    __slots__ = ("_due", "_timers", "deadline", "scheduled_at")

    def __init__(self, timers: TimerWheel) -> None:
        self._timers = timers
        self._due: dict[Timeout, float] | None = None
        self.deadline = NEVER
        self.scheduled_at = NEVER

    def has_timeout(self, timeout: Timeout) -> bool:
        """Whether a deadline is set for it."""
        return self._due is not None and timeout in self._due

    def set_timeout(self, timeout: Timeout, seconds: float | None) -> None:
        """Set, or set anew, the deadline of one wait; None or 0 seconds for none."""
        if not seconds:
            return
        if self._due is None:
            self._due = {}
        self._due[timeout] = self._timers.clock() + seconds
        self._choose()

    def start_keep_alive(self, seconds: float) -> None:
        """Wait for nothing but the next request: the hot path's timeout, one store when it is set.

        It is early by one tick of the wheel at most.
        """
        self._due = None
        self.deadline = deadline = self._timers.now + seconds
        if deadline < self.scheduled_at:
            self._timers.add(self)

    def clear_timeout(self, timeout: Timeout) -> None:
        """What was waited for is there."""
        if self._due is not None and self._due.pop(timeout, None) is not None:
            self._choose()

    def clear_timeouts(self) -> None:
        """Wait for nothing any more."""
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

    def timed_out(self, timeout: Timeout) -> None:
        """What to do about it."""
        raise NotImplementedError
