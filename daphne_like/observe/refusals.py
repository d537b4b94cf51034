"""Logs refused requests and connections, with a bounded number of lines.

Peers cause refusals, so a flood of requests must not become a flood of log lines. All carriers log
to the logger defined here, some by its name; its filter counts the lines that it suppresses.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from daphne_like.exceptions import PeerError
from daphne_like.wording import escaped

log = logging.getLogger("daphne_like.refused")

MAX_LOGGED_REFUSALS = 20
PERIOD_SECONDS = 10.0
"""Period in which MAX_LOGGED_REFUSALS refusals get one line each and all others share one line."""


class Limit(logging.Filter):
    """Passes MAX_LOGGED_REFUSALS records per PERIOD_SECONDS, escaped, and counts the others.

    The first record of each kind in a period always passes, so a flood of one kind hides no other.
    The number of kinds is small: statuses, HTTP/2 error codes, constants.

    The first argument of a record is the client; the second is the kind by which it is counted.

    Args:
        clock: returns monotonic seconds.
        logger: logger for the number of suppressed records.
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
        """Tell whether to log the record."""
        if self._summing_up:
            return True
        self.sum_up()
        if not self._lines:
            self._ends = self._clock() + PERIOD_SECONDS
        self._lines += 1
        kind = str(record.args[1]) if isinstance(record.args, tuple) else ""
        if self._lines > MAX_LOGGED_REFUSALS and kind in self._seen:
            self._left_out[kind] += 1
            return False
        self._seen.add(kind)
        # Escape here: the handler's formatter may be the user's and need not escape (S06).
        record.msg = escaped(record.getMessage()).replace("\n", "\\n")
        record.args = ()
        return True

    def sum_up(self, *, at_once: bool = False) -> None:
        """Log the number of suppressed records at the end of a period, and begin a new period.

        Args:
            at_once: do it before the end of the period.
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


def refused(label: str, error: PeerError) -> None:
    """Log that a request was refused.

    Args:
        label: of the connection or stream, see connection_log.py.
        error: the error that the client receives.
    """
    log.info("%s Refused with %d: %s", label, error.status, error.text)


def refused_connection(label: str, code: str, reason: object) -> None:
    """Log that an HTTP/2 connection or stream was ended because the peer broke a rule.

    Args:
        label: of the connection or stream, see connection_log.py.
        code: name of the HTTP/2 error code.
        reason: description of the error.
    """
    log.info("%s Refused with %s: %s", label, code, reason)


def refused_handshake(label: str, reason: object) -> None:
    """Log that a TLS handshake was ended.

    Args:
        label: of the connection or stream, see connection_log.py.
        reason: description of the error.
    """
    log.info("%s Refused in its %s: %s", label, "TLS handshake", reason)
