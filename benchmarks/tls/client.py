"""A blocking TLS client that trusts the run's certificate only: for checks and transfers."""

from __future__ import annotations

import socket
import ssl

from benchmarks.checks import TIMEOUT_SECONDS, WrongAnswerError
from benchmarks.serving import HOST, Server

VERSION = "TLSv1.3"
CIPHER = "TLS_AES_256_GCM_SHA384"
"""OpenSSL's first choice, which all clients use; other ciphers would not be comparable."""


def context(server: Server) -> ssl.SSLContext:
    """Return the clients' context: TLS 1.3 only, and it verifies the server's certificate."""
    assert server.credentials is not None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(server.credentials.certificate)
    return made


def connect(
    server: Server, shared: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Open a connection, and compare what was negotiated.

    Raises:
        WrongAnswerError: version or cipher is another one than expected.
        OSError: the connection failed, the handshake was too slow, or the certificate is wrong.
    """
    plain = socket.create_connection((HOST, server.port), timeout=TIMEOUT_SECONDS)
    try:
        # The figure must not include a delay by the client.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = shared.wrap_socket(plain, server_hostname=HOST, session=session)
    except BaseException:
        plain.close()
        raise
    cipher = connection.cipher()
    found = (connection.version(), None if cipher is None else cipher[0])
    if found != (VERSION, CIPHER):
        connection.close()
        raise WrongAnswerError(f"TLS: expected {VERSION} and {CIPHER}, got {found}")
    return connection
