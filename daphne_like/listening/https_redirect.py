"""The application behind `--https-redirect`: redirects every request to its https URL."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from daphne_like.options import Options

HTTPS_PORT = 443
STATUS = 308  # RFC 9110, 15.4.9: the client keeps method and body


class RedirectToHTTPS:
    """An ASGI application that redirects every request (RFC 9110, 15.4.9).

    Sending `Strict-Transport-Security` is up to the application at the redirect's target.

    Args:
        port: returns the TCP port of the TLS endpoint; None if unknown, as behind a proxy.
    """

    def __init__(self, port: Callable[[], int | None]) -> None:
        self._port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope; deny a WebSocket, because browsers follow no redirect in a handshake."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        location = self._location(scope)
        status = 400 if location is None else STATUS
        body = b"This port redirects to https, and the request names no host.\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        if location is not None:
            headers.append((b"location", location))
            body = b"This site speaks https: " + location + b"\n"
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _location(self, scope: Any) -> bytes | None:
        """Return the redirect's target, with the octets of the request, which HTTP has checked."""
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if not host:
            return None
        name, colon, port = host.rpartition(b":")
        if colon and port.isdigit():
            host = name
        own = self._port()
        if own not in (None, HTTPS_PORT):
            host = b"%b:%d" % (host, own)
        query = scope["query_string"]
        path = scope["raw_path"] if scope["raw_path"] != b"*" else b"/"
        return b"https://" + host + path + (b"?" + query if query else b"")


def redirect_options(options: Options) -> Options:
    """Return the options of the redirecting ports, without mode and owner of UNIX sockets."""
    return dataclasses.replace(options, unix_mode=None, unix_owner=None, unix_group=None)
