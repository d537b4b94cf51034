"""Raises the limit of this process's file descriptors, and says what connections may use of it."""

from __future__ import annotations

import logging
import os
from typing import Any

resource: Any
try:
    import resource
except ImportError:  # Windows
    resource = None

log = logging.getLogger("daphne_like.server")

MOST = 524288
"""The highest limit that is set, which is the hard limit of systemd's services. Containers may have
a thousand times that, and programs that close all possible descriptors would take minutes."""
LIST = "/dev/fd"
"""The open descriptors of this process (Linux, macOS)."""
LEAST_RESERVE = 32
RESERVED_PART = 20
"""One twentieth of all descriptors is kept for the application, and at least LEAST_RESERVE ..."""
MOST_RESERVED_PART = 4
"""... but at most a quarter, so that a very low limit leaves some to connections."""


def raise_limit() -> None:
    """Raise the soft limit to the hard one, and log that.

    The soft limit is often 1024, for programs that use select(). This server does not: its event
    loops use epoll or kqueue. Processes that the application starts inherit the limit.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS: the kernel's own limit is lower
        return
    log.info("Raised the limit of file descriptors from %d to %d", soft, most)


def soft_limit() -> int | None:
    """Return the present limit; None without one."""
    if resource is None:
        return None
    soft: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def reserve(limit: int) -> int:
    """Return how many descriptors of a limit are kept for everything but connections."""
    return min(max(LEAST_RESERVE, limit // RESERVED_PART), limit // MOST_RESERVED_PART)


def lowest_free() -> int:
    """Return the number that the next descriptor gets.

    Raises:
        OSError: EMFILE or ENFILE: none is free.
    """
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


def count_used() -> int:
    """Count the open descriptors; without a list of them, numbers below the lowest free one count.

    It takes 0.3 ms for a thousand.

    Raises:
        OSError: EMFILE or ENFILE: none is free.
    """
    try:
        return len(os.listdir(LIST)) - 1  # without that of the list
    except FileNotFoundError:
        return lowest_free()
