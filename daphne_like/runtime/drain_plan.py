"""The times of a stop: the quick one of Ctrl-C, and the patient one that loses no request."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from daphne_like.options import Options

IDLE_GRACE_SECONDS = 0.5
"""Seconds of a quick stop for requests that are on their way: on new connections, during TLS
handshakes, and on idle connections, whose clients may send a request before they notice the
stop."""
LEAVE_SECONDS = 3.0
"""Seconds for applications to end after the disconnect event, and again after cancellation."""
RELOAD_SECONDS = 1.0
"""Seconds for open requests when the application is reloaded."""
RELOAD_LEAVE_SECONDS = 0.5
TOLD_PER_SECOND = 1000
"""Number of WebSockets and event streams told in a second, unless an option says otherwise."""


@dataclass(frozen=True)
class DrainPlan:
    """The times of one stop in seconds; a value that can be sent to another process.

    Attributes:
        graceful: maximum time for open requests, from the moment the ports are closed.
        idle: time in which idle and new connections are still read; at most `graceful`.
        spread: time over which open WebSockets and event streams are told; None for one second
            per TOLD_PER_SECOND of them, at most half of `graceful`.
        delay: time in which the ports still accept, although the server is not ready any more.
        lingers: when `idle` has passed, idle connections get FIN and are read a little longer;
            otherwise they are closed at once.
        leave: time for applications to end after the disconnect event, and again after
            cancellation.
        is_quiet: do not log the stop.
    """

    graceful: float
    idle: float = IDLE_GRACE_SECONDS
    spread: float | None = 0.0
    delay: float = 0.0
    lingers: bool = False
    leave: float = LEAVE_SECONDS
    is_quiet: bool = False

    @classmethod
    def quick(cls, options: Options) -> DrainPlan:
        """Return the plan of Ctrl-C: nobody takes over, and a person waits for the end."""
        return cls(options.graceful_timeout)

    @classmethod
    def patient(cls, options: Options) -> DrainPlan:
        """Return the plan of SIGTERM: other processes serve on, and no request may be lost."""
        return cls(
            options.graceful_timeout,
            options.drain_idle,
            options.drain_spread,
            options.shutdown_delay,
            lingers=True,
        )

    @classmethod
    def replaced(cls, options: Options) -> DrainPlan:
        """Return the plan of a process with a successor: patient, without the delay."""
        return replace(cls.patient(options), delay=0.0)

    @classmethod
    def reloaded(cls, options: Options) -> DrainPlan:
        """Return the plan of a process whose code has changed: a developer waits for the new one.

        An idle connection is closed at once, because its next request must not reach the old code.
        """
        graceful = min(options.graceful_timeout, RELOAD_SECONDS)
        return cls(graceful, idle=0.0, leave=RELOAD_LEAVE_SECONDS, is_quiet=True)

    @classmethod
    def without_signal(cls, options: Options) -> DrainPlan:
        """Return the plan of a stop by a program: quick, unless an option asks for another."""
        asked = any(
            getattr(options, field.name) != field.default
            for field in fields(Options)
            if field.name in ("drain_idle", "drain_spread", "shutdown_delay")
        )
        return cls.patient(options) if asked else cls.quick(options)

    @property
    def idle_limit(self) -> float:
        """Seconds in which idle connections are read."""
        return min(self.idle, self.graceful)

    def spread_for(self, count: int) -> float:
        """Return the seconds over which a number of WebSockets and event streams is told."""
        if self.spread is None:
            return min(count / TOLD_PER_SECOND, self.graceful / 2)
        return min(self.spread, self.graceful)
