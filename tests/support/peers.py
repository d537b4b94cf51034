"""What a test knows about requests and answers: an application that records, a strict reader."""

from __future__ import annotations

from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One response as it came."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes
    version: bytes = b"1.1"

    @property
    def closes(self) -> bool:
        return self.fields.get(b"connection") == b"close"


def read_answers(octets: bytes, methods: tuple[bytes, ...] = ()) -> list[Answer]:
    """Read whole responses; anything else than whole responses is a failure.

    Args:
        octets: all that came on a connection.
        methods: of the requests, as far as they are not GET; for those without a body.
    """
    answers: list[Answer] = []
    while octets:
        head, end, octets = octets.partition(b"\r\n\r\n")
        assert end, f"no whole head: {head!r}"
        status_line, *lines = head.split(b"\r\n")
        assert status_line[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 "), status_line
        version = status_line[5:8]
        status = int(status_line[9:12])
        assert version == b"1.1" or status >= 400, status_line
        fields: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b": ")
            assert colon, line
            assert name.lower() not in fields, line
            fields[name.lower()] = value
        if status == 100:
            assert not fields
            answers.append(Answer(status, fields, b""))
            continue
        asked = sum(answer.status != 100 for answer in answers)
        is_head = asked < len(methods) and methods[asked] == b"HEAD"
        body = b""
        if is_head or status in (204, 304):
            pass
        elif fields.get(b"transfer-encoding") == b"chunked":
            while True:
                size_line, _, octets = octets.partition(b"\r\n")
                size = int(size_line, 16)
                body += octets[:size]
                assert octets[size : size + 2] == b"\r\n"
                octets = octets[size + 2 :]
                if not size:
                    break
        else:
            size = int(fields[b"content-length"])
            assert len(octets) >= size
            body, octets = octets[:size], octets[size:]
        answers.append(Answer(status, fields, body, version))
    return answers


class Recorder:
    """An application that reads each request to its end and answers with its raw path.

    Attributes:
        scopes, bodies: of each request that came, in their order.
        ends: the type of the event that ended reading.
    """

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.ends: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        index = len(self.scopes)
        self.scopes.append(scope)
        self.bodies.append(b"")
        while True:
            event = await receive()
            if event["type"] != "http.request":
                self.ends.append(event["type"])
                return
            self.bodies[index] += event["body"]
            if not event["more_body"]:
                break
        self.ends.append("http.request")
        await respond(send, scope["raw_path"])


async def respond(send: Any, body: bytes = b"", status: int = 200, *headers: Any) -> None:
    """A whole response."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_at_once(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that never reads."""
    await respond(send, scope["raw_path"])


async def never_answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that waits for its peer to go."""
    while (await receive())["type"] != "http.disconnect":
        pass


def get(path: bytes = b"/", *fields: bytes, host: bytes = b"x") -> bytes:
    """A request without a body."""
    lines = (b"GET %b HTTP/1.1" % path, b"Host: " + host, *fields, b"", b"")
    return b"\r\n".join(lines)


def post(body: bytes, *fields: bytes, path: bytes = b"/", size: int | None = None) -> bytes:
    """A request with a Content-Length and (a part of) its body."""
    length = b"Content-Length: %d" % (len(body) if size is None else size)
    return b"\r\n".join((b"POST %b HTTP/1.1" % path, b"Host: x", length, *fields, b"", body))


def chunked(*chunks: bytes, path: bytes = b"/", trailers: bytes = b"", end: bool = True) -> bytes:
    """A request with a chunked body."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + (b"0\r\n%b\r\n" % trailers if end else b"")
