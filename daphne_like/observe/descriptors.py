"""Warns when the process has hardly any free file descriptors.

Nothing else reports this: libuv accepts such connections and closes them at once, and Twisted's
reactor and asyncio's event loop leave them in the listen queue.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable

log = logging.getLogger("daphne_like.server")

TELL_SECONDS = 60.0
"""Minimum time between two warnings."""

CAUSES = {
    errno.EMFILE: "of this process are used up, apart from a reserve for the application. Raise "
    "its limit (ulimit -n, or LimitNOFILE= of systemd), or lower --max-connections",
    errno.ENFILE: "of this system are used up",
}


class DescriptorWatch:
    """Warns at most once a minute that no connection is accepted, and logs the end of a shortage.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: float | None = None
        self._is_over = True

    def tell_shortage(self, cause: int) -> None:
        """Warn, unless that was done within the last minute.

        Args:
            cause: EMFILE or ENFILE.
        """
        now = self._clock()
        if self._told is None or now - self._told >= TELL_SECONDS:
            self._told = now
            self._is_over = False
            log.warning("The file descriptors %s: no connection is accepted", CAUSES[cause])

    def tell_end(self) -> None:
        """Log that connections are accepted again, once for each warning."""
        if not self._is_over:
            self._is_over = True
            log.info("There are free file descriptors again: accepting connections")


descriptors = DescriptorWatch()
"""The watch of the process, shared by all its servers, so that they warn once a minute together."""
