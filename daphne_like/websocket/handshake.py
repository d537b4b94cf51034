"""The opening handshake: what RFC 6455, 4.2.1, asks of a request, and the fields of the answer.

The request has been parsed by HTTP: its octets are never looked at again (CVE-2026-44546). What
the application answers is in session.py.
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
LOOKED_AT = frozenset(
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
    """What a valid opening handshake asks for."""

    key: bytes
    """b"" over HTTP/2, where nothing is proved by it (RFC 8441, 5)."""
    subprotocols: list[str]
    """As offered, the one that the client likes best first."""
    extensions: list[tuple[str, Parameters]]
    """As offered; a parameter without a value has True, one that stands twice two of them."""


def by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    """The values of the fields that a handshake looks at, by name, in their order."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name in LOOKED_AT:
            found.setdefault(name, []).append(value)
    return found


def members(listed: Iterable[bytes]) -> list[bytes]:
    """The members of a list-based field (RFC 9110, 5.6.1), empty ones left out."""
    return [
        member for value in listed for part in value.split(b",") if (member := part.strip(b" \t"))
    ]


def has_token(listed: Iterable[bytes], token: bytes) -> bool:
    """Whether a list of tokens has one, in any case."""
    return any(member.lower() == token for member in members(listed))


def asks_for_websocket(fields: Fields) -> bool:
    """Whether a request is an opening handshake, valid or not."""
    return has_token([value for name, value in fields if name == b"upgrade"], b"websocket")


def check_opening(
    method: str, http_version: str, fields: Fields, *, has_body: bool, origins: Collection[str]
) -> OpeningHandshake:
    """Check a request that asks for WebSocket (RFC 6455, 4.2.1); what it asks for.

    Args:
        method: of the request, as sent.
        http_version: "1.0", "1.1" or "2", where the request is an extended CONNECT (RFC 8441).
        fields: names in lower case. HTTP has checked them: one Host and no more in HTTP/1.1.
        has_body: the request has a body, of whatever framing.
        origins: the values of Origin that are served; all of them if there are none.
    Raises:
        PeerError: 405 for another method than GET, 426 for another version than 13, 403 for a
            foreign origin, 400 for the rest.
    """
    found = by_name(fields)
    key = b"" if http_version == "2" else upgrade_key(method, http_version, found, has_body)
    if found.get(b"sec-websocket-version") != [VERSION]:
        raise PeerError(426, "The WebSocket version served is 13.", OTHER_VERSION)
    if http_version != "2" and not is_key(key):
        raise PeerError(400, "Sec-WebSocket-Key is not one key of 16 octets.")
    origin = found.get(b"origin", ())
    if len(origin) > 1:
        raise PeerError(400, "More than one Origin field.")
    # Whoever sends no Origin is no browser, and could send any.
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
    """The key of a request that asks for an upgrade in HTTP/1.1; b"" if it is not one.

    Raises:
        PeerError: it is no such request.
    """
    if method != "GET":
        raise PeerError(405, "A WebSocket is opened with GET.", b"Allow: GET\r\n")
    if http_version != "1.1":
        raise PeerError(400, "A WebSocket is opened with HTTP/1.1.")
    if not has_token(found.get(b"connection", ()), b"upgrade"):
        raise PeerError(400, "The Connection field does not say Upgrade.")
    if has_body:
        raise PeerError(400, "A WebSocket handshake has no body.")
    keys = found.get(b"sec-websocket-key", ())
    return keys[0] if len(keys) == 1 else b""


def is_key(value: bytes) -> bool:
    """Whether a value is 16 octets in base64."""
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def offered_subprotocols(listed: Iterable[bytes]) -> list[str]:
    """The subprotocols of all Sec-WebSocket-Protocol fields (RFC 6455, 4.1 and 11.3.4).

    Raises:
        PeerError: 400 for one that is no token (S25), or that stands twice.
    """
    names = members(listed)
    if (
        len(names) > MAX_SUBPROTOCOLS
        or len(set(names)) < len(names)
        or not all(map(TOKEN.fullmatch, names))
    ):
        raise PeerError(400, "Sec-WebSocket-Protocol is not a list of different tokens.")
    return [name.decode("ascii") for name in names]


def offered_extensions(listed: Iterable[bytes]) -> list[tuple[str, Parameters]]:
    """The extensions of all Sec-WebSocket-Extensions fields (RFC 6455, 9.1).

    A quoted value has to be a token, too, so commas and semicolons always separate.

    Raises:
        PeerError: 400 for what is no list of extensions.
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
    """A name or value of the extensions field, in lower case.

    Raises:
        PeerError: 400 for what is no token.
    """
    stripped = octets.strip(b" \t")
    if TOKEN.fullmatch(stripped) is None:
        raise PeerError(400, "Sec-WebSocket-Extensions is not a list of extensions.")
    return stripped.decode("ascii").lower()


def accept_value(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
