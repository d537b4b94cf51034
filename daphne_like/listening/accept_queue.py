"""Tells how many connections wait in the listen queue of a socket."""

from __future__ import annotations

import os
import socket
import struct

TCP_INFO_SIZE = 32
UNACKED_OFFSET = 24
"""Where `struct tcp_info` of Linux has the length of the queue of a listening socket."""


def accept_queue(descriptor: int) -> int | None:
    """Return how many connections wait to be accepted; None if the system does not tell.

    Args:
        descriptor: of a listening socket; only TCP on Linux tells.
    """
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
    except OSError:
        return None
    return int(struct.unpack_from("=I", info, UNACKED_OFFSET)[0])
