"""Explains why an endpoint cannot be used, in terms of the options that the user gave."""

from __future__ import annotations

import errno
import re

from twisted.internet.endpoints import quoteStringArgument

from daphne_like.listening.strings import (
    split_kind,
    without_password,
    without_tls,
)
from daphne_like.options import Options

TLS_OPTIONS = {
    "certificate": "--tls-certificate",
    "key": "--tls-key",
    "keyPassword": "--tls-key-password",
    "ciphers": "--tls-ciphers",
    "clientCA": "--tls-client-ca",
    "clientVerify": "--tls-client-verify",
}
"""Arguments of `https:` strings -> the options that set them."""
INT_MISREAD = re.compile(r"invalid literal for int\(\) with base \d+: (.*)")


def unusable(string: str, options: Options, reason: str) -> str:
    """Return a sentence about an unparsable endpoint string, in terms of the user's options."""
    reason = INT_MISREAD.sub(r"expected a number, got \1", reason)
    where = given_as(string, options)
    if where is None:
        return f"The endpoint {without_password(string)!r} is not usable: {reason}"
    argument, separator, rest = reason.partition(": ")
    if separator and argument in TLS_OPTIONS:
        return f"{TLS_OPTIONS[argument]}: {rest}"
    return f"{where} is not usable: {reason}"


def given_as(string: str, options: Options) -> str | None:
    """Return how the user specified an endpoint that was built from -b, -p, -u or --fd.

    Returns:
        None if the user gave the endpoint string itself.
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
"""The form that build_endpoint_description_strings writes; nothing else uses this order."""
PRIVILEGED = 1024


def cannot_listen(string: str, options: Options, error: Exception) -> str:
    """Return a sentence about an endpoint on which the system refuses to listen."""
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
