"""Warns when the file descriptors of the process are used up.

Nobody else tells: libuv accepts such connections and closes them at once, Twisted's reactor and
asyncio's event loop leave them in the system's queue.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable

log = logging.getLogger("daphne_like.server")

TELL_SECONDS = 60.0
"""Between two warnings."""

CAUSES = {
    errno.EMFILE: "of this process are used up. Raise its limit (ulimit -n, or LimitNOFILE= of "
    "systemd), or lower --max-connections",
    errno.ENFILE: "of this system are used up",
}


def take_one() -> None:
    """Take a descriptor, and give it back.

    Raises:
        OSError: EMFILE or ENFILE, there is none.
    """
    os.close(os.open(os.devnull, os.O_RDONLY))


class DescriptorWatch:
    """Finds out whether a descriptor is left, and warns at most once a minute if not.

    Args:
        clock: seconds, monotonic.
        take: raises OSError if there is no descriptor.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, take: Callable[[], None] = take_one
    ) -> None:
        self._clock = clock
        self._take = take
        self._told: float | None = None

    def check(self) -> None:
        """Look, and warn. May be called at any time; it takes two system calls."""
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
"""The process's: several servers in it warn together once a minute."""
