"""Asks a running server for its status, on the endpoint of `--status`."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from daphne_like.exceptions import ConfigurationError

TIMEOUT_SECONDS = 5.0
MAX_OCTETS = 16 * 1024 * 1024


class StatusError(ConfigurationError):
    """The server does not answer as it should; the text says how."""

    def __init__(self, text: str) -> None:
        super().__init__(text, exit_status=1)


class UNIXConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket.

    Args:
        path: of the socket; an abstract one begins with @.
    """

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = "\0" + path[1:] if path.startswith("@") else path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class StatusClient:
    """A client of one server.

    Args:
        target: path of a UNIX socket, host:port, or a URL.
        token: the token, if the server needs one.
    """

    def __init__(self, target: str, token: str | None = None) -> None:
        self.target = target
        self._token = token

    def _connect(self) -> http.client.HTTPConnection:
        target = self.target.removeprefix("unix:")
        if "://" not in target and (target[:1] in "/.@" or os.sep in target):
            return UNIXConnection(target)
        try:
            url = urlsplit(target if "://" in target else f"http://{target}")
            if url.hostname is None or url.scheme not in ("http", "https"):
                raise ValueError
            kind = (
                http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            )
            return kind(url.hostname, url.port, timeout=TIMEOUT_SECONDS)
        except ValueError:
            raise ConfigurationError(
                f"{target!r} is neither a UNIX socket nor host:port nor a URL"
            ) from None

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON at a path.

        Raises:
            ConfigurationError: the target is nothing that can be asked.
            StatusError: the server does not answer, refuses, or is another one.
        """
        connection = self._connect()
        fields = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            connection.request("GET", path + ("?" + urlencode(query) if query else ""),
                               headers=fields)  # fmt: skip
            response = connection.getresponse()
            body = response.read(MAX_OCTETS)
        except (OSError, http.client.HTTPException) as error:
            raise StatusError(f"{self.target} does not answer: {error or type(error).__name__}")
        finally:
            connection.close()
        if response.status != 200:
            sentence = body[:200].decode("utf-8", "replace").strip()
            raise StatusError(f"{self.target} refuses, with status {response.status}: {sentence}")
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "schema" not in found:
            raise StatusError(f"{self.target} is no status endpoint of daphne-like")
        return found
