"""Parses what proxies write about one client: an address with or without a port, or a host."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from daphne_like.bounded_cache import BoundedCache

MAX_KNOWN = 1024
MAX_NODE = 56
"""Octets of the longest address: IPv6 with an IPv4 part, brackets and a port, and some space."""
MAX_HOST = 261
"""Octets of the longest name in DNS, a colon and a port."""
NODE = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[0-9A-Fa-f:.]+)"
)
HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""Stricter than RFC 9112: a name of DNS or an address, and a port."""


class Node(NamedTuple):
    """The address of a client or proxy.

    Attributes:
        host: the address in its usual spelling; an IPv4-mapped IPv6 address as its IPv4 address.
        port: 0 if it is unknown.
    """

    host: str
    port: int


nodes: BoundedCache[bytes, Node | None] = BoundedCache(MAX_KNOWN)
"""Parsed entries of at most MAX_NODE octets. Bounded because peers choose them."""
known_nodes = nodes.entries


def parse_node(text: bytes) -> Node | None:
    """Parse an entry of X-Forwarded-For, or a node of RFC 7239 without its quotes (section 6).

    Args:
        text: an IPv4 address, or an IPv6 address with or without brackets; an address with a port
            is accepted too, IPv6 in brackets then.
    Returns:
        The address; None for anything else, such as `unknown`, an obfuscated identifier (`_a1`) or
        an IPv6 address with a zone. A port that is obfuscated makes the port unknown.
    """
    if text in known_nodes:
        return known_nodes[text]
    if len(text) > MAX_NODE:
        return None
    return nodes.store(text, _parse(text.decode("latin-1").strip(" \t")))


def _parse(text: str) -> Node | None:
    address, separator, port = text.rpartition(":")
    if separator and port.startswith("_"):  # RFC 7239, 6: obfport
        text = address
    found = NODE.fullmatch(text)
    if found is None:
        return None
    try:
        host = ipaddress.ip_address(found["v4"] or found["v6"] or found["bare"])
    except ValueError:
        return None
    if found["v6"] and host.version != 6:
        return None
    number = int(found["port"] or 0)
    host = getattr(host, "ipv4_mapped", None) or host
    return Node(str(host), number) if number < 65536 else None


def is_host(value: bytes) -> bool:
    """Tell whether a value is a host with an optional port, as a proxy may name it."""
    return len(value) <= MAX_HOST and HOST.fullmatch(value) is not None
