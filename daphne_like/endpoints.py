"""From options to Twisted endpoint strings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twisted.internet.endpoints import quoteStringArgument

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import DEFAULT_HOST, DEFAULT_PORT, Options


def build_endpoint_description_strings(
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | None = None,
    file_descriptor: int | None = None,
    backlog: int | None = None,
    tls_certificate: str | None = None,
    tls_key: str | None = None,
) -> list[str]:
    """The endpoint strings for what is given, Daphne's function under Daphne's name.

    Args:
        host: with `port`; brackets around an IPv6 address are taken off.
        port: with `host`.
        unix_socket: a path.
        file_descriptor: of a listening socket.
        backlog: for the kinds that take one.
        tls_certificate: PEM file; then host and port are for TLS.
        tls_key: PEM file, the certificate's by default.
    Raises:
        ValueError: one of host and port without the other.
    """
    strings = []
    waiting = f":backlog={backlog}" if backlog else ""
    if host is not None and port is not None:
        interface = quoteStringArgument(host.strip("[]"))
        kind, files = "tcp", ""
        if tls_certificate is not None:
            kind, files = "ssl", _tls_arguments(tls_certificate, tls_key or tls_certificate)
        strings.append(f"{kind}:port={port}:interface={interface}{waiting}{files}")
    elif host is not None or port is not None:
        raise ValueError("TCP binding requires both port and host")
    if unix_socket is not None:
        strings.append(f"unix:{quoteStringArgument(unix_socket)}{waiting}")
    if file_descriptor is not None:
        strings.append(f"fd:fileno={file_descriptor}")
    return strings


def _tls_arguments(certificate: str, key: str) -> str:
    """The end of an `ssl:` string; what stands behind the first certificate is its chain.

    A file that cannot be read is left to Twisted's parser, which says so.
    """
    arguments = f":certKey={quoteStringArgument(certificate)}:privateKey={quoteStringArgument(key)}"
    try:
        found = Path(certificate).read_bytes().count(b"-----BEGIN CERTIFICATE-----")
    except OSError:
        found = 0
    if found > 1:
        # Twisted sends the first one twice then, which clients ignore.
        arguments += f":extraCertChain={quoteStringArgument(certificate)}"
    return arguments


def endpoint_strings(options: Options) -> list[str]:
    """All endpoint strings of a set of options; Daphne's defaults where little is given.

    Raises:
        ConfigurationError: a TLS certificate, and nothing that it could be for.
    """
    host, port = options.host, options.port
    anything = options.unix_socket, options.file_descriptor, options.endpoints or None
    if host is None and port is None and anything == (None, None, None):
        host = DEFAULT_HOST
    if host is not None and port is None:
        port = DEFAULT_PORT
    elif port is not None and host is None:
        host = DEFAULT_HOST
    if options.tls_certificate is not None and (host is None or anything[:2] != (None, None)):
        raise ConfigurationError(
            "--tls-certificate is for -b and -p: not for a UNIX socket or a descriptor, and an "
            "endpoint string names its own (ssl:443:privateKey=key.pem:certKey=crt.pem)"
        )
    built = build_endpoint_description_strings(
        host,
        port,
        options.unix_socket,
        options.file_descriptor,
        options.backlog,
        options.tls_certificate,
        options.tls_key,
    )
    return sorted([*options.endpoints, *built])


def endpoints_from(strings: Iterable[str], reactor: object) -> list[object]:
    """Parse endpoint strings; nothing listens yet.

    Raises:
        ConfigurationError: a string that Twisted cannot read, or that names a missing file.
    """
    from twisted.internet.endpoints import serverFromString

    endpoints = []
    for string in strings:
        try:
            endpoints.append(serverFromString(reactor, string))
        except Exception as error:  # noqa: BLE001 # parsers are plug-ins and raise what they like
            raise ConfigurationError(f"The endpoint {string!r} is not usable: {error}")
    return endpoints
