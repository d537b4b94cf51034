"""The cost of the event loop alone: a fixed response on raw uvloop, no parsing, no application.

``python floor.py PORT``, or with TLS ``python floor.py PORT CERTIFICATE KEY``. It runs in the
peers' interpreter and imports nothing but uvloop.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import cast

import uvloop

END_OF_HEAD = b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"


class Floor(asyncio.Protocol):
    """Responds once for each end of a request head in the received octets.

    A head that is split between two reads gets no response. wrk writes each request at once.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        heads = data.count(END_OF_HEAD)
        if heads:
            self._write(ANSWER * heads)


def context(certificate: str, key: str) -> ssl.SSLContext:
    """Return a server's context with Python's defaults."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made


async def serve(port: int, *files: str) -> None:
    """Serve on 127.0.0.1 until the process ends; with TLS, if certificate and key are given."""
    tls = context(*files) if files else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Floor, "127.0.0.1", port, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
