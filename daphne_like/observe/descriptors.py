"""Warns when the process has no free file descriptors.

Nothing else reports this: libuv accepts such connections and closes them at once, and Twisted's
reactor and asyncio's event loop leave them in the listen queue.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable

log = logging.getLogger("daphne_like.server")

TELL_SECONDS = 60.0
"""Minimum time between two warnings."""

CAUSES = {
    errno.EMFILE: "of this process are used up. Raise its limit (ulimit -n, or LimitNOFILE= of "
    "systemd), or lower --max-connections",
    errno.ENFILE: "of this system are used up",
}


def take_one() -> None:
    """Open a descriptor and close it again.

    Raises:
        OSError: EMFILE or ENFILE: no descriptor is free.
    """
    os.close(os.open(os.devnull, os.O_RDONLY))


class DescriptorWatch:
    """Checks whether a descriptor is free, and warns at most once a minute if not.

    Args:
        clock: returns monotonic seconds.
        take: raises OSError if no descriptor is free.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, take: Callable[[], None] = take_one
    ) -> None:
        self._clock = clock
        self._take = take
        self._told: float | None = None

    def check(self) -> None:
        """Check, and warn if necessary. May be called at any time; it makes two system calls."""
        try:
            self._take()
        except OSError as error:
            cause = CAUSES.get(error.errno or 0)
            if cause is None:
                return
            now = self._clock()
            if self._told is None or now - self._told >= TELL_SECONDS:
                self._told = now
                log.warning("The file descriptors %s: no connection can be accepted", cause)


descriptors = DescriptorWatch()
"""The watch of the process, shared by all its servers, so that they warn once a minute together."""
