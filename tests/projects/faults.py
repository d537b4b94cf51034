"""An application to which bad things happen."""

from __future__ import annotations

import os
import resource
from typing import Any

HUGE = 8 << 30
SPACE = 2 << 30


async def answer(send: Any, body: bytes) -> None:
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    path = scope["path"]
    if path == "/memory":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (SPACE, hard))
        await answer(send, bytes(bytearray(HUGE)))
    elif path in ("/fork/raises", "/fork/exits"):
        child = os.fork()
        if child == 0:
            if path == "/fork/raises":
                raise ValueError("in the child")
            os._exit(7)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        await answer(send, b"child %d" % status)
    else:
        await answer(send, b"hello")
