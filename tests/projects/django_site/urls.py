"""Views of a small Django project."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib import admin
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

seen: dict[str, Any] = {}


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello from Django")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingHttpResponse(parts())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(parts())


async def flood(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            seen["flood"] = "ended"

    return StreamingHttpResponse(parts())


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for part in file.chunks():
        digest.update(part)
    return JsonResponse(
        {
            "sha256": digest.hexdigest(),
            "size": file.size,
            "on_disk": isinstance(file, TemporaryUploadedFile),
        }
    )


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


async def long(request: HttpRequest) -> HttpResponse:
    seen["long"] = "running"
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        seen["long"] = "cancelled"
        raise
    return HttpResponse()


async def tell(request: HttpRequest) -> JsonResponse:
    return JsonResponse(seen)


urlpatterns = [
    path("", hello),
    path("stream", stream),
    path("astream", astream),
    path("flood", flood),
    path("upload", upload),
    path("fail", fail),
    path("long", long),
    path("seen", tell),
    path("admin/", admin.site.urls),
]
