"""One request on HTTP/1.1 or HTTP/2, as a test of rules that hold on both sees it."""

from __future__ import annotations

from typing import Any

from tests.support.h2_peer import CANCEL, H2Peer, data, reset
from tests.support.memory import Memory

Field = tuple[bytes, bytes]


class Asked:
    """A request, and what has come of its answer."""

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        """Send more of the body."""
        raise NotImplementedError

    def gives_up(self) -> None:
        """The client wants no answer any more, and says so as its protocol has it."""
        raise NotImplementedError

    @property
    def status(self) -> int | None:
        """Of the answer, if its head has come."""
        raise NotImplementedError

    @property
    def fields(self) -> list[Field]:
        """Of the answer, in their order: those of the application, and Content-Length."""
        raise NotImplementedError

    @property
    def body(self) -> bytes:
        """Of the answer, as far as it has come."""
        raise NotImplementedError

    @property
    def is_whole(self) -> bool:
        """The client knows that it has all of the answer."""
        raise NotImplementedError

    @property
    def is_cut(self) -> bool:
        """The client knows that it will never have it."""
        raise NotImplementedError

    @property
    def continues(self) -> int:
        """How often it was told to go on with its body."""
        raise NotImplementedError


class Client:
    """Asks on connections of one protocol.

    Args:
        memory: the server.
    """

    version: str

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def asks(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        *fields: Field,
        body: bytes | None = None,
        ends: bool = True,
    ) -> Asked:
        """Send a request, with (a part of) its body if it has one."""
        raise NotImplementedError

    def vanishes(self) -> None:
        """The connection of the last request is lost."""
        raise NotImplementedError


class HTTP1Client(Client):
    """A connection for each request."""

    version = "1.1"

    def asks(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        *fields: Field,
        body: bytes | None = None,
        ends: bool = True,
    ) -> Asked:
        self.wire = self.memory.connect()
        names = [name for name, _ in fields]
        chunked = body is not None and b"content-length" not in names
        lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: x"]
        lines += [b"%b: %b" % field for field in fields]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        asked = HTTP1Asked(self, method, chunked)
        octets = b"\r\n".join((*lines, b"", b""))
        if body is not None:
            octets += asked.framed(body, ends)
        self.wire.sends(octets)
        return asked

    def vanishes(self) -> None:
        self.wire.vanishes()


class HTTP1Asked(Asked):
    def __init__(self, client: HTTP1Client, method: bytes, chunked: bool) -> None:
        self.wire = client.wire
        self.method = method
        self.chunked = chunked

    def framed(self, octets: bytes, ends: bool) -> bytes:
        if not self.chunked:
            return octets
        chunk = b"%x\r\n%b\r\n" % (len(octets), octets) if octets else b""
        return chunk + (b"0\r\n\r\n" if ends else b"")

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        self.wire.sends(self.framed(octets, ends))

    def gives_up(self) -> None:
        self.wire.vanishes()

    def _read(self) -> tuple[int | None, list[Field], bytes, bool, int]:
        octets, continues = self.wire.written, 0
        while octets.startswith(b"HTTP/1.1 100 "):
            octets = octets.partition(b"\r\n\r\n")[2]
            continues += 1
        head, end, rest = octets.partition(b"\r\n\r\n")
        if not end:
            return None, [], b"", False, continues
        line, *lines = head.split(b"\r\n")
        status = int(line[9:12])
        everything = [(pair[0].lower(), pair[2]) for pair in (f.partition(b": ") for f in lines)]
        ours = (b"date", b"server", b"connection", b"transfer-encoding")
        fields = [field for field in everything if field[0] not in ours]
        known = dict(everything)
        if self.method == b"HEAD" or status in (204, 304):
            assert not rest
            return status, fields, b"", True, continues
        if known.get(b"transfer-encoding") != b"chunked":
            length = int(known[b"content-length"])
            assert len(rest) <= length
            return status, fields, rest, len(rest) == length, continues
        body = b""
        while rest:
            size_line, _, rest = rest.partition(b"\r\n")
            size = int(size_line, 16)
            if not size:
                assert rest == b"\r\n"
                return status, fields, body, True, continues
            body += rest[:size]
            rest = rest[size + 2 :]
        return status, fields, body, False, continues

    @property
    def status(self) -> int | None:
        return self._read()[0]

    @property
    def fields(self) -> list[Field]:
        return self._read()[1]

    @property
    def body(self) -> bytes:
        return self._read()[2]

    @property
    def is_whole(self) -> bool:
        return self._read()[3]

    @property
    def is_cut(self) -> bool:
        return self.wire.aborted and not self.is_whole

    @property
    def continues(self) -> int:
        return self._read()[4]


class HTTP2Client(Client):
    """One connection for all requests."""

    version = "2"

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.peer = H2Peer(memory, reads=True)

    def asks(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        *fields: Field,
        body: bytes | None = None,
        ends: bool = True,
    ) -> Asked:
        lowered = [(name.lower(), value) for name, value in fields]
        number = self.peer.asks(method, target, *lowered, body=body, ends=ends)
        return HTTP2Asked(self.peer, number)

    def vanishes(self) -> None:
        self.peer.wire.vanishes()


class HTTP2Asked(Asked):
    def __init__(self, peer: H2Peer, number: int) -> None:
        self.peer = peer
        self.number = number

    @property
    def answer(self) -> Any:
        self.peer.read()
        return self.peer.answer(self.number)

    def more(self, octets: bytes, *, ends: bool = False) -> None:
        self.peer.sends(data(self.number, octets, ends=ends))

    def gives_up(self) -> None:
        self.peer.sends(reset(self.number, CANCEL))

    @property
    def status(self) -> int | None:
        status: int | None = self.answer.status
        return status

    @property
    def fields(self) -> list[Field]:
        fields: list[Field] = self.answer.fields
        return fields

    @property
    def body(self) -> bytes:
        body: bytes = self.answer.body
        return body

    @property
    def is_whole(self) -> bool:
        ended: bool = self.answer.ended
        return ended

    @property
    def is_cut(self) -> bool:
        return self.answer.reset is not None and not self.answer.ended

    @property
    def continues(self) -> int:
        return sum(head[0] == (b":status", b"100") for head in self.answer.heads)
