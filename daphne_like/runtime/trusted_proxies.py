"""Who the client is, behind trusted proxies (X-Forwarded-For and its relatives)."""

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
    """Puts the client that trusted proxies tell of into a scope (defect K6, S30, S31).

    Fields of peers that are not trusted are left for the application to see and believe or
    not; `Daphne-Root-Path` is taken out of their requests.

    Args:
        trusted: addresses, networks, `unix`, `*`, separated by commas.
        address_field: for example X-Forwarded-For; None to leave the client alone.
        port_field: for example X-Forwarded-Port.
        proto_field: for example X-Forwarded-Proto.
    Raises:
        ConfigurationError: something else in `trusted`.

    Attributes:
        trusted: as it was given.
    """

    @classmethod
    def from_options(cls, options: Options) -> TrustedProxies | None:
        """Return what the options ask for; None if they trust no field."""
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
        """Whether what a peer says counts; None is a peer on a UNIX socket.

        An IPv4 peer of a port for both families (::ffff:127.0.0.1) is the one it is without.
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
        """Change client, scheme and root_path of a scope as its peer is trusted to say."""
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
        """The last address that is none of the trusted proxies' own, read from the right."""
        found = None
        for entry in reversed(b",".join(values).split(b",")):
            try:
                address = str(ipaddress.ip_address(entry.decode("ascii").strip().strip("[]")))
            except ValueError:
                return found  # `unknown`, an obfuscated name, a lie: nothing left of it counts
            found = address
            if not self.trusts(address):
                return found
        return found

    @staticmethod
    def _number(values: list[bytes]) -> int:
        digits = values[-1].strip() if values else b""
        return int(digits) if digits.isdigit() and len(digits) < 6 else 0
