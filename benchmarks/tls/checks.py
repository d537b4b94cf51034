"""Checks a contender's responses over TLS before anything is measured."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing

from benchmarks.checks import WrongAnswerError, exchange, failures_told
from benchmarks.http_workloads import HELLO
from benchmarks.serving import HOST, Server
from benchmarks.tls import client
from benchmarks.tls.workloads import Exercise, TLSWorkload


def check(server: Server, workload: TLSWorkload) -> None:
    """Make two requests on one connection; resume its session, if the workload resumes sessions.

    Transfers are checked while they are made; this check shows that the server responds at all.

    Raises:
        WrongAnswerError: certificate, version, cipher or response is another one than expected, or
            the session is not resumed.
    """
    shared = client.context(server)
    with failures_told():
        session = _exchanged(client.connect(server, shared), resumed=False)
        if workload.exercise is Exercise.RESUMED:
            if session is None or not session.has_ticket:
                raise WrongAnswerError("sessions are not resumed: no ticket comes")
            _exchanged(client.connect(server, shared, session), resumed=True)


def _exchanged(connection: ssl.SSLSocket, resumed: bool) -> ssl.SSLSession | None:
    """Make requests on an open connection, close it, and return its session."""
    http_connection = http.client.HTTPConnection(HOST)
    # Otherwise it would connect again without TLS after the server has closed.
    http_connection.auto_open = 0
    http_connection.sock = connection
    with closing(http_connection), connection:
        if connection.session_reused is not resumed:
            refused = "sessions are not resumed: a ticket comes, but is not taken"
            raise WrongAnswerError(refused if resumed else "a session was resumed unasked")
        for _ in range(2):
            exchange(http_connection, HELLO)
        # TLS 1.3 sends tickets after the handshake, so they have arrived with the responses.
        return connection.session
