"""The page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def page(request: HttpRequest, room: str = "lobby") -> HttpResponse:
    """Show one room; its script opens the WebSocket."""
    context = {"room": room, "has_worker": bool(settings.REDIS_URL)}
    return render(request, "chat/page.html", context)
