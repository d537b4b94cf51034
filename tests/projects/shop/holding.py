"""Views that are in the middle of a transaction, or of a thread, until a test lets them go on."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from shop.apps import connections, diary
from shop.models import Product

LONGEST = 60.0
"""Seconds after which a view goes on by itself, so that a failed test ends."""

gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)


def insert_and_hold(name: str) -> None:
    """Write, keep the transaction open until the gate opens, and commit."""
    with transaction.atomic():
        Product.objects.create(name=name)
        diary.append(f"holding {name}")
        gates[name].wait(LONGEST)
    diary.append(f"committed {name}")


def sync_view(request: HttpRequest, name: str) -> HttpResponse:
    """A sync view holds a transaction."""
    insert_and_hold(name)
    return HttpResponse(name)


async def async_view(request: HttpRequest, name: str) -> HttpResponse:
    """An async view awaits a thread that holds a transaction."""
    try:
        await sync_to_async(insert_and_hold)(name)
    except asyncio.CancelledError:
        diary.append(f"cancelled {name}")
        raise
    return HttpResponse(name)


class Transaction:
    """A transaction over several steps of a coroutine, all in the request's thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.atomic = transaction.atomic()

    async def __aenter__(self) -> None:
        await sync_to_async(self.begin)()

    async def __aexit__(self, *raised: Any) -> None:
        await sync_to_async(self.atomic.__exit__)(*raised)
        diary.append(f"{'committed' if raised[0] is None else 'rolled-back'} {self.name}")

    def begin(self) -> None:
        self.atomic.__enter__()
        Product.objects.create(name=self.name)


async def steps_view(request: HttpRequest, name: str) -> HttpResponse:
    """An async view holds a transaction while it waits for something else."""
    async with Transaction(name):
        diary.append(f"holding {name}")
        await asyncio.sleep(LONGEST)
    return HttpResponse(name)


def sync_stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """A generator holds a transaction; Django runs it to its end before the first octet."""

    def parts() -> Iterator[bytes]:
        yield b"begin\n"
        insert_and_hold(name)
        yield b"end\n"

    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """An async generator holds a transaction, and never ends."""

    async def parts() -> AsyncIterator[bytes]:
        async with Transaction(name):
            diary.append(f"holding {name}")
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0.001)

    return StreamingHttpResponse(parts())


async def busy_stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """An async generator that has a part in every turn of the event loop."""

    async def parts() -> AsyncIterator[bytes]:
        diary.append(f"holding {name}")
        while True:
            yield b"x"
            await asyncio.sleep(0)

    return StreamingHttpResponse(parts())


async def sleeping_view(request: HttpRequest, name: str) -> HttpResponse:
    """An async view without a database."""
    diary.append(f"holding {name}")
    try:
        await asyncio.sleep(LONGEST)
    except asyncio.CancelledError:
        diary.append(f"cancelled {name}")
        raise
    return HttpResponse(name)


async def open_gate(request: HttpRequest, name: str) -> HttpResponse:
    """Let a view go on."""
    gates[name].set()
    return HttpResponse()


async def collect(request: HttpRequest) -> HttpResponse:
    """Let Python's garbage collector run."""
    return HttpResponse(gc.collect())


async def tell(request: HttpRequest) -> JsonResponse:
    """What has happened, and the transactions that are open."""
    return JsonResponse(
        {
            "diary": diary,
            "open_transactions": sum(each.in_atomic_block for each in list(connections)),
        }
    )


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Write, or answer 503 at once where somebody else has the database locked."""
    try:
        Product.objects.create(name=name)
    except OperationalError as error:
        return HttpResponse(str(error), status=503)
    return HttpResponse()


def count(request: HttpRequest, name: str) -> HttpResponse:
    """How many products of that name there are."""
    return HttpResponse(Product.objects.filter(name=name).count())
