"""Tells systemd the state of the service: ready, reloading, stopping, alive (sd_notify(3))."""

from __future__ import annotations

import enum
import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("daphne_like.server")

SEND_SECONDS = 0.1
"""Maximum wait for room in the queue of systemd's socket: the event loop must not wait longer."""
MICROSECONDS = 1_000_000


class State(enum.Enum):
    """The states of a service that systemd distinguishes."""

    STARTING = enum.auto()
    READY = enum.auto()
    RELOADING = enum.auto()
    STOPPING = enum.auto()


MAY_FOLLOW = {
    State.STARTING: {State.READY, State.STOPPING},
    State.READY: {State.RELOADING, State.STOPPING},
    State.RELOADING: {State.READY, State.STOPPING},
    State.STOPPING: set(),
}
"""A notification that may not follow is not sent: a reload during the start must not announce that
the service is ready, and nothing follows a stop."""


class Notifier:
    """Sends the state of this process to systemd, one datagram for each change.

    Nothing is sent without an address, and no error is raised: the service does not depend on
    anybody who listens. The methods are called in the thread of the event loop.

    Args:
        address: value of $NOTIFY_SOCKET: a path, or @name for an abstract socket.
        watchdog_seconds: time after which systemd ends a service that sends no beat; None if
            systemd does not watch.

    Attributes:
        beat_seconds: time between two beats, half of `watchdog_seconds`.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self.beat_seconds = None if watchdog_seconds is None else watchdog_seconds / 2
        self._address = _socket_address(address)
        self._state = State.STARTING
        self._serving = ""
        self._next_beat = 0.0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """Return the notifier that the environment describes, and remove its variables.

        A child of the application must not find them: it would report its own state as that of
        the service.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        microseconds = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", str(os.getpid()))
        watched = address and process == str(os.getpid()) and microseconds.isdecimal()
        seconds = int(microseconds) / MICROSECONDS if watched else 0
        return cls(address, seconds or None)

    def ready(self, status: str) -> None:
        """Report that the service serves.

        Args:
            status: the line that `systemctl status` shows.
        """
        self._serving = status
        if self._state is State.STARTING and self._enter(State.READY):
            self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Change the line that `systemctl status` shows."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Report that a reload begins, for Type=notify-reload."""
        if self._enter(State.RELOADING):
            now = int(time.monotonic() * MICROSECONDS)
            self._send("RELOADING=1", f"MONOTONIC_USEC={now}", _status("Reloading"))

    def reloaded(self, status: str | None = None) -> None:
        """Report that a reload has ended; systemd knows no other result than READY.

        Args:
            status: the line that `systemctl status` shows: the reason of a reload that failed; by
                default that of `ready`.
        """
        if self._state is State.RELOADING and self._enter(State.READY):
            self._send("READY=1", _status(self._serving if status is None else status))

    def stopping(self, longest: float) -> None:
        """Report that the stop has begun.

        Args:
            longest: maximum seconds of the stop. systemd waits as long, even if TimeoutStopSec=
                is shorter, because the stop itself has this limit.
        """
        if self._enter(State.STOPPING):
            microseconds = int(longest * MICROSECONDS)
            self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}", _status("Stopping"))

    def beat(self, now: float) -> None:
        """Report that the event loop turns; call it more often than every `beat_seconds`.

        Args:
            now: monotonic seconds, of any clock.
        """
        if self.beat_seconds is not None and now >= self._next_beat:
            self._next_beat = now + self.beat_seconds
            self._send("WATCHDOG=1")

    def _enter(self, state: State) -> bool:
        if state not in MAY_FOLLOW[self._state]:
            return False
        self._state = state
        return True

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_SECONDS)
                sender.sendto("\n".join(assignments).encode(errors="replace"), self._address)
        except OSError as error:
            log.debug("! systemd was not notified of %s: %s", assignments[0], error)


def _socket_address(address: str | None) -> bytes | None:
    """Return the address as the system takes it; None for one that cannot be used."""
    if not address or not hasattr(socket, "AF_UNIX"):
        return None
    if address.startswith("@"):
        return b"\0" + os.fsencode(address[1:])
    if address.startswith("/"):
        return os.fsencode(address)
    log.debug("! NOTIFY_SOCKET: expected a path or @name, got %r", address)
    return None


def _status(text: str) -> str:
    """Return the assignment of a status; a line feed would begin another assignment."""
    return f"STATUS={' '.join(text.split())}"
