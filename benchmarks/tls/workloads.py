"""The TLS workloads: their tasks and their numbers of connections.

:mod:`benchmarks.load` (wrk), :mod:`benchmarks.tls.handshakes` and :mod:`benchmarks.tls.transfers`
measure them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks import applications
from benchmarks.http_workloads import HTTPWorkload
from benchmarks.workloads import Unit


class Exercise(Enum):
    """The task of a workload."""

    REQUESTS = "each makes its next request when it has the last answer"
    NEW = "each makes one request, is closed and replaced, by a full handshake"
    RESUMED = "the same, but the handshake resumes the session of the one replaced"
    UPLOAD = "one sends a large body"
    DOWNLOAD = "one reads a large body"


@dataclass(frozen=True)
class TLSWorkload(HTTPWorkload):
    """An HTTP workload over TLS 1.3."""

    exercise: Exercise = Exercise.REQUESTS

    @property
    def tls(self) -> bool:
        return True


TLS = TLSWorkload("tls", "bare GET over TLS 1.3", Unit.REQUEST, "/", applications.HELLO_BODY)
# At most Daphne's backlog of 50, because a SYN beyond it is lost and sent again after a second.
HANDSHAKE = TLSWorkload(
    "tls-handshake",
    "connection with one GET, full handshake",
    Unit.CONNECTION,
    "/",
    applications.HELLO_BODY,
    connections=32,
    exercise=Exercise.NEW,
)
RESUME = TLSWorkload(
    "tls-resume",
    "the same, session resumed",
    Unit.CONNECTION,
    "/",
    applications.HELLO_BODY,
    connections=32,
    exercise=Exercise.RESUMED,
)
UPLOAD = TLSWorkload(
    "tls-upload",
    "large POST over TLS",
    Unit.TRANSFER,
    "/upload",
    b"",
    method="POST",
    exercise=Exercise.UPLOAD,
)
DOWNLOAD = TLSWorkload(
    "tls-download",
    "large answer over TLS",
    Unit.TRANSFER,
    "/download",
    b"",
    method="POST",
    exercise=Exercise.DOWNLOAD,
)

TLS_WORKLOADS = (TLS, HANDSHAKE, RESUME, UPLOAD, DOWNLOAD)
