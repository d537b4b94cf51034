"""What servers in child processes run; module-level, so that it can be pickled."""

from __future__ import annotations

import os
from typing import Any

from asgiref.sync import sync_to_async


async def answer(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its process's id, from a thread."""
    assert scope["type"] == "http"
    await answer(send, str(await sync_to_async(os.getpid)()).encode())


async def client(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the client's address."""
    await answer(send, str(scope["client"][0]).encode())


async def lasting(scope: Any, receive: Any, send: Any) -> None:
    """Begins a response and goes on until its peer has gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """Cannot start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database today"})


def get_application() -> Any:
    return application


def get_lasting() -> Any:
    return lasting


def get_failing() -> Any:
    return failing


def raise_in_get() -> Any:
    raise ValueError("no application today")


class Unpicklable(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def raise_unpicklable() -> Any:
    raise Unpicklable("neither", "nor")


def raise_large() -> Any:
    raise ValueError("x" * 1_000_000)


def setup() -> None:
    os.environ["SET_UP"] = "1"


def raise_in_setup() -> None:
    raise LookupError("no setup today")


def get_after_setup() -> Any:
    async def told(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, os.environ.get("SET_UP", "no").encode())

    return told
