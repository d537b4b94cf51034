"""Checks opening handshakes (RFC 6455, 4.2.1), and computes Sec-WebSocket-Accept.

The HTTP connection has parsed the request; its octets are never parsed again (CVE-2026-44546). The
response of the application is handled in session.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from daphne_like.asgi.response_fields import TOKEN
from daphne_like.exceptions import PeerError
from daphne_like.http.fields import Fields

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"
OTHER_VERSION = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: " + VERSION + b"\r\n"
)
QUOTED = re.compile(rb'^"(.*)"$')
HANDSHAKE_FIELDS = frozenset(
    (
        b"connection",
        b"origin",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    )
)
MAX_SUBPROTOCOLS = 64

Parameters = dict[str, list[str | bool]]


class OpeningHandshake(NamedTuple):
    """The content of a valid opening handshake."""

    key: bytes
    """The value of Sec-WebSocket-Key; b"" over HTTP/2, which does not use it (RFC 8441, 5)."""
    subprotocols: list[str]
    """The offered subprotocols, in the client's order of preference."""
    extensions: list[tuple[str, Parameters]]
    """The offered extensions. Each parameter has a list of values; True means no value."""


def by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    """Return the values of the fields that a handshake uses, by name, in their order."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name in HANDSHAKE_FIELDS:
            found.setdefault(name, []).append(value)
    return found


def members(listed: Iterable[bytes]) -> list[bytes]:
    """Return the members of a list-based field (RFC 9110, 5.6.1) without empty ones."""
    return [
        member for value in listed for part in value.split(b",") if (member := part.strip(b" \t"))
    ]


def has_token(listed: Iterable[bytes], token: bytes) -> bool:
    """Tell whether a list of tokens contains one, ignoring case."""
    return any(member.lower() == token for member in members(listed))


def asks_for_websocket(fields: Fields) -> bool:
    """Tell whether a request is an opening handshake, valid or not."""
    return has_token([value for name, value in fields if name == b"upgrade"], b"websocket")


def check_opening(
    method: str, http_version: str, fields: Fields, *, has_body: bool, origins: Collection[str]
) -> OpeningHandshake:
    """Check an opening handshake and return its content (RFC 6455, 4.2.1).

    Args:
        method: the request method as sent.
        http_version: "1.0", "1.1" or "2"; the latter for an extended CONNECT (RFC 8441).
        fields: names in lower case. The HTTP connection has checked them; in HTTP/1.1 there is
            exactly one Host.
        has_body: the request has a body, whatever its framing.
        origins: the accepted values of Origin; empty to accept all.
    Raises:
        PeerError: 405 for a method other than GET, 426 for a version other than 13, 403 for a
            foreign origin, 400 otherwise.
    """
    found = by_name(fields)
    key = b"" if http_version == "2" else upgrade_key(method, http_version, found, has_body)
    if found.get(b"sec-websocket-version") != [VERSION]:
        raise PeerError(426, "The WebSocket version served is 13.", OTHER_VERSION)
    if http_version != "2" and not is_key(key):
        raise PeerError(
            400,
            "Sec-WebSocket-Key is not one key of 16 octets.",
            reason="invalid_websocket_handshake",
        )
    origin = found.get(b"origin", ())
    if len(origin) > 1:
        raise PeerError(400, "More than one Origin field.", reason="invalid_websocket_handshake")
    # A client that sends no Origin is not a browser, and could send any value.
    if origins and origin and origin[0].decode("latin-1") not in origins:
        raise PeerError(403, "This origin is not served.")
    return OpeningHandshake(
        key,
        offered_subprotocols(found.get(b"sec-websocket-protocol", ())),
        offered_extensions(found.get(b"sec-websocket-extensions", ())),
    )


def upgrade_key(
    method: str, http_version: str, found: dict[bytes, list[bytes]], has_body: bool
) -> bytes:
    """Return the key of an opening handshake in HTTP/1.1; b"" without exactly one key.

    Raises:
        PeerError: the request is not a valid upgrade request.
    """
    if method != "GET":
        raise PeerError(405, "A WebSocket is opened with GET.", b"Allow: GET\r\n")
    if http_version != "1.1":
        raise PeerError(
            400, "A WebSocket is opened with HTTP/1.1.", reason="invalid_websocket_handshake"
        )
    if not has_token(found.get(b"connection", ()), b"upgrade"):
        raise PeerError(
            400, "The Connection field does not say Upgrade.", reason="invalid_websocket_handshake"
        )
    if has_body:
        raise PeerError(
            400, "A WebSocket handshake has no body.", reason="invalid_websocket_handshake"
        )
    keys = found.get(b"sec-websocket-key", ())
    return keys[0] if len(keys) == 1 else b""


def is_key(value: bytes) -> bool:
    """Tell whether a value is 16 octets in base64."""
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def offered_subprotocols(listed: Iterable[bytes]) -> list[str]:
    """Return the subprotocols of all Sec-WebSocket-Protocol fields (RFC 6455, 4.1 and 11.3.4).

    Raises:
        PeerError: 400 for a name that is not a token (S25), a repeated name, or too many names.
    """
    names = members(listed)
    if (
        len(names) > MAX_SUBPROTOCOLS
        or len(set(names)) < len(names)
        or not all(map(TOKEN.fullmatch, names))
    ):
        raise PeerError(
            400,
            "Sec-WebSocket-Protocol is not a list of different tokens.",
            reason="invalid_websocket_handshake",
        )
    return [name.decode("ascii") for name in names]


def offered_extensions(listed: Iterable[bytes]) -> list[tuple[str, Parameters]]:
    """Return the extensions of all Sec-WebSocket-Extensions fields (RFC 6455, 9.1).

    A quoted value must be a token, too, so every comma and semicolon is a separator.

    Raises:
        PeerError: 400 for an invalid list of extensions.
    """
    offered: list[tuple[str, Parameters]] = []
    for member in members(listed):
        name, *rest = member.split(b";")
        parameters: Parameters = {}
        for part in rest:
            key, is_given, value = part.partition(b"=")
            text: str | bool = True
            if is_given:
                value = value.strip(b" \t")
                text = extension_token(QUOTED.sub(rb"\1", value))
            parameters.setdefault(extension_token(key), []).append(text)
        offered.append((extension_token(name), parameters))
    return offered


def extension_token(octets: bytes) -> str:
    """Return a name or value of the extensions field in lower case.

    Raises:
        PeerError: 400 if it is not a token.
    """
    stripped = octets.strip(b" \t")
    if TOKEN.fullmatch(stripped) is None:
        raise PeerError(
            400,
            "Sec-WebSocket-Extensions is not a list of extensions.",
            reason="invalid_websocket_handshake",
        )
    return stripped.decode("ascii").lower()


def accept_value(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept value for a key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
