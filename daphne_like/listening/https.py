"""The `https:` endpoint: TLS on top of any other endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import (
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import Interface, implementer

from daphne_like.exceptions import ConfigurationError
from daphne_like.tls.certificates import Certificates, TLSSettings
from daphne_like.tls.factory import SecureFactory

HANDSHAKE_SECONDS = "10"
ARGUMENTS = {
    "certificate": "certificate",
    "key": "key",
    "keyPassword": "key_password",
    "minimumVersion": "minimum_version",
    "ciphers": "ciphers",
    "clientCA": "client_ca",
    "clientVerify": "client_verify",
}
LISTS = {"certificate", "key"}


class IReloadable(Interface):
    """An object that has read files which may change later."""

    def reload() -> None:
        """Read the files again; on failure log an error and keep the present contents."""


@implementer(IStreamServerEndpoint, IReloadable)
class SecureEndpoint:
    """Listens for TLS connections on another endpoint.

    Args:
        endpoint: the endpoint below.
        certificates: certificates for new connections.
        handshake_timeout: seconds.
        reactor: provides the clock.
    """

    def __init__(
        self, endpoint: Any, certificates: Certificates, handshake_timeout: float, reactor: Any
    ) -> None:
        self._endpoint = endpoint
        self._certificates = certificates
        self._handshake_timeout = handshake_timeout
        self._reactor = reactor

    def listen(self, protocolFactory: Any) -> Any:
        factory = SecureFactory(
            self._certificates, protocolFactory, self._handshake_timeout, self._reactor
        )
        return self._endpoint.listen(factory)

    def reload(self) -> None:
        self._certificates.reload()


@implementer(IPlugin, IStreamServerEndpointStringParser)
class SecureParser:
    """`https:ENDPOINT:certificate=FILE[:key=FILE]...`; other arguments go to the endpoint below."""

    prefix = "https"

    def parseStreamServer(  # type: ignore[override] # mypy-zope counts `reactor` for `self`
        self, reactor: Any, *args: str, **kwargs: str
    ) -> SecureEndpoint:
        return https_endpoint(partial(serverFromString, reactor), reactor, args, kwargs)


def https_endpoint(
    parse: Callable[[str], Any], reactor: Any, args: Iterable[str], kwargs: dict[str, str]
) -> SecureEndpoint:
    """Return the endpoint for the parts of an endpoint string; nothing listens yet.

    Args:
        parse: creates the endpoint below from its string.
        reactor: reactor that will listen.
        args: positional arguments of the endpoint below; its kind comes first.
        kwargs: arguments of this endpoint and of the endpoint below.
    Raises:
        ConfigurationError: a certificate or another argument is not usable.
    """
    if not args:
        raise ConfigurationError("https: names no endpoint to listen on, for example https:tcp:443")
    timeout = kwargs.pop("handshakeTimeout", HANDSHAKE_SECONDS)
    if not timeout.isdecimal() or int(timeout) < 1:
        raise ConfigurationError(f"handshakeTimeout: expected seconds, 1 or more, got {timeout!r}")
    values: dict[str, Any] = {}
    for name, field in ARGUMENTS.items():
        if name in kwargs:
            value = kwargs.pop(name)
            values[field] = tuple(value.split(",")) if name in LISTS else value
    values.setdefault("certificate", ())
    certificates = Certificates(TLSSettings(**values))
    parts = [quoteStringArgument(part) for part in args]
    parts += [f"{name}={quoteStringArgument(value)}" for name, value in kwargs.items()]
    return SecureEndpoint(parse(":".join(parts)), certificates, int(timeout), reactor)
