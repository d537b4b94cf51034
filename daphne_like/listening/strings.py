"""Builds endpoint strings from options, and inspects endpoint strings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from twisted.internet.endpoints import quoteStringArgument

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.unix_sockets import is_abstract
from daphne_like.options import DEFAULT_HOST, DEFAULT_PORT, Options

PASSWORD = re.compile(r"(:keyPassword=pass\\:)(?:\\.|[^:\\])*")


def build_endpoint_description_strings(
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | None = None,
    file_descriptor: int | None = None,
    backlog: int | None = None,
    tls: str | None = None,
) -> list[str]:
    """Return the endpoint strings for the given options (Daphne's function, by Daphne's name).

    Args:
        host: requires `port`; brackets around an IPv6 address are removed.
        port: requires `host`.
        unix_socket: path of a UNIX socket.
        file_descriptor: descriptor of a listening socket.
        backlog: used for the kinds that accept one.
        tls: quoted arguments of `https:`; if given, all returned endpoints use TLS.
    Raises:
        ValueError: only one of host and port is given.
    """
    strings = []
    waiting = f":backlog={backlog}" if backlog else ""
    if host is not None and port is not None:
        interface = quoteStringArgument(host.strip("[]"))
        strings.append(f"tcp:port={port}:interface={interface}{waiting}")
    elif host is not None or port is not None:
        raise ValueError("TCP binding requires both port and host")
    if unix_socket is not None:
        strings.append(f"unix:{quoteStringArgument(unix_socket)}{waiting}")
    if file_descriptor is not None:
        strings.append(f"fd:fileno={file_descriptor}")
    if tls is not None:
        return [f"https:{string}:{tls}" for string in strings]
    return strings


def tls_arguments(options: Options) -> str | None:
    """Return the TLS options as arguments of `https:`; None without a certificate."""
    if not options.tls_certificate:
        return None
    arguments = {
        "certificate": ",".join(options.tls_certificate),
        "key": ",".join(options.tls_key),
        "keyPassword": options.tls_key_password,
        "minimumVersion": options.tls_minimum_version,
        "ciphers": options.tls_ciphers,
        "clientCA": options.tls_client_ca,
        "clientVerify": options.tls_client_verify,
        "handshakeTimeout": str(options.tls_handshake_timeout),
    }
    return ":".join(
        f"{name}={quoteStringArgument(value)}" for name, value in arguments.items() if value
    )


def endpoint_strings(options: Options, beside: Iterable[str] = ()) -> list[str]:
    """Return all endpoint strings of a set of options; Daphne's defaults fill in host and port.

    Args:
        options: options, some of which select addresses to listen on.
        beside: endpoint strings given elsewhere; used in checks only.
    Raises:
        ConfigurationError: a TLS certificate or a UNIX socket option applies to no endpoint.
    """
    host, port = options.host, options.port
    anything = options.unix_socket, options.file_descriptor, options.endpoints or None
    if host is None and port is None and anything == (None, None, None):
        host = DEFAULT_HOST
    if host is not None and port is None:
        port = DEFAULT_PORT
    elif port is not None and host is None:
        host = DEFAULT_HOST
    tls = tls_arguments(options)
    if tls is not None and host is None and anything[:2] == (None, None):
        raise ConfigurationError(
            "--tls-certificate is for -b, -p, -u and --fd; an endpoint string names its own "
            "(https:tcp:443:certificate=crt.pem:key=key.pem)"
        )
    built = build_endpoint_description_strings(
        host,
        port,
        options.unix_socket,
        options.file_descriptor,
        options.backlog,
        tls,
    )
    strings = sorted([*options.endpoints, *built])
    _check_unix_options(options, strings)
    check_trusted_proxies(options, [*beside, *strings])
    return strings


def check_trusted_proxies(options: Options, strings: Iterable[str]) -> None:
    """Refuse --trusted-proxies where it would have no effect.

    Raises:
        ConfigurationError: neither --proxy-headers nor a haproxy: endpoint is given.
    """
    default = Options.__dataclass_fields__["trusted_proxies"].default
    if options.trusted_proxies == default or options.reads_forwarded_fields:
        return
    if not any(behind_proxies(string) != string for string in map(without_tls, strings)):
        raise ConfigurationError(
            "--trusted-proxies needs --proxy-headers, or a haproxy: endpoint whose proxies it names"
        )


def without_tls(string: str) -> str:
    """Return an endpoint string without its `https:` prefix."""
    kind, rest = split_kind(string)
    return without_tls(rest) if kind == "https" else string


def _check_unix_options(options: Options, strings: list[str]) -> None:
    if (options.unix_mode, options.unix_owner, options.unix_group) == (None, None, None):
        return
    names = "--unix-mode, --unix-owner and --unix-group are for -u and unix: strings"
    unix = [
        rest for kind, rest in map(split_kind, map(behind_everything, strings)) if kind == "unix"
    ]
    if not unix:
        raise ConfigurationError(f"{names}; there is none")
    abstract = next(filter(is_abstract, unix), None)
    if abstract is not None:
        raise ConfigurationError(
            f"{names} that name a file: everybody on this machine may connect to {abstract}"
        )


def split_kind(string: str) -> tuple[str, str]:
    """Return the kind of an endpoint string, in lower case as Twisted compares it, and the rest."""
    kind, _, rest = string.partition(":")
    return kind.lower(), rest


def behind_proxies(string: str) -> str:
    """Return an endpoint string without its `haproxy:` prefix."""
    kind, rest = split_kind(string)
    return behind_proxies(rest) if kind == "haproxy" else string


def without_password(string: str) -> str:
    """Return an endpoint string with its password hidden, for messages."""
    return PASSWORD.sub(r"\1***", string)


def behind_everything(string: str) -> str:
    """Return an endpoint string without its `haproxy:` and `https:` prefixes, in any order."""
    kind, rest = split_kind(string)
    return behind_everything(rest) if kind in ("haproxy", "https") else string


def speaks_tls(endpoint: str) -> bool:
    """Tell whether an endpoint string is for TLS: `https:`, or Twisted's `ssl:` or `tls:`."""
    return split_kind(behind_proxies(endpoint))[0] in ("https", "ssl", "tls")
