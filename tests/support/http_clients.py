"""One request on HTTP/1.1 or HTTP/2, as a test of rules that hold on both sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.support import needed
from tests.support.memory import Memory, Wire

Field = tuple[bytes, bytes]
Fields = list[Field]

OURS = (b"date", b"server", b"connection", b"transfer-encoding")
"""Fields that a server adds to each answer."""


class Asked:
    """A request, and its answer as far as it has come.

    Attributes:
        memory, wire: the server and the connection.
    """

    def __init__(self, memory: Memory, wire: Wire) -> None:
        self.memory = memory
        self.wire = wire
        self._informational: list[tuple[int, Fields]] = []
        self._status: int | None = None
        self._fields: Fields = []
        self._body = b""
        self._trailers: Fields | None = None
        self._is_whole = False
        self._is_aborted = False

    # What the client does.

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        """Send more of the body."""
        raise NotImplementedError

    def gives_up(self) -> None:
        """Cancel the request in the way of its protocol."""
        raise NotImplementedError

    def reads_on(self) -> None:
        """Read all that comes from now on (see Client.reads_part)."""
        raise NotImplementedError

    def read(self) -> None:
        """Take in what the server has written."""
        raise NotImplementedError

    def finish(self) -> None:
        """Let the application end, though it waits for a thread."""
        needed.until(self._is_over)

    def _is_over(self) -> bool:
        self.memory.settle()
        self.read()
        return not self.memory.server.instances

    # What has come of the answer.

    @property
    def informational(self) -> list[tuple[int, Fields]]:
        """Status and fields of each 1xx answer, in their order."""
        self.read()
        return self._informational

    @property
    def continues(self) -> int:
        """Number of times that the client was told to go on with its body."""
        return sum(status == 100 for status, _ in self.informational)

    @property
    def status(self) -> int | None:
        """Status of the answer, if its head has come."""
        self.read()
        return self._status

    @property
    def fields(self) -> Fields:
        """Fields of the answer, in their order: those of the application, and Content-Length."""
        self.read()
        return [field for field in self._fields if field[0] not in OURS]

    def field(self, name: bytes) -> bytes | None:
        """Return the value of a field of the answer."""
        return dict(self.fields).get(name)

    @property
    def body(self) -> bytes:
        """Body of the answer, as far as it has come."""
        self.read()
        return self._body

    @property
    def trailers(self) -> Fields | None:
        """Trailer section of the answer."""
        self.read()
        return self._trailers

    @property
    def is_whole(self) -> bool:
        """The answer has ended as its framing says."""
        self.read()
        return self._is_whole

    @property
    def is_aborted(self) -> bool:
        """The server has ended the connection or the stream with a reset."""
        self.read()
        return self._is_aborted

    @property
    def is_cut(self) -> bool:
        """The client knows that it will never have all of the answer."""
        return self.is_aborted and not self.is_whole


class Client:
    """Asks on connections of one protocol.

    Args:
        memory: the server.

    Attributes:
        wire: connection of the last request, or of the first one before there is any.
    """

    version: str

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.wire = memory.connect()

    def asks(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        *fields: Field,
        body: bytes | None = None,
        ends: bool = True,
    ) -> Asked:
        """Send a request, with (a part of) its body if it has one."""
        return self._ask(method, target, fields, body, ends)

    def _ask(
        self, method: bytes, target: bytes, fields: Iterable[Field], body: bytes | None, ends: bool
    ) -> Asked:
        raise NotImplementedError

    def vanishes(self) -> None:
        """Lose the connection of the last request."""
        self.wire.vanishes()

    def reads_part(self, octets: int) -> None:
        """Read about so many octets of the first answer; called before its request."""
        raise NotImplementedError


class HTTP1Client(Client):
    """A connection for each request."""

    version = "1.1"

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._has_asked = False

    def _ask(
        self, method: bytes, target: bytes, fields: Iterable[Field], body: bytes | None, ends: bool
    ) -> Asked:
        if self._has_asked:
            self.wire = self.memory.connect()
        self._has_asked = True
        chunked = body is not None and b"content-length" not in dict(fields)
        lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: x"]
        lines += [b"%b: %b" % field for field in fields]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        asked = HTTP1Asked(self.memory, self.wire, method, chunked)
        octets = b"\r\n".join((*lines, b"", b""))
        if body is not None:
            octets += asked.framed(body, ends)
        self.wire.sends(octets)
        return asked

    def reads_part(self, octets: int) -> None:
        """Let the transport's buffer be full after so many octets."""
        write, wire, room = self.wire.write, self.wire, [octets]

        def count(data: bytes) -> None:
            write(data)
            before = room[0]
            room[0] -= len(data)
            if before > 0 >= room[0]:
                wire.stops_reading()

        wire.write = count  # type: ignore[method-assign]


