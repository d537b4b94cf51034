"""Takes the client's address from the header fields of trusted proxies (X-Forwarded-For etc.)."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import unquote

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
ROOT_PATH = b"daphne-root-path"


class TrustedProxies:
    """Sets the client that a trusted proxy names in a scope (defect K6, S30, S31).

    Forwarded fields from untrusted peers have no effect on the scope; the application still sees
    them. `Daphne-Root-Path` is removed from all requests.

    Args:
        trusted: addresses, networks, `unix`, `*`, separated by commas.
        address_field: for example X-Forwarded-For; None to keep the client.
        port_field: for example X-Forwarded-Port.
        proto_field: for example X-Forwarded-Proto.
    Raises:
        ConfigurationError: `trusted` contains an invalid entry.

    Attributes:
        trusted: the argument.
    """

    @classmethod
    def from_options(cls, options: Options) -> TrustedProxies | None:
        """Return an instance configured by the options; None if they name no field."""
        names = options.forwarded_fields
        return cls(options.trusted_proxies, *names) if any(names) else None

    def __init__(
        self,
        trusted: str,
        address_field: str | None = None,
        port_field: str | None = None,
        proto_field: str | None = None,
    ) -> None:
        self.trusted = trusted
        self._address, self._port, self._proto = (
            name.lower().encode("latin-1") if name else None
            for name in (address_field, port_field, proto_field)
        )
        self._everybody = False
        self._unix = False
        self._networks: list[Network] = []
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
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        spellings = {address, getattr(address, "ipv4_mapped", None) or address}
        return any(one in network for one in spellings for network in self._networks)

    def apply(self, scope: dict[str, Any]) -> None:
        """Update client, scheme and root_path of a scope whose peer is trusted."""
        fields: list[tuple[bytes, bytes]] = scope["headers"]
        client = scope["client"]
        trusted = self.trusts(client[0] if client else None)
        if any(name == ROOT_PATH for name, _ in fields):
            if trusted:
                value = next(value for name, value in fields if name == ROOT_PATH)
                scope["root_path"] = unquote(value.decode("ascii", "replace"))
            scope["headers"] = [field for field in fields if field[0] != ROOT_PATH]
        if not trusted:
            return
        found = self._client([value for name, value in fields if name == self._address])
        if found is not None:
            port = self._number([value for name, value in fields if name == self._port])
            scope["client"] = [found, port]
        proto = [value for name, value in fields if name == self._proto]
        if proto:
            scheme = SCHEMES.get(proto[-1].rpartition(b",")[2].strip().lower())
            if scheme is not None:
                scope["scheme"] = scheme

    def _client(self, values: list[bytes]) -> str | None:
        """Return the rightmost untrusted address, or the leftmost one if all are trusted."""
        found = None
        for entry in reversed(b",".join(values).split(b",")):
            try:
                address = str(ipaddress.ip_address(entry.decode("ascii").strip().strip("[]")))
            except ValueError:
                return found  # not an address (RFC 7239 `unknown`, forged): ignore all before it
            found = address
            if not self.trusts(address):
                return found
        return found

    @staticmethod
    def _number(values: list[bytes]) -> int:
        digits = values[-1].strip() if values else b""
        return int(digits) if digits.isdigit() and len(digits) < 6 else 0
