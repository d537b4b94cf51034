"""The common application of tests/loopback/test_frameworks.py, in Django, without Channels."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

seen: dict[str, Any] = {}


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return StreamingHttpResponse(parts())


def stream_in_thread(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(b"%d\n" % number for number in range(5))


def echo(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        while part := request.read(65536):
            yield part

    # Over ASGI Django wants an asynchronous iterator: it would read this one to its end first.
    if hasattr(request, "scope"):
        return StreamingHttpResponse(_in_steps(parts()))
    return StreamingHttpResponse(parts())


async def _in_steps(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def flood(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return StreamingHttpResponse(parts())


def flood_in_thread(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return StreamingHttpResponse(parts())


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def tell(request: HttpRequest) -> JsonResponse:
    gc.collect()  # an asynchronous generator that was not read to its end
    return JsonResponse(seen)


class Asynchronous:
    urlpatterns = [
        path("", home), path("stream", stream), path("echo", echo), path("flood", flood),
        path("fail", fail), path("seen", tell),
    ]  # fmt: skip


class Synchronous:
    urlpatterns = [
        path("", home), path("stream", stream_in_thread), path("echo", echo),
        path("flood", flood_in_thread), path("fail", fail), path("seen", tell),
    ]  # fmt: skip


settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=Asynchronous,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_TZ=True,
)


def asgi() -> Any:
    return get_asgi_application()


def wsgi() -> Any:
    settings.ROOT_URLCONF = Synchronous
    return get_wsgi_application()
