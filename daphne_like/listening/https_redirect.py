"""The application behind `--https-redirect`: sends every request to the same place over TLS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from daphne_like.options import Options

HTTPS_PORT = 443
STATUS = 308  # RFC 9110, 15.4.9: the method and the body stay


class RedirectToHTTPS:
    """An ASGI application of redirects (RFC 9110, 15.4.9).

    `Strict-Transport-Security` belongs to the application that is redirected to.

    Args:
        port: gives the TCP port that speaks TLS; None where it is not known, as behind a proxy.
    """

    def __init__(self, port: Callable[[], int | None]) -> None:
        self._port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope; a WebSocket is denied, as browsers follow no redirect there."""
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
        """The target of the redirect; octets as the request had them, which HTTP has checked."""
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
    """Return the options of the ports that redirect: no mode or owner of a UNIX socket's file."""
    return dataclasses.replace(options, unix_mode=None, unix_owner=None, unix_group=None)
