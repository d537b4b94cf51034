"""Lets the kernel notice peers that are gone without a FIN or a reset: --tcp-keepalive.

The kernel's own limits are two hours for an idle connection and a quarter of an hour for one with
data on its way. The options of a listening socket hold for the connections that it accepts, so that
they cost nothing for a connection.
"""

from __future__ import annotations

import socket

PROBES = 3
"""Probes without an answer after which a connection is given up."""
IDLE = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)  # macOS
USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux


def times(limit: int) -> tuple[int, int]:
    """Return the seconds of silence before the first probe, and those between two probes.

    Args:
        limit: seconds after which the peer is taken to be gone, 4 or more.
    """
    interval = max(1, limit // (2 * PROBES))
    return limit - PROBES * interval, interval


def keep_alive(listening: socket.socket, limit: int) -> None:
    """Set the options of a listening socket; those of a UNIX socket are left alone.

    Probes are sent while a connection is silent. While data is on its way, the time until its
    acknowledgement counts instead (RFC 5482); Linux alone has an option for that.

    Args:
        listening: a listening socket.
        limit: seconds after which a peer that does not answer is given up.
    """
    if listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle, interval = times(limit)
    if IDLE is not None:
        listening.setsockopt(socket.IPPROTO_TCP, IDLE, idle)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    if USER_TIMEOUT is not None:
        listening.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, limit * 1000)
