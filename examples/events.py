"""Server-sent events until the browser leaves: daphne-like events:application."""

import asyncio


async def application(scope, receive, send):
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.create_task(wait_for_disconnect(receive))
    try:
        number = 0
        while not gone.done():
            number += 1
            event = b"data: event %d\n\n" % number
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.wait([gone], timeout=1)
    finally:
        gone.cancel()


async def wait_for_disconnect(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
