"""A client of each HTTP version for the rules of the extensions, on a wire in memory."""

from __future__ import annotations

from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from tests.support import needed
from tests.support.memory import Memory, Wire

Fields = list[tuple[bytes, bytes]]


class Asked:
    """One request that was made, and what has come of its answer.

    Attributes:
        informational: field sections of 1xx answers, by their order; each with its status.
        status, fields, body, trailers: of the answer; None for what has not come.
        whole: it has ended as its framing says.
        aborted: it was cut off.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.wire: Wire = memory.connect()
        self.informational: list[tuple[int, Fields]] = []
        self.status: int | None = None
        self.fields: Fields | None = None
        self.body = b""
        self.trailers: Fields | None = None
        self.whole = False
        self.aborted = False

    def make(self, method: bytes, fields: Fields) -> None:
        """Send the request."""
        raise NotImplementedError

    def look(self) -> None:
        """Read what has come."""
        raise NotImplementedError

    def finish(self) -> None:
        """Let the application end, though it waits for a thread."""
        needed.until(self._is_over)
        self.look()

    def _is_over(self) -> bool:
        self.memory.settle()
        self.look()
        return not self.memory.server.instances

    def field(self, name: bytes) -> bytes | None:
        """The value of a field of the answer."""
        return dict(self.fields or []).get(name)


class AskedOfHTTP1(Asked):
    """By HTTP/1.1."""

    method = b"GET"
    octets = b""

    def allows(self, octets: int) -> None:
        """Let the transport's buffer be full after so many octets."""
        write, wire, room = self.wire.write, self.wire, [octets]

        def count(data: bytes) -> None:
            write(data)
            before = room[0]
            room[0] -= len(data)
            if before > 0 >= room[0]:
                wire.stops_reading()

        wire.write = count  # type: ignore[method-assign]

    def make(self, method: bytes, fields: Fields) -> None:
        self.method = method
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.wire.sends(b"%b / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, lines))
        self.look()

    def look(self) -> None:
        self.aborted = self.wire.aborted
        self.octets += self.wire.take()
        while self.status is None:
            head, end, rest = self.octets.partition(b"\r\n\r\n")
            if not end:
                return
            self.octets = rest
            line, *lines = head.split(b"\r\n")
            assert line.startswith(b"HTTP/1.1 ")
            status, fields = int(line[9:12]), to_fields(lines)
            if status < 200:
                self.informational.append((status, fields))
            else:
                self.status, self.fields = status, fields
        if self.field(b"transfer-encoding") is not None:
            self._look_for_chunks()
        else:
            self.body += self.octets
            self.octets = b""
            bodiless = self.method == b"HEAD" or self.status in (204, 304)
            length = 0 if bodiless else int(self.field(b"content-length") or 0)
            self.whole = len(self.body) == length

    def _look_for_chunks(self) -> None:
        while not self.whole:
            line, end, rest = self.octets.partition(b"\r\n")
            if not end:
                return
            size = int(line, 16)
            if not size:
                section, end, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
                assert end
                assert not rest
                self.whole = True
                self.trailers = to_fields(section.split(b"\r\n")[1:]) or None
            elif len(rest) < size + 2:
                return
            else:
                assert rest[size : size + 2] == b"\r\n"
                self.body += rest[:size]
                rest = rest[size + 2 :]
            self.octets = rest


class AskedOfHTTP2(Asked):
    """By HTTP/2, with prior knowledge."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.opens_window = True
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self._send()

    def _send(self) -> None:
        octets = self.client.data_to_send()
        if octets and not self.wire.lost:
            self.wire.sends(octets)

    def make(self, method: bytes, fields: Fields) -> None:
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", b"/")]
        self.client.send_headers(1, [*pseudo, (b":authority", b"x"), *fields], True)
        self._send()
        self.look()

    def allows(self, octets: int) -> None:
        """Open the stream's window by so much and no further; before the request."""
        self.opens_window = False
        self.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: octets})
        self._send()
        self.look()

    def look(self) -> None:
        while octets := self.wire.take():
            for event in self.client.receive_data(octets):
                self._take(event)
            self._send()

    def _take(self, event: Any) -> None:
        if isinstance(event, events.InformationalResponseReceived):
            status, *fields = plain(event.headers)
            self.informational.append((int(status[1]), fields))
        elif isinstance(event, events.ResponseReceived):
            status, *self.fields = plain(event.headers)
            self.status = int(status[1])
        elif isinstance(event, events.DataReceived):
            self.body += event.data
            if self.opens_window and event.flow_controlled_length:
                self.client.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, events.TrailersReceived):
            self.trailers = plain(event.headers)
        elif isinstance(event, events.StreamEnded):
            self.whole = True
        elif isinstance(event, events.StreamReset):
            self.aborted = True


def plain(fields: Any) -> Fields:
    """Without what h2 knows of each."""
    return [(bytes(name), bytes(value)) for name, value in fields]


def to_fields(lines: list[bytes]) -> Fields:
    """Field lines, taken apart."""
    found = []
    for line in lines:
        if line:
            name, colon, value = line.partition(b": ")
            assert colon, line
            found.append((name.lower(), value))
    return found
