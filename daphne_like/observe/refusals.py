"""Tells what the server refuses, a line each, and bounds how many lines that is.

Refusals come from peers: whoever floods the server must not flood its log. All carriers log to the
one logger here, some of them by its name; the filter on it counts what it leaves out.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from daphne_like.exceptions import PeerError
from daphne_like.observe.escaping import escaped

log = logging.getLogger("daphne_like.refused")

MAX_LINES = 20
PERIOD_SECONDS = 10.0
"""In which MAX_LINES refusals have a line of their own, and all others one together."""


class Limit(logging.Filter):
    """Lets MAX_LINES records pass in PERIOD_SECONDS, escaped; counts the others.

    The first of a kind in a period always passes: a flood of one kind hides no other one. There are
    few kinds: statuses, codes of HTTP/2, constants.

    Records are to have the client as first argument and, as second, what they are counted by.

    Args:
        clock: seconds, monotonic.
        logger: to say on how many were left out.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, logger: logging.Logger = log
    ) -> None:
        super().__init__()
        self._clock = clock
        self._logger = logger
        self._ends = 0.0
        self._lines = 0
        self._seen: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._summing_up = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if self._summing_up:
            return True
        self.sum_up()
        if not self._lines:
            self._ends = self._clock() + PERIOD_SECONDS
        self._lines += 1
        kind = str(record.args[1]) if isinstance(record.args, tuple) else ""
        if self._lines > MAX_LINES and kind in self._seen:
            self._left_out[kind] += 1
            return False
        self._seen.add(kind)
        # A handler's formatter may be anybody's: nothing is left to it (S06).
        record.msg = escaped(record.getMessage()).replace("\n", "\\n")
        record.args = ()
        return True

    def sum_up(self, *, at_once: bool = False) -> None:
        """Say how many were left out, if the period is over, and begin another one.

        Args:
            at_once: say it though the period is not over.
        """
        if not self._lines or (self._clock() < self._ends and not at_once):
            return
        left_out, self._left_out = self._left_out, Counter()
        self._lines = 0
        self._seen.clear()
        if left_out:
            self._summing_up = True
            try:
                self._logger.info(
                    "Refused %d more within %.0f seconds (%s)",
                    left_out.total(),
                    PERIOD_SECONDS,
                    ", ".join(f"{what}: {count}" for what, count in left_out.most_common()),
                )
            finally:
                self._summing_up = False


limit = Limit()
log.addFilter(limit)


def name_of(client: Any) -> str:
    """Return a client as the access log names it.

    Args:
        client: (host, port) as in a scope; None for a peer without an address.
    """
    return f"{client[0]}:{client[1]}" if client else "a client on a UNIX socket"


def refused(client: Any, error: PeerError) -> None:
    """Log that a request was refused.

    Args:
        client: see `name_of`.
        error: what the client is answered.
    """
    log.info("Refused %s with %d: %s", name_of(client), error.status, error.text)


def refused_connection(client: Any, code: str, reason: object) -> None:
    """Log that a connection or a stream of HTTP/2 was ended for a rule that the peer broke.

    Args:
        client: see `name_of`.
        code: of HTTP/2, by name.
        reason: what was wrong.
    """
    log.info("Refused %s with %s: %s", name_of(client), code, reason)


def refused_handshake(client: Any, reason: object) -> None:
    """Log that a TLS handshake was ended.

    Args:
        client: see `name_of`.
        reason: what was wrong.
    """
    log.info("Refused %s in its %s: %s", name_of(client), "TLS handshake", reason)
