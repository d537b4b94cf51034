"""A tree of twisted.web resources with several applications in it; prints its ports.

Usage: python tree.py native|stock [certificate-and-key.pem]
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

if sys.argv[1] == "native":
    from daphne_like.reactor import install
else:
    from twisted.internet.asyncioreactor import install
install()

import flat  # noqa: E402
import star  # noqa: E402
from django_site.asgi import application as django  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.internet.endpoints import serverFromString  # noqa: E402
from twisted.web.pages import notFound  # noqa: E402
from twisted.web.resource import Resource  # noqa: E402
from twisted.web.server import Site  # noqa: E402
from twisted.web.static import File  # noqa: E402

from daphne_like.options import Options  # noqa: E402
from daphne_like.web import ASGIResource, StreamingRequest  # noqa: E402


class Root(Resource):
    def getChild(self, path: bytes, request: Any) -> Any:
        return notFound()


async def broken(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Writes for ever and never reads."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})


async def both(scope: Any, receive: Any, send: Any) -> None:
    """Sends what it receives, part by part."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "more_body": True})
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            print("disconnected", flush=True)
            return
        more = event["more_body"]
        await send({"type": "http.response.body", "body": event["body"], "more_body": more})


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """Fails in the middle of its answer, over HTTP/2 too."""
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [(b"x-version", scope["http_version"].encode()), (b"upgrade", b"none")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise SystemExit  # without a traceback of interest


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
quickly = Options(graceful_timeout=0)
root = Root()
root.putChild(b"app", ASGIResource(star.plain))
root.putChild(b"django", ASGIResource(django))
root.putChild(b"flat", ASGIResource(flat.application, quickly))
root.putChild(b"flood", ASGIResource(flood, quickly))
root.putChild(b"both", ASGIResource(both, Options(graceful_timeout=0, max_body_size=30_000_000)))
root.putChild(b"wsgi", ASGIResource(wsgi))
root.putChild(b"failing", ASGIResource(failing))
root.putChild(b"broken", ASGIResource(broken))
root.putChild(b"files", File(str(Path(__file__).parent)))

places = [(StreamingRequest, "tcp:0"), (None, "tcp:0")]
if len(sys.argv) > 2:
    places = [(StreamingRequest, f"ssl:0:privateKey={sys.argv[2]}:certKey={sys.argv[2]}")]
ports: list[int] = []


def listening(port: Any) -> None:
    ports.append(port.getHost().port)
    if len(ports) == len(places):
        print("ports", *ports, flush=True)


for factory, string in places:
    site = Site(root, requestFactory=factory, parsePOSTFormSubmission=False)
    endpoint = serverFromString(reactor, f"{string}:interface=127.0.0.1")
    endpoint.listen(site).addCallback(listening)
reactor.run()
