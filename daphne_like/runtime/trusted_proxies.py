"""Tells which peers are trusted proxies: --trusted-proxies."""

from __future__ import annotations

import ipaddress

from daphne_like.bounded_cache import BoundedCache
from daphne_like.exceptions import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_KNOWN = 1024
MAX_CACHED_HOST = 64


class TrustedProxies:
    """Addresses and networks of trusted proxies (S30, S31).

    Args:
        trusted: addresses, networks, `unix`, `*`, separated by commas.
    Raises:
        ConfigurationError: `trusted` contains an invalid entry.

    Attributes:
        trusted: the argument.
    """

    def __init__(self, trusted: str) -> None:
        self.trusted = trusted
        self._everybody = False
        self._unix = False
        self._networks: list[Network] = []
        self._trusted: BoundedCache[str, bool] = BoundedCache(MAX_KNOWN)
        for entry in filter(None, (part.strip() for part in trusted.split(","))):
            if entry == "*":
                self._everybody = True
            elif entry == "unix":
                self._unix = True
            else:
                try:
                    self._networks.append(ipaddress.ip_network(entry))
                except ValueError:
                    raise ConfigurationError(
                        f"--trusted-proxies: expected an address, a network, unix or *, "
                        f"got {entry!r}"
                    )

    def trusts(self, host: str | None) -> bool:
        """Tell whether a peer is trusted; `host` is None for a peer on a UNIX socket.

        An IPv4-mapped IPv6 address (::ffff:127.0.0.1) also matches as its IPv4 address.
        """
        if self._everybody:
            return True
        if host is None:
            return self._unix
        known = self._trusted.get(host)
        if known is None:
            known = self._is_listed(host)
            if len(host) <= MAX_CACHED_HOST:
                self._trusted.store(host, known)
        return known

    def _is_listed(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        spellings = {address, getattr(address, "ipv4_mapped", None) or address}
        return any(one in network for one in spellings for network in self._networks)
