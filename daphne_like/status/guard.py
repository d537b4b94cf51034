"""Decides who may read the status page, and who may act.

Without a token it is for this machine alone: the endpoint is a UNIX socket or a loopback address,
and the Host field names this machine, so that no page of a foreign site reaches it by a name that
it has bound to 127.0.0.1 (DNS rebinding). With a token each request needs it. An action needs a
field of its own as well, which another site's form cannot send and its script may not.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from daphne_like.exceptions import ConfigurationError

MIN_TOKEN = 16
"""Characters of the shortest token; 43 random ones have 256 bits."""
ACTION_FIELD = b"x-daphne-like-action"
"""Field that each action needs; its value is the name of the action."""

Headers = Iterable[tuple[bytes, bytes]]


class Refusal(NamedTuple):
    """A response to somebody who may not do something."""

    status: int
    sentence: str
    fields: tuple[tuple[bytes, bytes], ...] = ()


def read_token(
    source: str, environment: Mapping[str, str] = os.environ, what: str = "--status-token"
) -> str:
    """Return the token that an option names.

    Args:
        source: env:NAME or file:PATH; of a file the first line.
        environment: the environment.
        what: the option.
    Raises:
        ConfigurationError: there is no token, or it is too short to be one.
    """
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        token = environment.get(name, "")
    elif kind == "file" and name:
        try:
            token = Path(name).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{what}: cannot read {name}: {error}") from None
    else:
        raise ConfigurationError(f"{what}: expected env:NAME or file:PATH")
    if len(token) < MIN_TOKEN:
        raise ConfigurationError(
            f"{what}: {source} has no token of at least {MIN_TOKEN} characters; make one "
            "with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


def require_privacy(addresses: Iterable[tuple[str, int | None]], token: str | None) -> None:
    """Refuse an endpoint that others can reach, unless there is a token.

    Args:
        addresses: (host, port) or (path, None) of each port.
        token: the token, if there is one.
    Raises:
        ConfigurationError: others can reach it.
    """
    for host, port in addresses:
        if port is not None and token is None and not is_this_machine(host):
            raise ConfigurationError(
                f"--status: other machines can reach {host}:{port}: give a --status-token, or "
                "listen on 127.0.0.1 or a UNIX socket"
            )


def is_this_machine(name: str) -> bool:
    """Tell whether a host is a loopback address, or the name of one."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks requests.

    Args:
        token: None if none is needed.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def refuse(self, scope: Mapping[str, Any]) -> Refusal | None:
        """Return the response to somebody who may not read; None if they may."""
        if self._token is not None:
            if hmac.compare_digest(presented(scope["headers"]), self._token):
                return None
            fields = ((b"www-authenticate", b'Basic realm="status", charset="UTF-8"'),)
            return Refusal(401, "This page needs the token of --status-token.", fields)
        if scope.get("client") is None:  # a UNIX socket, which no name leads to
            return None
        hosts = values(scope["headers"], b"host")
        if len(hosts) != 1 or not is_this_machine(without_port(hosts[0])):
            return Refusal(403, "Ask for this page by the name localhost, or its address.")
        return None

    @staticmethod
    def refuse_action(scope: Mapping[str, Any], action: str) -> Refusal | None:
        """Return the response to a request that another site may have caused; None for others."""
        headers = scope["headers"]
        if values(headers, ACTION_FIELD) != [action]:
            return Refusal(403, f"The field {ACTION_FIELD.decode()}: {action} is missing.")
        hosts = values(headers, b"host")
        own = {f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts}
        if any(origin not in own for origin in values(headers, b"origin")):
            return Refusal(403, "The request comes from another site.")
        if any(site not in ("same-origin", "none") for site in values(headers, b"sec-fetch-site")):
            return Refusal(403, "The request comes from another site.")
        return None


def presented(headers: Headers) -> bytes:
    """Return the token of a request; empty without one. It is never taken from the target."""
    fields = values(headers, b"authorization")
    if len(fields) != 1:
        return b""
    scheme, _, text = fields[0].partition(" ")
    if scheme.lower() == "bearer":
        return text.strip().encode("latin-1")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(text.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def values(headers: Headers, name: bytes) -> list[str]:
    """Return the values of all fields of a name."""
    return [value.decode("latin-1") for found, value in headers if found == name]


def without_port(host: str) -> str:
    """Return the host of a Host field."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
