"""The cost of a WebSocket without an application: picows, in Cython, echoes messages.

``python floor.py PORT``. It runs in the peers' interpreter and does not use ASGI.
"""

# picows is in the peers' virtual environment only, where no type checker runs.
# mypy: disable-error-code="import-not-found, misc"

from __future__ import annotations

import sys

import picows
import uvloop


class Floor(picows.WSListener):
    """Echo each message; pings and the closing handshake are answered too."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process ends."""
    server = await picows.ws_create_server(lambda request: Floor(), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
