"""From endpoint strings to endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.errors import unusable
from daphne_like.listening.reactor_proxy import DefaultBacklog
from daphne_like.listening.strings import split_kind
from daphne_like.listening.unix_sockets import UnixSocketReactor, ownership
from daphne_like.options import Options
from daphne_like.runtime.trusted_proxies import TrustedProxies

TWISTED_KINDS = {"tcp", "tcp6", "ssl", "tls", "unix"}
"""Kinds whose parsers are Twisted's own and take `backlog=`."""
NAMES_BACKLOG = re.compile(r"\bbacklog\\*=")
"""An argument `backlog=`, also in an endpoint string that is an argument and therefore escaped."""


def endpoints_from(
    strings: Iterable[str], reactor: object, options: Options | None = None
) -> list[object]:
    """Parse endpoint strings; nothing listens yet.

    Args:
        strings: Twisted's; `haproxy:`, `unix:` and `tls:` mean more here.
        reactor: that is to listen.
        options: which proxies are trusted, the backlog of strings that do not say their own, and
            how files of UNIX sockets are to be.
    Raises:
        ConfigurationError: a string that Twisted cannot read, or that names a missing file; a
            user or a group that does not exist.
    """
    options = options or Options()
    endpoints = []
    for string in strings:
        try:
            endpoints.append(_endpoint(string, reactor, options))
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 # parsers are plug-ins and raise what they like
            raise ConfigurationError(unusable(string, options, str(error)))
    return endpoints


def _endpoint(string: str, reactor: object, options: Options) -> Any:
    from twisted.internet.endpoints import serverFromString

    kind, rest = split_kind(string)
    if kind == "haproxy":
        # Not Twisted's: its wrapper believes everybody, closes a connection whose header comes in
        # parts, and looks for the header behind TLS, where no proxy sends it.
        from daphne_like.listening.proxy_protocol import ProxiedEndpoint, ProxyProtocolReactor

        proxies = TrustedProxies(options.trusted_proxies)
        inner = ProxyProtocolReactor(reactor, proxies, options.header_timeout, string)
        return ProxiedEndpoint(_endpoint(rest, inner, options), inner)
    if kind == "https":
        # `_parse` is Twisted's (24.7 to 26.10) way to take a string apart; there is no public one.
        from twisted.internet.endpoints import _parse

        from daphne_like.listening.https import endpoint_for

        arguments, named = _parse(rest)
        below = partial(_endpoint, reactor=reactor, options=options)
        try:
            return endpoint_for(below, reactor, arguments, named)
        except ConfigurationError as error:
            raise ValueError(str(error))  # a sentence that names the endpoint is made of it
    if kind in TWISTED_KINDS:
        return _twisted_endpoint(kind, rest, reactor, options)
    if not NAMES_BACKLOG.search(rest):
        reactor = DefaultBacklog(reactor, options.backlog)
    try:
        return serverFromString(reactor, string)
    except (IndexError, KeyError) as error:
        if kind != "systemd":
            raise
        raise ValueError(
            "systemd has passed on no such socket (LISTEN_FDS, LISTEN_FDNAMES)"
        ) from error


def _twisted_endpoint(kind: str, rest: str, reactor: Any, options: Options) -> Any:
    """An endpoint of a kind whose parser is Twisted's own."""
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
        raise ValueError(str(error))  # a sentence that names the endpoint is made of it


def _parse_with_defaults(reactor: Any, kind: str, defaults: list[str], rest: str) -> Any:
    """Parse an endpoint string with other defaults than Twisted's.

    Args:
        reactor: which is to listen.
        kind: in front of the first colon.
        defaults: `name=value`, in the order in which the parser takes positional arguments.
        rest: of the endpoint string. An argument that it says itself counts.
    Raises:
        Exception: the string is wrong; whatever Twisted's parser raises.
    """
    from twisted.internet.endpoints import serverFromString

    if not defaults:
        return serverFromString(reactor, f"{kind}:{rest}")
    try:
        # The defaults stand in front, because the last one of two arguments of a name counts.
        return serverFromString(reactor, ":".join([kind, *defaults, rest]))
    except TypeError:
        # The string says the first default by its position, or is wrong: then the last try says so.
        return _parse_with_defaults(reactor, kind, defaults[1:], rest)
