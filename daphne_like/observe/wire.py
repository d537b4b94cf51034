"""The octets of a connection in the log, for somebody who looks for a fault (-v 3).

A connection is wrapped when it begins, if the logger `daphne_like.wire` is at DEBUG by then.
A connection that begins while the logger is off is not wrapped, so it has no cost.
"""

from __future__ import annotations

import logging
from typing import Any

from daphne_like.observe.connection_log import ConnectionLog, label

LOGGER = logging.getLogger("daphne_like.wire")
wire = ConnectionLog(LOGGER.name)

MAX_SHOWN = 256
"""Octets of one read or write that are shown."""


def shows_octets() -> bool:
    """Tell whether connections that begin now are to be shown."""
    return LOGGER.isEnabledFor(logging.DEBUG)


def shown(data: Any) -> str:
    """Return octets for a line: how many, and the first of them, as Python writes them."""
    size = len(data)
    more = "..." if size > MAX_SHOWN else ""
    return f"{size} octets: {bytes(data[:MAX_SHOWN])!r}{more}"


class ShownTransport:
    """A wrapper that logs each write, and otherwise behaves like the wrapped transport.

    It reports the class and the interfaces of the wrapped transport, because connections check
    them, for example to find out whether the transport can half-close.

    Args:
        transport: the transport of the connection.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    @property  # type: ignore[misc] # isinstance asks for it
    def __class__(self) -> Any:
        return self.transport.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def log_label(self) -> str:
        """See Labelled."""
        return label(self.transport)

    def write(self, data: Any) -> None:
        """Log and write."""
        wire.sent(self, "%s", shown(data))
        self.transport.write(data)

    def writeSequence(self, parts: Any) -> None:
        """Log and write."""
        parts = list(parts)
        wire.sent(self, "%s", shown(b"".join(parts)))
        self.transport.writeSequence(parts)

    def send_file(self, *part: Any) -> Any:
        """Log and send."""
        sent = self.transport.send_file(*part)
        wire.sent(self, "%s octets of a file", sent)
        return sent


class ShownProtocol:
    """A protocol whose input has a line for each read; in everything else it is the protocol.

    Args:
        protocol: of the connection.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def log_label(self) -> str:
        """See Labelled."""
        return label(self._transport)

    def makeConnection(self, transport: Any) -> None:
        """Connect the protocol to a transport that shows its writes."""
        self._transport = transport
        wire.state(self, "connected")
        self._protocol.makeConnection(ShownTransport(transport))

    def dataReceived(self, data: bytes) -> None:
        """Log and read."""
        wire.received(self, "%s", shown(data))
        self._protocol.dataReceived(data)
