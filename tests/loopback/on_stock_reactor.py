"""On Twisted's own asyncio reactor, installed by somebody else (here: by pytest-twisted)."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent, FileBodyProducer

from daphne_like.reactor.core import NativeReactor
from daphne_like.server import Server


class Collected(Protocol):
    """A response body as a Deferred; twisted's readBody warns of its own transport."""

    def __init__(self) -> None:
        self.body = b""
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.body += data

    def connectionLost(self, reason: Any = None) -> None:
        self.whole.callback(self.body)


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the body, part by part as it comes, and the path before it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = scope["path"].encode()
    while True:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        event = await receive()
        body = event["body"]
        if not event["more_body"]:
            await send({"type": "http.response.body", "body": body})
            return


@pytest_twisted.async_yield_fixture
async def address() -> AsyncIterator[str]:
    """A server on the reactor that runs already."""
    server = Server(echo)
    server.attach(reactor)
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(server.http_factory)
    yield f"http://127.0.0.1:{port.getHost().port}"
    await port.stopListening()
    for connection in list(server.connections):
        connection.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_requests_are_served(address: str) -> None:
    """Everything works on a stock asyncio reactor, only slower."""
    assert isinstance(reactor, AsyncioSelectorReactor)
    assert not isinstance(reactor, NativeReactor)
    body = b"0123456789" * 50_000
    agent = Agent(reactor)
    response = await agent.request(
        b"POST", f"{address}/path".encode(), None, FileBodyProducer(io.BytesIO(body))
    )
    assert response.code == 200
    collected = Collected()
    response.deliverBody(collected)
    assert await collected.whole == b"/path" + body
