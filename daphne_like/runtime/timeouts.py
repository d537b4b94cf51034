"""What a connection can wait for, and until when."""

from __future__ import annotations

import enum

from daphne_like.runtime.timer_wheel import NEVER, Deadlines


class Wait(enum.Enum):
    """What a connection waits for; each has an option with its seconds."""

    HANDSHAKE = enum.auto()  # TLS, where it is Twisted's own
    NEXT = enum.auto()  # another request on an idle connection
    HEAD = enum.auto()  # the rest of a request head
    BODY = enum.auto()  # the body, at the least rate
    ANSWER = enum.auto()  # the application's response
    WRITE = enum.auto()  # a peer that does not read
    LINGER = enum.auto()  # the peer's end of a closed connection
    LIFETIME = enum.auto()  # a WebSocket's end
    PONG = enum.auto()  # the answer to a ping
    SILENCE = enum.auto()  # a peer of HTTP/2 that sends nothing, to be pinged
    QUIET = enum.auto()  # a WebSocket without messages to compress


class Waits:
    """The deadlines of one connection; the earliest is the one that the wheel looks at."""

    __slots__ = ("_deadlines", "_due", "deadline", "looked_at")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._due: dict[Wait, float] | None = None
        self.deadline = NEVER
        self.looked_at = NEVER

    def waits_for(self, wait: Wait) -> bool:
        """Whether a deadline is set for it."""
        return self._due is not None and wait in self._due

    def wait(self, wait: Wait, seconds: float | None) -> None:
        """Set, or set anew, the deadline of one wait; None or 0 seconds for none."""
        if not seconds:
            return
        if self._due is None:
            self._due = {}
        self._due[wait] = self._deadlines.clock() + seconds
        self._choose()

    def wait_for_next(self, seconds: float) -> None:
        """Wait for nothing but the next request: the hot path's wait, one store when it is set.

        It is early by one tick of the wheel at most.
        """
        self._due = None
        self.deadline = deadline = self._deadlines.now + seconds
        if deadline < self.looked_at:
            self._deadlines.add(self)

    def arrived(self, wait: Wait) -> None:
        """What was waited for is there."""
        if self._due is not None and self._due.pop(wait, None) is not None:
            self._choose()

    def forget(self) -> None:
        """Wait for nothing any more."""
        self._due = None
        self.deadline = NEVER

    def _choose(self) -> None:
        if not self._due:
            self.forget()
            return
        self.deadline = deadline = min(self._due.values())
        if deadline < self.looked_at:
            self._deadlines.add(self)

    def deadline_passed(self) -> None:
        """See deadlines.Waiting."""
        if self._due is None:
            self.waited_too_long(Wait.NEXT)
            return
        late = min(self._due, key=self._due.__getitem__)
        self.arrived(late)
        self.waited_too_long(late)

    def waited_too_long(self, wait: Wait) -> None:
        """What to do about it."""
        raise NotImplementedError
