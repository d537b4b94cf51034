"""Who the process is, its log, an echo; everything else as stopping.py has it."""

import json
import logging
import os

import stopping

log = logging.getLogger("site")
imported_as = [os.getuid(), os.getgid()]


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope.get("path") == "/who":
        await answer(send, [imported_as, os.getresuid(), os.getresgid()])
    elif scope.get("path") == "/logs":
        log.warning("a warning of the application's\nwith %s", "two lines")
        await answer(send, None)
    else:
        await stopping.application(scope, receive, send)


async def answer(send, value):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    print("websocket.disconnect", event["code"], flush=True)
