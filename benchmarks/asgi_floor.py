"""The minimum cost of serving ASGI in Python: no parsing, one scope for all, a fixed response.

``python asgi_floor.py PORT``, or with TLS ``python asgi_floor.py PORT CERTIFICATE KEY``. Each
request is a task that runs the application of the benchmarks, as with every server. Its messages
are ignored. It runs in the peers' interpreter.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, cast

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.applications import application
from benchmarks.floor import ANSWER, END_OF_HEAD, context

SCOPE: dict[str, Any] = {
    "type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1",
    "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
    "root_path": "", "headers": [], "client": None, "server": None,
}  # fmt: skip

waiting: list[Floor] = []
"""Connections whose responses are written after the applications of this turn have run."""


def write_all() -> None:
    """Write the responses of one turn of the event loop."""
    connections = waiting[:]
    waiting.clear()
    for connection in connections:
        connection.write(ANSWER)


async def receive() -> Any:
    """Return the event of a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Floor(asyncio.Protocol):
    """Runs the application once for each end of a request head in the received octets.

    A head that is split between two reads gets no response. wrk writes each request at once.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(data.count(END_OF_HEAD)):
            run: Any = application(cast("Any", SCOPE), receive, cast("Any", self._send))
            asyncio.Task(run, loop=loop, name="application")

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            if not waiting:
                asyncio.get_running_loop().call_soon(write_all)
            waiting.append(self)


class SecureFloor(Floor):
    """The same protocol behind Python's TLS on buffers in memory."""

    context: ssl.SSLContext

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._into, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self.context.wrap_bio(self._into, self._out, server_side=True)
        self._is_open = False
        self.write = self._encipher

    def data_received(self, data: bytes) -> None:
        self._into.write(data)
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
            plain = self._tls.read(65536)
        except ssl.SSLWantReadError:
            plain = b""
        if self._out.pending:
            self._transport.write(self._out.read())
        if plain:
            super().data_received(plain)

    def _encipher(self, data: Any) -> None:
        self._tls.write(data)
        self._transport.write(self._out.read())


async def serve(port: int, *files: str) -> None:
    """Serve on 127.0.0.1 until the process ends; with TLS, if certificate and key are given."""
    if files:
        SecureFloor.context = context(*files)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(SecureFloor if files else Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
