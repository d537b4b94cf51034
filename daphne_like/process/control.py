"""The control channel between the supervisor and a worker: JSON lines over a socket pair.

Each line is an object with the version of the protocol, "v", and the kind of message, "type". Both
sides check each line like the input of any peer, because after an upgrade a supervisor talks to
workers of another version, and because an application may write to any descriptor of its process.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IPushProducer, ISystemHandle
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.exceptions import DaphneLikeError

VERSION = 1
MAX_LINE = 1048576
"""Maximum octets of a line."""
MAX_TEXT = 32768
"""Maximum characters of a text in a message: two texts fit into a line even if each character is
written as two escapes of six octets."""

Message = dict[str, Any]
Kinds = Mapping[str, Mapping[str, tuple[type, ...]]]

NUMBER = (int, float)
FROM_WORKER: Kinds = {
    "hello": {"pid": (int,), "version": (str,)},
    "bound": {},
    "ready": {"seconds": NUMBER},
    "failed": {"sentence": (str,), "detail": (str,), "status": (int,)},
    "replace": {"reason": (str,)},
    "leaving": {"reason": (str,)},
    "counts": {"series": (dict,)},
    "sample": {"values": (dict,)},
    "listing": {"number": (int,), "rows": (list,), "omitted": (int,)},
}
"""Messages of a worker: the fields of each kind with the types of their values.

hello: the process runs. bound: it has adopted its sockets. ready: it serves. failed: it cannot
serve, because of the sentence. replace: it asks for a successor and serves until then. leaving: it
stops by itself. counts: what it has counted for the metrics (metrics/counts.py), once a second and
after its last request. sample: the same for the status page (status/sample.py). listing: its
connections and instances, as the answer to the `list` with that number.
"""
FROM_SUPERVISOR: Kinds = {
    "configuration": {"options": (dict,), "application": (str,), "command": (str,)},
    "drain": {"kind": (str,), "seconds": NUMBER},
    "force": {},
    "reopen": {},
    "list": {"number": (int,), "query": (dict,)},
    "stacks": {},
}
"""Messages of the supervisor: see FROM_WORKER.

list: the worker is to send a listing (status/rows.py). stacks: it is to log where its instances
wait.
"""


class ControlError(DaphneLikeError):
    """A line is no message of this protocol; the text says why."""


def to_line(kind: str, /, **fields: Any) -> bytes:
    """Return a message as a line, with its line feed; texts are cut after MAX_TEXT characters."""
    message = {"v": VERSION, "type": kind, **fields}
    for name, value in fields.items():
        if isinstance(value, str):
            message[name] = value[:MAX_TEXT]
    return json.dumps(message).encode() + b"\n"


def parse(line: bytes, kinds: Kinds) -> Message | None:
    """Parse and check one line.

    Args:
        line: without its line feed.
        kinds: the expected messages.
    Returns:
        The message. None for a kind that is not known: a later version may have more.
    Raises:
        ControlError: it is not JSON, has another version, or a field is missing or wrong.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"a line that is not JSON: {line[:40]!r}") from error
    if not isinstance(message, dict) or not _is_version(message.get("v")):
        raise ControlError(f"not a message of version {VERSION}: {line[:40]!r}")
    kind = message.get("type")
    fields = kinds.get(kind) if isinstance(kind, str) else None
    if fields is None:
        return None
    for name, types in fields.items():
        value = message.get(name)
        if not isinstance(value, types) or isinstance(value, bool) or not _is_finite(value):
            raise ControlError(f"{kind}: no valid field {name!r}")
        if isinstance(value, str) and len(value) > MAX_TEXT:
            message[name] = value[:MAX_TEXT]
    return message


def _is_version(value: object) -> bool:
    return type(value) is int and value == VERSION  # `True` and 1.0 equal 1


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@implementer(IPushProducer)
class ControlProtocol(LineOnlyReceiver):
    """One end of the channel.

    Args:
        kinds: the messages that the other side may send.
        received: called with each message.
        closed: called once, when the channel is closed, with a sentence if the other side broke
            a rule, otherwise with "".
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE

    def __init__(
        self,
        kinds: Kinds,
        received: Callable[[Message], None],
        closed: Callable[[str], None],
    ) -> None:
        self._kinds = kinds
        self._received = received
        self._closed = closed
        self._error = ""
        self._paused = False

    def send(self, kind: str, /, **fields: Any) -> None:
        """Send a message; it is dropped if the channel is closed."""
        if self.transport is not None and self.connected:
            self.transport.write(to_line(kind, **fields))

    @property
    def has_room(self) -> bool:
        """True unless messages wait because the other side does not read."""
        return not self._paused

    def send_if_room(self, kind: str, /, **fields: Any) -> None:
        """Send a message that a later one replaces, unless the other side does not read."""
        if not self._paused:
            self.send(kind, **fields)

    def read_rest(self) -> None:
        """Read what is in the socket: the other process has ended, and the channel is closed now.

        A process of the application may have the other end as well, so there may be no end of file.
        """
        transport: Any = self.transport
        if not self.connected or not ISystemHandle.providedBy(transport):
            return
        handle: Any = transport.getHandle()
        with socket.socket(fileno=os.dup(handle.fileno())) as channel:
            try:
                while data := channel.recv(MAX_LINE, socket.MSG_DONTWAIT):
                    self.dataReceived(data)  # type: ignore[no-untyped-call] # not typed
            except OSError:
                pass  # it is empty

    # IPushProducer.

    def pauseProducing(self) -> None:
        """See `send_if_room`."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See `send_if_room`."""
        self._paused = False

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    # LineOnlyReceiver.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def lineReceived(self, line: bytes) -> None:
        try:
            message = parse(line, self._kinds)
        except ControlError as error:
            self._fail(str(error))
            return
        if message is not None:
            self._received(message)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._fail(f"a line of more than {MAX_LINE} bytes")

    def _fail(self, sentence: str) -> None:
        self._error = self._error or sentence
        transport: Any = self.transport  # of a socket; ITransport has no `abortConnection`
        # Not `loseConnection`, which would wait until the other side reads.
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0  # Twisted leaves this to its protocols
        self._closed(self._error)
