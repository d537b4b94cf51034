"""Sets the short name that a list of processes shows (`ps -o pid,comm,args`)."""

from __future__ import annotations

import ctypes
import sys

PR_SET_NAME = 15  # linux/prctl.h
MAX_OCTETS = 15


def set_name(name: str) -> None:
    """Set the name of this process's main thread; Linux only, cut after 15 characters."""
    if sys.platform == "linux":
        text = name.encode("ascii", "replace")[:MAX_OCTETS]
        ctypes.CDLL(None).prctl(PR_SET_NAME, ctypes.c_char_p(text), 0, 0, 0)
