"""Determines the scheme and both ends of a connection (ASGI H04, H12, H13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport

from daphne_like.http.extensions import EXTENSIONS, Supported
from daphne_like.http.tls_info import read_tls_extension


# A class with slots, because the interpreter specialises access to slots, but not to named tuples.
@dataclass(slots=True)
class ConnectionEnds:
    """The values about a connection that all its scopes share."""

    scheme: str
    client: list[Any] | None
    server: list[Any] | None
    extensions: dict[str, Any]
    """The supported extensions. A scope gets a copy; the values must not be modified."""


def describe_ends(transport: Any) -> ConnectionEnds:
    """Return scheme, client and server of a connection (ASGI H04, H12, H13).

    Call it at the first request, not earlier: behind a PROXY protocol wrapper the transport learns
    the client's address from the first octets.
    """
    ends: list[list[Any] | None] = []
    peer, host = transport.getPeer(), transport.getHost()
    for address in (peer, host):
        if address.__class__ is IPv4Address or address.__class__ is IPv6Address:
            ends.append([address.host, address.port])
        elif (  # an address class that is not Twisted's
            getattr(address, "host", None) is not None
            and getattr(address, "port", None) is not None
        ):
            ends.append([str(address.host), int(address.port)])
        elif address is host and isinstance(address, UNIXAddress) and address.name:
            name = address.name.decode("utf-8", "surrogateescape")
            # The usual spelling of an abstract name has "@" instead of NUL.
            ends.append(["@" + name[1:] if name[0] == "\0" else name, None])
        else:
            ends.append(None)
    if not ISSLTransport.providedBy(transport):
        return ConnectionEnds("http", ends[0], ends[1], EXTENSIONS)
    return ConnectionEnds("https", ends[0], ends[1], with_tls(read_tls_extension(transport)))


def with_tls(tls: dict[str, Any] | None) -> dict[str, Any]:
    """Return the extensions of a connection, with its `tls` extension if any (ASGI T01)."""
    return EXTENSIONS if tls is None else {**EXTENSIONS, "tls": Supported(tls)}
