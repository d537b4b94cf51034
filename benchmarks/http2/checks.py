"""Checks a contender's responses over HTTP/2 before anything is measured."""

from __future__ import annotations

import socket
from contextlib import closing

from benchmarks.applications import HTTP_VERSION_PATH
from benchmarks.checks import TIMEOUT_SECONDS, WrongAnswerError, compare, failures_told
from benchmarks.http2.client import Client
from benchmarks.http2.workloads import HTTP2Workload
from benchmarks.serving import HOST, Server
from benchmarks.tls import client as tls_client

ALPN = "h2"
VERSION = b"2"


def check(server: Server, workload: HTTP2Workload) -> None:
    """Make the workload's request twice on one connection, and ask for the scope's http_version.

    Raises:
        WrongAnswerError: the response is not 200 with the whole body, the protocol or version is
            another one, or the connection closes.
    """
    with failures_told(), closing(connect(server, workload)) as connection:
        client = Client(connection)
        for _ in range(2):
            answer = client.exchange(
                workload.method, workload.target, workload.body, workload.secured
            )
            compare(*answer, workload)
        _, version = client.exchange("GET", HTTP_VERSION_PATH, secured=workload.secured)
        if version != VERSION:
            raise WrongAnswerError(f"http_version: expected {VERSION!r}, got {version!r}")


def connect(server: Server, workload: HTTP2Workload) -> socket.socket:
    """Open a connection for HTTP/2.

    Raises:
        WrongAnswerError: ALPN selected another protocol.
        OSError: the connection failed, or the handshake was too slow.
    """
    if not workload.secured:
        return socket.create_connection((HOST, server.port), timeout=TIMEOUT_SECONDS)
    shared = tls_client.context(server)
    shared.set_alpn_protocols([ALPN])
    connection = tls_client.connect(server, shared)
    found = connection.selected_alpn_protocol()
    if found != ALPN:
        connection.close()
        raise WrongAnswerError(f"ALPN: expected {ALPN}, got {found}")
    return connection
