"""The page of a room, and its URLs."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


async def page(request: HttpRequest, room: str = "lobby") -> HttpResponse:
    """Show one room; its script opens the WebSocket."""
    return render(request, "page.html", {"room": room})


urlpatterns = [path("", page), path("<slug:room>/", page)]
