"""The `fd:` endpoint: a listening socket that another program opened and passed on."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

DOMAINS = {
    name.removeprefix("AF_"): getattr(socket, name)
    for name in ("AF_INET", "AF_INET6", "AF_UNIX")
    if hasattr(socket, name)
}


class NotPassedOn(ValueError):
    """The program that started this process has not passed on a socket that a string names."""


@implementer(IPlugin, IStreamServerEndpointStringParser)
class FileDescriptorParser:
    """`fd:fileno=N[:domain=INET|INET6|UNIX]`, for any reactor that has adoptStreamPort."""

    prefix = "fd"

    def parseStreamServer(  # type: ignore[override] # mypy-zope counts `reactor` for `self`
        self, reactor: Any, *args: str, **kwargs: str
    ) -> AdoptedStreamServerEndpoint:
        return descriptor_endpoint(reactor, *args, **kwargs)


def descriptor_endpoint(
    reactor: Any, fileno: str, domain: str | None = None
) -> AdoptedStreamServerEndpoint:
    """Return the endpoint for a descriptor, which is inspected but not changed.

    Args:
        reactor: reactor that will listen.
        fileno: the descriptor, in decimal.
        domain: a name in DOMAINS; by default the socket's own.
    Raises:
        ValueError: the descriptor is not a listening stream socket of that domain.
    """
    if not fileno.isdecimal():
        raise ValueError(f"fd: expected a descriptor's number, got {fileno!r}")
    number = int(fileno)
    family = listening_family(number)
    if domain is not None and DOMAINS.get(domain) != family:
        names = {value: name for name, value in DOMAINS.items()}
        raise ValueError(f"fd: descriptor {number} is {names[family]}, not {domain!r}")
    return AdoptedStreamServerEndpoint(reactor, number, family)


def listening_family(descriptor: int) -> int:
    """Return the address family of a listening stream socket.

    Raises:
        NotPassedOn: the descriptor is not a listening stream socket; the text is one sentence.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise NotPassedOn(f"fd: descriptor {descriptor} is not a socket")
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise NotPassedOn(f"fd: descriptor {descriptor} is not usable: {error.strerror}")
    with sock:
        if sock.family not in DOMAINS.values() or sock.type != socket.SOCK_STREAM:
            raise NotPassedOn(f"fd: descriptor {descriptor} is not a stream socket")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise NotPassedOn(f"fd: descriptor {descriptor} is not a listening socket")
        return sock.family
