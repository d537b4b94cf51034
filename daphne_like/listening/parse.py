"""Parses endpoint strings into endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.errors import unusable
from daphne_like.listening.fd import NotPassedOn
from daphne_like.listening.reactor_proxy import DefaultBacklog
from daphne_like.listening.strings import split_kind
from daphne_like.listening.unix_sockets import UnixSocketReactor, ownership
from daphne_like.options import Options
from daphne_like.runtime.trusted_proxies import TrustedProxies

TWISTED_KINDS = {"tcp", "tcp6", "ssl", "tls", "unix"}
"""Kinds that Twisted's own parsers handle and that accept `backlog=`."""
MAX_PORT = 65535
NAMES_BACKLOG = re.compile(r"\bbacklog\\*=")
"""An argument `backlog=`, also inside a nested endpoint string, where it is escaped."""


def endpoints_from(
    strings: Iterable[str], reactor: object, options: Options | None = None
) -> list[object]:
    """Parse endpoint strings; nothing listens yet.

    Args:
        strings: Twisted endpoint strings; `haproxy:`, `unix:` and `tls:` have additional meaning.
        reactor: reactor that will listen.
        options: provides the trusted proxies, the backlog of strings without one, and the mode
            and owner of UNIX socket files.
    Raises:
        ConfigurationError: Twisted cannot parse a string, a string names a missing file, or a
            user or group does not exist.
    """
    options = options or Options()
    endpoints = []
    for string in strings:
        try:
            endpoints.append(_endpoint(string, reactor, options))
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 # parsers are plug-ins and may raise anything
            raise ConfigurationError(unusable(string, options, str(error)))
    return endpoints


def _endpoint(string: str, reactor: object, options: Options) -> Any:
    from twisted.internet.endpoints import serverFromString

    kind, rest = split_kind(string)
    if kind == "haproxy":
        # Twisted's wrapper is not used: it trusts every peer, closes a connection whose header
        # arrives in pieces, and looks for the header inside TLS, where no proxy sends it.
        from daphne_like.listening.proxy_protocol import ProxiedEndpoint, ProxyProtocolReactor

        proxies = TrustedProxies(options.trusted_proxies)
        inner = ProxyProtocolReactor(reactor, proxies, options.header_timeout, string)
        return ProxiedEndpoint(_endpoint(rest, inner, options), inner)
    if kind == "https":
        # Twisted (24.7 to 26.10) has no public function that splits an endpoint string.
        from twisted.internet.endpoints import _parse

        from daphne_like.listening.https import https_endpoint

        arguments, named = _parse(rest)
        below = partial(_endpoint, reactor=reactor, options=options)
        try:
            return https_endpoint(below, reactor, arguments, named)
        except ConfigurationError as error:
            raise ValueError(str(error))  # the caller adds the endpoint's name
    if kind in TWISTED_KINDS:
        return _twisted_endpoint(kind, rest, reactor, options)
    if not NAMES_BACKLOG.search(rest):
        reactor = DefaultBacklog(reactor, options.backlog)
    try:
        return serverFromString(reactor, string)
    except (IndexError, KeyError) as error:
        if kind != "systemd":
            raise
        raise NotPassedOn(
            "systemd has passed on no such socket (LISTEN_FDS, LISTEN_FDNAMES)"
        ) from error


def _twisted_endpoint(kind: str, rest: str, reactor: Any, options: Options) -> Any:
    """Return an endpoint of a kind that Twisted's own parser handles."""
    from twisted.internet.endpoints import _parse

    from daphne_like.listening.tls_directory import DirectoryEndpoint

    defaults = [f"backlog={options.backlog}"]
    if kind == "unix":
        reactor = UnixSocketReactor(reactor, ownership(options.unix_owner, options.unix_group))
        if options.unix_mode is not None:
            defaults.insert(0, f"mode={options.unix_mode:o}")
    parse = partial(_parse_with_defaults, reactor, kind, defaults, rest)
    if kind != "tls":
        return parse()
    arguments, named = _parse(rest)
    path = named.get("path", *arguments[:1])
    if path is None:
        raise ValueError(
            "tls: names no directory of certificates, for example tls:certificates:443"
        )
    try:
        return DirectoryEndpoint(parse, path, reactor.seconds)
    except ConfigurationError as error:
        raise ValueError(str(error))  # the caller adds the endpoint's name


def _parse_with_defaults(reactor: Any, kind: str, defaults: list[str], rest: str) -> Any:
    """Parse an endpoint string with defaults that differ from Twisted's.

    Args:
        reactor: reactor that will listen.
        kind: the part before the first colon.
        defaults: `name=value`, in the order of the parser's positional arguments.
        rest: the part after the first colon; its own arguments override the defaults.
    Raises:
        Exception: the string is wrong; any exception of Twisted's parser.
    """
    from twisted.internet.endpoints import serverFromString

    if not defaults:
        return _with_valid_port(serverFromString(reactor, f"{kind}:{rest}"))
    try:
        # The defaults come first, because the last of two arguments with one name wins.
        return _with_valid_port(serverFromString(reactor, ":".join([kind, *defaults, rest])))
    except TypeError:
        # The string gives the first default as a positional argument, or is wrong. If it is wrong,
        # the last attempt, without defaults, raises the error.
        return _parse_with_defaults(reactor, kind, defaults[1:], rest)


def _with_valid_port(endpoint: Any) -> Any:
    """Return an endpoint of Twisted, which looks at the number of its port only when it listens."""
    port = getattr(endpoint, "_port", 0)  # of TCP and TLS; private (twisted 24.7 to 26.10)
    if isinstance(port, int) and not 0 <= port <= MAX_PORT:
        raise ValueError(f"expected a port from 0 to {MAX_PORT}, got {port}")
    return endpoint
