"""A gigabyte out, and a gigabyte in that nobody wants."""

import asyncio

CHUNK = b"x" * 100_000


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["method"] == "GET":
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    else:
        await receive()
        print("asleep", flush=True)
        await asyncio.sleep(60)
    await send({"type": "http.response.body", "body": b""})
