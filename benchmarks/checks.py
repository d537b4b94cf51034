"""Is a contender's answer right? Asked before anything is measured."""

from __future__ import annotations

import http.client

from benchmarks.serving import HOST
from benchmarks.workloads import Workload

TIMEOUT_SECONDS = 10.0


class WrongAnswerError(Exception):
    """The contender does not cope with the workload; the message says what came instead."""


def check(port: int, workload: Workload) -> None:
    """Make the workload's request twice on one connection, and compare status and body.

    Raises:
        WrongAnswerError: anything but 200 and the whole body, or a connection that does not last.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        for _ in range(2):
            _compare(*_exchange(connection, workload), workload)
    except TimeoutError as error:
        raise WrongAnswerError(f"no answer within {TIMEOUT_SECONDS:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _exchange(connection: http.client.HTTPConnection, workload: Workload) -> tuple[int, bytes]:
    names = {name.lower() for name, _ in workload.fields}
    connection.putrequest(
        workload.method, workload.target, skip_accept_encoding="accept-encoding" in names
    )
    for name, value in workload.fields:
        connection.putheader(name, value)
    if workload.body:
        connection.putheader("Content-Length", str(len(workload.body)))
    connection.endheaders(workload.body or None)
    response = connection.getresponse()
    return response.status, response.read()


def _compare(status: int, body: bytes, workload: Workload) -> None:
    if status != 200:
        raise WrongAnswerError(f"status: expected 200, got {status}")
    if body != workload.answer:
        raise WrongAnswerError(f"body: expected {_shown(workload.answer)}, got {_shown(body)}")


def _shown(body: bytes) -> str:
    return repr(body) if len(body) <= 40 else f"{len(body)} octets"
