"""Files, hints and trailers; how a file was sent is told at /how."""

import hashlib
import os

FILE = os.environ.get("FILE", "")
calls = {"sendfile": 0, "preadv": 0, "pread": 0}


def counting(name):
    function = getattr(os, name)

    def call(*arguments):
        calls[name] += 1
        return function(*arguments)

    setattr(os, name, call)


for name in calls:
    counting(name)


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await ROUTES[scope["path"]](send)


async def path(send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.pathsend", "path": FILE})


async def parts(send):
    """The file's ends, and text between them."""
    await send({"type": "http.response.start", "status": 200})
    with open(FILE, "rb") as file:
        await send(
            {"type": "http.response.zerocopysend", "file": file, "count": 5, "more_body": True}
        )
        await send({"type": "http.response.body", "body": b" and ", "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": file, "offset": file.seek(-5, 2)})


async def trailers(send):
    """A hint, a body, and its digest behind it."""
    link = b"</style.css>; rel=preload; as=style"
    await send({"type": "http.response.early_hint", "links": [link]})
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    digest = hashlib.sha256()
    for number in range(3):
        body = b"%d\n" % number
        digest.update(body)
        await send({"type": "http.response.body", "body": body, "more_body": number < 2})
    fields = [(b"X-Digest", digest.hexdigest().encode())]
    await send({"type": "http.response.trailers", "headers": fields})


async def how(send):
    await send({"type": "http.response.start", "status": 200})
    used = "sendfile" if calls["sendfile"] else "read" if calls["preadv"] + calls["pread"] else ""
    await send({"type": "http.response.body", "body": used.encode()})


ROUTES = {"/path": path, "/parts": parts, "/trailers": trailers, "/how": how}
