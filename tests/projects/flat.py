"""A gigabyte out, a gigabyte in that nobody wants, and 200 MB each way."""

import asyncio

CHUNK = b"x" * 100_000


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    is_transfer = scope["path"] == "/transfer"
    if scope["method"] == "GET":
        for _ in range(2_000 if is_transfer else 10_000):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    elif is_transfer:
        await asyncio.sleep(0.5)  # the peer may send all of it meanwhile
        taken, event = 0, {"more_body": True}
        while event["more_body"]:
            event = await receive()
            taken += len(event["body"])
        await send({"type": "http.response.body", "body": b"%d" % taken, "more_body": True})
    else:
        await receive()
        print("asleep", flush=True)
        await asyncio.sleep(60)
    await send({"type": "http.response.body", "body": b""})
