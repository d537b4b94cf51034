"""Takes client, scheme, host and root path from the header fields of trusted proxies."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any
from urllib.parse import unquote_to_bytes

from daphne_like.options import FORWARDED, Options
from daphne_like.runtime.forwarded_field import read_elements
from daphne_like.runtime.forwarded_nodes import Node, is_host, parse_node
from daphne_like.runtime.trusted_proxies import TrustedProxies

SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
ROOT_PATH = b"daphne-root-path"
REQUEST_START = b"x-request-start"
FORWARDED_FIELD = b"forwarded"
MAX_HOPS = 64
"""Proxies of one request. What is left of the last one read is ignored, so that a long list does
not take more time."""
PREFIX = re.compile(rb"/[^\x00-\x20\x7f\\?#]*")
UNSAFE = re.compile(r"[/\\]{2}|.*[\x00-\x1f\x7f\\]", re.DOTALL)
"""A path that links cannot begin with: two slashes would begin another host's name."""

Values = dict[bytes | None, list[bytes]]


class ProxyHeaders:
    """Sets what a trusted proxy says about a request in its scope (defect K6, S30, S31).

    Fields from untrusted peers have no effect on the scope; the application still sees them.
    `Daphne-Root-Path` is removed from all requests.

    Args:
        options: the options of the server.
    Raises:
        ConfigurationError: `trusted_proxies` contains an invalid entry.
    """

    @classmethod
    def from_options(cls, options: Options) -> ProxyHeaders | None:
        """Return an instance; None if the options leave every scope as it is."""
        wanted = options.reads_forwarded_fields or (
            options.root_path_stripped and options.root_path
        )
        return cls(options) if wanted else None

    def __init__(self, options: Options) -> None:
        self._proxies = TrustedProxies(options.trusted_proxies)
        self._stripped = options.root_path_stripped
        self._forwarded = options.proxy_headers == FORWARDED
        names = (
            *options.forwarded_fields,
            options.proxy_headers_authority,
            options.proxy_headers_prefix,
        )
        self._address, self._port, self._proto, self._authority, self._prefix = (
            name.lower().encode("latin-1") if name else None for name in names
        )
        self._names = frozenset(
            filter(None, (self._address, self._port, self._proto, self._authority, self._prefix))
        )
        if options.reads_forwarded_fields:
            self._names |= {ROOT_PATH, REQUEST_START}
        if self._forwarded:
            self._names |= {FORWARDED_FIELD}

    def apply(self, scope: dict[str, Any]) -> bytes | None:
        """Update a scope: client, scheme, Host, root_path, and path if the proxy strips it.

        Returns:
            The time that a trusted proxy has written in X-Request-Start, or None.
        """
        names = self._names
        found = [field for field in scope["headers"] if field[0] in names]
        values: Values = {}
        if found:
            for name, value in found:
                values.setdefault(name, []).append(value)
            if ROOT_PATH in values:
                scope["headers"] = [field for field in scope["headers"] if field[0] != ROOT_PATH]
            client = scope["client"]
            if self._proxies.trusts(client[0] if client else None):
                self._believe(scope, values)
            else:
                values = {}
        if self._stripped and scope["path"] != "*":
            scope["path"] = scope["root_path"] + scope["path"]
        start = values.get(REQUEST_START)
        return start[-1] if start else None

    def _believe(self, scope: dict[str, Any], values: Values) -> None:
        """Update the scope of a request from a trusted proxy."""
        # Few requests have all fields, and a call takes longer than a look-up.
        if self._forwarded:
            self._read_forwarded(scope, values.get(FORWARDED_FIELD, []))
        else:
            if self._address in values:
                self._read_client(scope, values)
            if self._proto in values:
                _set_scheme(scope, _last(values[self._proto]))
            if self._authority in values:
                _set_host(scope, _last(values[self._authority]))
        if ROOT_PATH in values:
            _set_root_path(scope, _last(values[ROOT_PATH]))
        if self._prefix in values:
            _set_root_path(scope, _last(values[self._prefix]))

    def _read_client(self, scope: dict[str, Any], values: Values) -> None:
        client = self._walk(b",".join(values[self._address]))
        if client is not None:
            scope["client"] = [client.host, client.port or _port(values.get(self._port))]

    def _walk(self, entries: bytes) -> Node | None:
        """Return the rightmost untrusted address, or the leftmost one if all are trusted."""
        found = None
        end = len(entries)
        for _ in range(MAX_HOPS):
            start = entries.rfind(b",", 0, end)
            node = parse_node(entries[start + 1 : end])
            if node is None:
                return found  # not an address (`unknown`, forged): ignore all before it
            found = node
            if start < 0 or not self._proxies.trusts(node.host):
                return found
            end = start
        return found

    def _read_forwarded(self, scope: dict[str, Any], lines: list[bytes]) -> None:
        """Read the elements of RFC 7239 from the right.

        A trusted proxy has written the last one, and each that follows one whose `for` is trusted.
        The leftmost of these describes the request of the client.
        """
        written = (element for line in reversed(lines) for element in read_elements(line))
        farthest: dict[bytes, bytes] = {}
        for element in islice(written, MAX_HOPS):
            node = parse_node(element.get(b"for", b""))
            farthest = element or farthest
            if node is None:
                break
            scope["client"] = [node.host, node.port]
            if not self._proxies.trusts(node.host):
                break
        _set_scheme(scope, farthest.get(b"proto"))
        _set_host(scope, farthest.get(b"host"))


def _last(values: list[bytes]) -> bytes:
    """Return the last member of a list over several field lines: the nearest proxy wrote it."""
    return values[-1].rpartition(b",")[2].strip()


def _port(values: list[bytes] | None) -> int:
    digits = _last(values) if values else b""
    return int(digits) if digits.isdigit() and len(digits) < 6 and int(digits) < 65536 else 0


def _set_scheme(scope: dict[str, Any], value: bytes | None) -> None:
    scheme = SCHEMES.get(value.lower()) if value is not None else None
    if scheme is not None:
        scope["scheme"] = scheme


def _set_host(scope: dict[str, Any], value: bytes | None) -> None:
    """Replace Host, for the application, by the one that the client has sent to the proxy."""
    if value is None or not is_host(value):
        return
    field = (b"host", value)
    fields = [field if known[0] == b"host" else known for known in scope["headers"]]
    scope["headers"] = fields if field in fields else [field, *fields]


def _set_root_path(scope: dict[str, Any], value: bytes) -> None:
    """Set the decoded path, without a slash at its end; an empty value means no root path."""
    if value and PREFIX.fullmatch(value) is None:
        return
    path = unquote_to_bytes(value).decode("utf-8", "replace").rstrip("/")
    if UNSAFE.match(path) is None:
        scope["root_path"] = path
