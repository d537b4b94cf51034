"""Sends its own source file, with an early hint before it and a digest in the trailers."""

import hashlib
from pathlib import Path

FILE = Path(__file__).absolute()


async def application(scope, receive, send):
    assert scope["type"] == "http"
    extensions = scope["extensions"]
    if "http.response.early_hint" in extensions:
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
    trailers = "http.response.trailers" in extensions
    headers = [(b"content-type", b"text/x-python")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers}
    )
    await send({"type": "http.response.pathsend", "path": str(FILE)})
    if trailers:
        digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
        fields = [(b"x-sha256", digest.encode())]
        await send({"type": "http.response.trailers", "headers": fields})