class HTTP1Asked(Asked):
    """A request that has a connection of HTTP/1.1 for itself."""

    def __init__(self, memory: Memory, wire: Wire, method: bytes, chunked: bool) -> None:
        super().__init__(memory, wire)
        self.method = method
        self.chunked = chunked
        self._unread = b""

    def framed(self, octets: bytes, ends: bool) -> bytes:
        """Return octets of the body as they are sent."""
        if not self.chunked:
            return octets
        chunk = b"%x\r\n%b\r\n" % (len(octets), octets) if octets else b""
        return chunk + (b"0\r\n\r\n" if ends else b"")

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        self.wire.sends(self.framed(octets, ends))

    def gives_up(self) -> None:
        self.wire.vanishes()

    def reads_on(self) -> None:
        self.wire.reads_on()

    def read(self) -> None:
        self._is_aborted = self.wire.aborted
        self._unread += self.wire.take()
        while self._status is None and self._read_head():
            pass
        if self._status is not None:
            self._read_body()

    def _read_head(self) -> bool:
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        if not end:
            return False
        self._unread = rest
        line, *lines = head.split(b"\r\n")
        assert line.startswith(b"HTTP/1.1 ")
        status, fields = int(line[9:12]), to_fields(lines)
        if status < 200:
            self._informational.append((status, fields))
        else:
            self._status, self._fields = status, fields
        return True

    def _read_body(self) -> None:
        known = dict(self._fields)
        if self.method == b"HEAD" or self._status in (204, 304):
            length = 0
        elif known.get(b"transfer-encoding") == b"chunked":
            self._read_chunks()
            return
        else:
            length = int(known[b"content-length"])
        self._body += self._unread
        self._unread = b""
        assert len(self._body) <= length
        self._is_whole = len(self._body) == length

    def _read_chunks(self) -> None:
        while not self._is_whole:
            line, end, rest = self._unread.partition(b"\r\n")
            if not end:
                return
            size = int(line, 16)
            if not size:
                section, end, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
                assert end
                self._is_whole = True
                self._trailers = to_fields(section.split(b"\r\n")[1:]) or None
            elif len(rest) < size + 2:
                return
            else:
                assert rest[size : size + 2] == b"\r\n"
                self._body += rest[:size]
                rest = rest[size + 2 :]
            self._unread = rest
        assert not self._unread


class HTTP2Client(Client):
    """One connection for all requests, with h2, which holds the server to RFC 9113."""

    version = "2"
    allows_push = False

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.reads_all = True
        self.asked: dict[int, HTTP2Asked] = {}
        config = H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.h2.local_settings[SettingCodes.ENABLE_PUSH] = int(self.allows_push)
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.send()

    def _ask(
        self, method: bytes, target: bytes, fields: Iterable[Field], body: bytes | None, ends: bool
    ) -> Asked:
        number = self.h2.get_next_available_stream_id()
        self.asked[number] = asked = HTTP2Asked(self, number)
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"x")]
        lowered = [(name.lower(), value) for name, value in fields]
        section = [*pseudo, (b":path", target), *lowered]
        self.h2.send_headers(number, section, ends and body is None)
        if body is not None:
            self.h2.send_data(number, body, ends)
        self.send()
        return asked

    def reads_part(self, octets: int) -> None:
        """Open the windows of streams by so much and no further."""
        self.reads_all = False
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: octets})
        self.send()

    def send(self) -> None:
        """Send what h2 has to send, and take in the answer."""
        octets = self.h2.data_to_send()
        if octets and not self.wire.lost:
            self.wire.sends(octets)
        self.read()

    def read(self) -> None:
        """Take in what the server has written; it may allow h2 to send more."""
        while octets := self.wire.take():
            for event in self.h2.receive_data(octets):
                self._take(event)
            answer = self.h2.data_to_send()
            if answer and not self.wire.lost:
                self.wire.sends(answer)

    def _take(self, event: Any) -> None:
        assert not isinstance(event, events.UnknownFrameReceived)
        number = getattr(event, "stream_id", None)
        if number in self.asked:
            self.asked[number].take(event)
        if isinstance(event, events.DataReceived) and self.reads_all:
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)


class PushedHTTP2Client(HTTP2Client):
    """A client that accepts pushed responses."""

    allows_push = True


class HTTP2Asked(Asked):
    """A request on a stream of HTTP/2."""

    def __init__(self, client: HTTP2Client, number: int) -> None:
        super().__init__(client.memory, client.wire)
        self.client = client
        self.number = number

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        self.client.h2.send_data(self.number, octets, ends)
        self.client.send()

    def gives_up(self) -> None:
        self.client.h2.reset_stream(self.number, ErrorCodes.CANCEL)
        self.client.send()

    def reads_on(self) -> None:
        self.client.reads_all = True
        self.client.h2.increment_flow_control_window(2_000_000)
        self.client.h2.increment_flow_control_window(2_000_000, self.number)
        self.client.send()

    def read(self) -> None:
        self.client.read()

    def take(self, event: Any) -> None:
        """Take in what h2 has read on the stream."""
        if isinstance(event, events.InformationalResponseReceived):
            status, *fields = plain(event.headers)
            self._informational.append((int(status[1]), fields))
        elif isinstance(event, events.ResponseReceived):
            status, *self._fields = plain(event.headers)
            self._status = int(status[1])
        elif isinstance(event, events.DataReceived):
            self._body += event.data
        elif isinstance(event, events.TrailersReceived):
            self._trailers = plain(event.headers)
        elif isinstance(event, events.StreamEnded):
            self._is_whole = True
        elif isinstance(event, events.StreamReset):
            self._is_aborted = True


def plain(fields: Any) -> Fields:
    """Return fields without what h2 knows of each."""
    return [(bytes(name), bytes(value)) for name, value in fields]


def to_fields(lines: list[bytes]) -> Fields:
    """Take field lines apart."""
    found = []
    for line in lines:
        if line:
            name, colon, value = line.partition(b": ")
            assert colon, line
            found.append((name.lower(), value))
    return found
