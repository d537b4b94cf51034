"""From options to Twisted endpoint strings."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.internet.endpoints import quoteStringArgument

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.reactor_proxy import DefaultBacklog
from daphne_like.listening.unix_sockets import UnixSocketReactor, is_abstract, ownership
from daphne_like.options import DEFAULT_HOST, DEFAULT_PORT, Options
from daphne_like.runtime.trusted_proxies import TrustedProxies

TWISTED_KINDS = {"tcp", "tcp6", "ssl", "tls", "unix"}
"""Kinds whose parsers are Twisted's own and take `backlog=`."""
NAMES_BACKLOG = re.compile(r"\bbacklog\\*=")
"""An argument `backlog=`, also in an endpoint string that is an argument and therefore escaped."""
PASSWORD = re.compile(r"(:keyPassword=pass\\:)(?:\\.|[^:\\])*")


def build_endpoint_description_strings(
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | None = None,
    file_descriptor: int | None = None,
    backlog: int | None = None,
    tls: str | None = None,
) -> list[str]:
    """The endpoint strings for what is given, Daphne's function under Daphne's name.

    Args:
        host: with `port`; brackets around an IPv6 address are taken off.
        port: with `host`.
        unix_socket: a path.
        file_descriptor: of a listening socket.
        backlog: for the kinds that take one.
        tls: arguments of `https:`, quoted; then all that is given is for TLS.
    Raises:
        ValueError: one of host and port without the other.
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
    """The options for TLS as arguments of `https:`; None without a certificate."""
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
    """All endpoint strings of a set of options; Daphne's defaults where little is given.

    Args:
        options: that say where to listen.
        beside: endpoint strings that are given elsewhere, for what is checked.
    Raises:
        ConfigurationError: a TLS certificate, or how a socket's file is to be, and nothing that
            it could be for.
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
    """Refuse --trusted-proxies where nothing asks which proxies are trusted.

    Raises:
        ConfigurationError: neither --proxy-headers nor a haproxy: endpoint.
    """
    default = Options.__dataclass_fields__["trusted_proxies"].default
    if options.trusted_proxies == default or any(options.forwarded_fields):
        return
    if not any(behind_proxies(string) != string for string in map(without_tls, strings)):
        raise ConfigurationError(
            "--trusted-proxies needs --proxy-headers, or a haproxy: endpoint whose proxies it names"
        )


def without_tls(string: str) -> str:
    """An endpoint string without `https:` in front."""
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
    """The kind of an endpoint string, in lower case as Twisted compares it, and what follows."""
    kind, _, rest = string.partition(":")
    return kind.lower(), rest


def behind_proxies(string: str) -> str:
    """An endpoint string without `haproxy:` in front."""
    kind, rest = split_kind(string)
    return behind_proxies(rest) if kind == "haproxy" else string


def without_password(string: str) -> str:
    """An endpoint string as it may be shown."""
    return PASSWORD.sub(r"\1***", string)


def behind_everything(string: str) -> str:
    """An endpoint string without `haproxy:` and `https:` in front, in whatever order."""
    kind, rest = split_kind(string)
    return behind_everything(rest) if kind in ("haproxy", "https") else string


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


TLS_OPTIONS = {
    "certificate": "--tls-certificate",
    "key": "--tls-key",
    "keyPassword": "--tls-key-password",
    "ciphers": "--tls-ciphers",
    "clientCA": "--tls-client-ca",
    "clientVerify": "--tls-client-verify",
}
"""Arguments of `https:` strings -> the options that they are made of."""
INT_MISREAD = re.compile(r"invalid literal for int\(\) with base \d+: (.*)")


def unusable(string: str, options: Options, reason: str) -> str:
    """A sentence about an endpoint string that cannot be parsed, in the words of who gave it."""
    reason = INT_MISREAD.sub(r"expected a number, got \1", reason)
    where = given_as(string, options)
    if where is None:
        return f"The endpoint {without_password(string)!r} is not usable: {reason}"
    argument, separator, rest = reason.partition(": ")
    if separator and argument in TLS_OPTIONS:
        return f"{TLS_OPTIONS[argument]}: {rest}"
    return f"{where} is not usable: {reason}"


def given_as(string: str, options: Options) -> str | None:
    """What a person calls an endpoint string that was made of -b, -p, -u or --fd.

    Returns:
        None for a string that was given as one.
    """
    if string in options.endpoints:
        return None
    kind, rest = split_kind(without_tls(string))
    if kind == "unix" and options.unix_socket is not None:
        path = quoteStringArgument(options.unix_socket)
        return f"-u {options.unix_socket}" if rest.startswith(path) else None
    if kind == "fd" and options.file_descriptor is not None:
        return f"--fd {options.file_descriptor}"
    found = BUILT_TCP.match(rest) if kind == "tcp" else None
    if found is None:
        return None
    host = found[2].replace("\\", "")
    return f"[{host}]:{found[1]}" if ":" in host else f"{host}:{found[1]}"


BUILT_TCP = re.compile(r"port=(\d+):interface=((?:\\.|[^:\\])*)")
"""As build_endpoint_description_strings has it; nobody else writes it in this order."""
PRIVILEGED = 1024


def cannot_listen(string: str, options: Options, error: Exception) -> str:
    """A sentence about an endpoint on which the system does not let us listen."""
    cause = getattr(error, "socketError", error)
    where = given_as(string, options) or without_password(string)
    reason = getattr(cause, "strerror", None) or str(cause)
    code = getattr(cause, "errno", None)
    hint = ""
    port = re.search(r"(?:^|[:=])(\d+)(?=:|$)", without_tls(string))
    if code == errno.EACCES and port is not None and int(port[1]) < PRIVILEGED:
        hint = (
            f"; ports below {PRIVILEGED} are for root: choose another one with -p, let systemd or "
            "twistd --uid open it, or grant CAP_NET_BIND_SERVICE"
        )
    elif code == errno.EADDRNOTAVAIL:
        hint = "; no interface of this machine has this address"
    return f"Cannot listen on {where}: {reason}{hint}"


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
