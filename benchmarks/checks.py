"""Checks a contender's responses before anything is measured."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.http_workloads import HTTPWorkload
from benchmarks.serving import HOST

TIMEOUT_SECONDS = 10.0


class WrongAnswerError(Exception):
    """The contender cannot serve the workload; the message says what it sent instead."""


def check(port: int, workload: HTTPWorkload) -> None:
    """Make the workload's request twice on one connection, and compare status and body.

    Raises:
        WrongAnswerError: the response is not 200 with the whole body, or the connection closes.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)
    with failures_told(), closing(connection):
        for _ in range(2):
            exchange(connection, workload)


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn a connection's exceptions inside the context into :exc:`WrongAnswerError`."""
    try:
        yield
    except TimeoutError as error:
        raise WrongAnswerError(f"no answer within {TIMEOUT_SECONDS:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"{type(error).__name__}: {error}") from error


def exchange(connection: http.client.HTTPConnection, workload: HTTPWorkload) -> None:
    """Make the workload's request, and compare status and body.

    Raises:
        WrongAnswerError: the response is not 200 with the whole body.
    """
    compare(*_answered(connection, workload), workload)


def _answered(connection: http.client.HTTPConnection, workload: HTTPWorkload) -> tuple[int, bytes]:
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


def compare(status: int, body: bytes, workload: HTTPWorkload) -> None:
    """Compare status and body with those that the workload expects.

    Raises:
        WrongAnswerError: the response is not 200 with the whole body.
    """
    if status != 200:
        raise WrongAnswerError(f"status: expected 200, got {status}")
    expected = workload.answer * workload.repeats
    if body != expected:
        raise WrongAnswerError(f"body: expected {shown(expected)}, got {shown(body)}")


def shown(body: str | bytes) -> str:
    """Return a readable form of a body or a message."""
    if len(body) <= 40:
        return repr(body)
    return f"{len(body)} {'letters' if isinstance(body, str) else 'octets'}"
