"""Scheme and both ends of a connection (ASGI H04, H12, H13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport

from daphne_like.http.extensions import EXTENSIONS, Supported
from daphne_like.http.tls_info import tls_extension_of

if TYPE_CHECKING:
    pass


# Slots, not named tuples: the interpreter specialises how it reads those alone.
@dataclass(slots=True)
class ConnectionEnds:
    """What every scope of one connection says about its ends, and what may be done with it."""

    scheme: str
    client: list[Any] | None
    server: list[Any] | None
    extensions: dict[str, Any]
    """To be copied: none of its values is written into."""


def describe_ends(transport: Any) -> ConnectionEnds:
    """Scheme, client and server of a connection (ASGI H04, H12, H13).

    Asked for at the first request, not earlier: behind a PROXY protocol wrapper the transport
    learns the client's address with the first octets.
    """
    ends: list[list[Any] | None] = []
    peer, host = transport.getPeer(), transport.getHost()
    for address in (peer, host):
        if address.__class__ is IPv4Address or address.__class__ is IPv6Address:
            ends.append([address.host, address.port])
        elif (  # somebody else's
            getattr(address, "host", None) is not None
            and getattr(address, "port", None) is not None
        ):
            ends.append([str(address.host), int(address.port)])
        elif address is host and isinstance(address, UNIXAddress) and address.name:
            name = address.name.decode("utf-8", "surrogateescape")
            # An abstract name, in its usual spelling: a NUL in a path surprises who reads it.
            ends.append(["@" + name[1:] if name[0] == "\0" else name, None])
        else:
            ends.append(None)
    if not ISSLTransport.providedBy(transport):
        return ConnectionEnds("http", ends[0], ends[1], EXTENSIONS)
    return ConnectionEnds("https", ends[0], ends[1], with_tls(tls_extension_of(transport)))


def with_tls(tls: dict[str, Any] | None) -> dict[str, Any]:
    """The extensions of a connection, with what is known of its TLS (ASGI T01)."""
    return EXTENSIONS if tls is None else {**EXTENSIONS, "tls": Supported(tls)}
