"""The shop as a Django app, with a diary of what Django tells by its signals."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakSet

from django.apps import AppConfig
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created

diary: list[str] = []
"""Lines such as `started /hold`, as they happen."""

connections: WeakSet[Any] = WeakSet()
"""Every database connection that some thread has made and that still exists."""


class Request(threading.local):
    """The request that a thread belongs to: Django's handler gives each a thread of its own."""

    path = "?"


request = Request()


def note_started(scope: dict[str, Any], **rest: Any) -> None:
    """A request begins; what runs in its thread knows its path."""
    request.path = scope["path"]
    diary.append(f"started {scope['path']}")


def note_finished(**rest: Any) -> None:
    """A request ends."""
    diary.append(f"finished {request.path}")


def note_connection(connection: Any, **rest: Any) -> None:
    """A thread has connected to the database."""
    connections.add(connection)
    diary.append(f"connected {request.path}")


class ShopConfig(AppConfig):
    """The app."""

    name = "shop"

    def ready(self) -> None:
        request_started.connect(note_started)
        request_finished.connect(note_finished)
        connection_created.connect(note_connection)
