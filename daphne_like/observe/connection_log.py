"""Log lines about one connection: each begins with the connection's number and names the peer.

For example ``[12 192.0.2.7:50412] % timed out waiting for REQUEST_HEAD``, or ``[12/5 ...]`` on
stream 5 of HTTP/2. A connection gets its number with its first line, so that a connection without
lines costs nothing. Octets of a connection are the business of wire.py.
"""

from __future__ import annotations

import itertools
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from daphne_like.wording import escaped

MAX_LAYERS = 8
"""Transports above each other: TLS, a PROXY header, an application's wrappers."""

_next_number = itertools.count(1).__next__
_numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class Labelled(Protocol):
    """A connection, a stream or a request, which knows how its log lines begin."""

    def log_label(self) -> str:
        """Return `[number peer]`."""


def label(transport: Any, client: Any = None, stream: int | None = None) -> str:
    """Return how the lines of a connection begin.

    Args:
        transport: of the connection, at any layer: all layers of a connection have one number.
        client: (host, port) of the peer where it is known; the transport is asked by default.
        stream: number of a stream of HTTP/2.
    """
    number: int | str = get_connection_number(transport)
    if stream is not None:
        number = f"{number}/{stream}"
    if client:
        return f"[{number} {client[0]}:{client[1]}]"
    return f"[{number} {peer_name(transport.getPeer() if transport is not None else None)}]"


def label_address(address: Any) -> str:
    """Return how a line about a connection begins that is closed before it has a transport."""
    return f"[{_next_number()} {peer_name(address)}]"


def get_connection_number(transport: Any) -> int:
    """Return the number of a connection in this process, from its first line on."""
    for _ in range(MAX_LAYERS):
        below = getattr(transport, "transport", None)
        if below is None:
            break
        transport = below
    try:
        number = _numbers.get(transport)
        if number is None:
            number = _numbers[transport] = _next_number()
    except TypeError:  # somebody else's, which cannot be referred to weakly
        return _next_number()
    return number


def peer_name(address: Any) -> str:
    """Return host and port of an address; `unix` for one without them."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return "unix" if host is None or port is None else f"{host}:{port}"


class ConnectionLog:
    """The lines of a module about connections.

    Each method has the mark of its lines. Arguments are formatted only for a line that is written,
    and control characters in it are escaped (S06).

    Args:
        name: of the logger.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def received(self, connection: Labelled, message: str, *values: object) -> None:
        """`<`: the peer has sent something."""
        self._debug(connection, "<", message, values)

    def sent(self, connection: Labelled, message: str, *values: object) -> None:
        """`>`: the peer was sent something."""
        self._debug(connection, ">", message, values)

    def state(self, connection: Labelled, message: str, *values: object) -> None:
        """`=`: the connection is in another state."""
        self._debug(connection, "=", message, values)

    def timer(self, connection: Labelled, message: str, *values: object) -> None:
        """`%`: a deadline has passed."""
        self._debug(connection, "%", message, values)

    def closed(self, connection: Labelled, message: str, *values: object) -> None:
        """`x`: the connection has ended."""
        self._debug(connection, "x", message, values)

    def error(
        self, connection: Labelled, message: str, *values: object, level: int = logging.DEBUG
    ) -> None:
        """`!`: something is wrong. The mistakes of a peer are DEBUG (see exceptions.py)."""
        if self._logger.isEnabledFor(level):
            self._write(level, connection, "!", message, values)

    def _debug(
        self, connection: Labelled, mark: str, message: str, values: tuple[object, ...]
    ) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, connection, mark, message, values)

    def _write(
        self,
        level: int,
        connection: Labelled,
        mark: str,
        message: str,
        values: tuple[object, ...],
    ) -> None:
        text = escaped(message % values if values else message).replace("\n", "\\n")
        self._logger.log(level, "%s %s %s", connection.log_label(), mark, text)
