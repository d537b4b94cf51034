"""The framing of responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError
from daphne_like.runtime.write_batch import MAX_WRITE_SIZE, WRITTEN_ALONE
from tests.support.applications import (
    ERROR_500,
    GET,
    GET_10,
    GET_CLOSE,
    HEAD,
    Script,
    Trying,
    body,
    head,
    post,
    sending,
    start,
)  # fmt: skip
from tests.support.memory import Memory

Serve = Callable[..., Memory]

GET_10_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
CLOSE = b"Connection: close"
SIZES = [
    1,
    WRITTEN_ALONE - 1,
    WRITTEN_ALONE,
    MAX_WRITE_SIZE,
    MAX_WRITE_SIZE + 1,
    5 * MAX_WRITE_SIZE,
]


pytestmark = pytest.mark.usefixtures("fixed_date")


def length(octets: int) -> bytes:
    return b"Content-Length: %d" % octets


def declared(octets: int) -> dict[str, Any]:
    return start(headers=[(b"Content-Length", b"%d" % octets)])


class TestByUs:
    """RFC 9112, 6: Message Body."""

    @pytest.mark.parametrize("size", [0, *SIZES])
    def test_single_part(self, serve: Serve, size: int) -> None:
        """H23: a body in one part has its Content-Length from us, however large it is."""
        wire = serve(sending(start(), body(b"x" * size))).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(size)) + b"x" * size
        assert not wire.closing

    @pytest.mark.parametrize("size", SIZES)
    def test_several_parts(self, serve: Serve, size: int) -> None:
        """H23: each part is a chunk; an empty part is not."""
        messages = [body(b"x" * size, True), body(b"", True), body(b"yz", True), body()]
        wire = serve(sending(start(), *messages)).connect().sends(GET)
        assert wire.take() == head(b"200 OK", CHUNKED) + b"%x\r\n%b\r\n2\r\nyz\r\n0\r\n\r\n" % (
            size, b"x" * size,
        )  # fmt: skip
        assert not wire.closing

    @pytest.mark.parametrize("size", SIZES)
    def test_last_part_with_octets(self, serve: Serve, size: int) -> None:
        """The last part may hold octets."""
        messages = [body(b"", True), body(b"x" * size)]
        wire = serve(sending(start(), *messages)).connect().sends(GET)
        assert wire.take() == head(b"200 OK", CHUNKED) + b"%x\r\n%b\r\n0\r\n\r\n" % (
            size, b"x" * size,
        )  # fmt: skip

    @pytest.mark.parametrize("size", SIZES)
    def test_several_parts_for_http_10(self, serve: Serve, size: int) -> None:
        """H23, K9: HTTP/1.0 knows no chunks: the end of the connection ends the body."""
        messages = [body(b"x" * size, True), body(b"yz")]
        wire = serve(sending(start(), *messages)).connect().sends(GET_10_KEPT)
        assert wire.take() == head(b"200 OK", CLOSE) + b"x" * size + b"yz"
        assert wire.half_closed

    def test_http_10(self, serve: Serve) -> None:
        """RFC 9112, 9.3: an HTTP/1.0 connection closes, or is kept where the peer asks for it."""
        memory = serve(sending(start(), body(b"x")))
        wire = memory.connect().sends(GET_10)
        assert wire.take() == head(b"200 OK", length(1), CLOSE) + b"x"
        assert wire.closing
        wire = memory.connect().sends(GET_10_KEPT)
        assert wire.take() == head(b"200 OK", length(1), b"Connection: keep-alive") + b"x"
        assert not wire.closing

    def test_peer_closes(self, serve: Serve) -> None:
        """RFC 9112, 9.6: `Connection: close` is answered with the same."""
        wire = serve(sending(start(), body(b"x"))).connect().sends(GET_CLOSE)
        assert wire.take() == head(b"200 OK", length(1), CLOSE) + b"x"
        assert wire.closing

    @pytest.mark.parametrize("size", SIZES)
    def test_unread_request_body(self, serve: Serve, size: int) -> None:
        """RFC 9112, 9.3: a request that is never read to its end costs the connection."""
        unread = post(b"", length=10**9)
        wire = serve(sending(start(), body(b"x" * size))).connect().sends(unread)
        assert wire.take() == head(b"200 OK", length(size), CLOSE) + b"x" * size
        assert wire.half_closed

    @pytest.mark.parametrize(
        "pair",
        [
            (b"Transfer-Encoding", b"chunked"),
            (b"transfer-encoding", b"gzip"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Proxy-Connection", b"keep-alive"),
            (b"Connection", b"keep-alive"),
            (b"Connection", b"X-Id"),
        ],
    )
    def test_ignored(self, serve: Serve, pair: Any) -> None:
        """H22: how the message is framed and the connection kept is the server's to say."""
        wire = serve(sending(start(headers=[pair]), body(b"x"))).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(1)) + b"x"
        wire = serve(sending(start(headers=[pair]), body(b"x", True), body())).connect().sends(GET)
        assert wire.take() == head(b"200 OK", CHUNKED) + b"1\r\nx\r\n0\r\n\r\n"

    def test_application_closes(self, serve: Serve) -> None:
        """RFC 9110, 7.6.1: `Connection: close` of the application is heeded."""
        wire = serve(sending(start(headers=[(b"connection", b"Close")]), body(b"x")))
        kept = wire.connect().sends(GET)
        assert kept.take() == head(b"200 OK", length(1), CLOSE) + b"x"
        assert kept.half_closed


class TestContentLength:
    """RFC 9112, 6.2 (H33, S33): the body has the declared length, or is no body."""

    @pytest.mark.parametrize("size", [0, *SIZES])
    def test_right(self, serve: Serve, size: int) -> None:
        """In one part, and in two."""
        wire = serve(sending(declared(size), body(b"x" * size))).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(size)) + b"x" * size
        messages = [body(b"x" * size, True), body(b"y")]
        wire = serve(sending(declared(size + 1), *messages)).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(size + 1)) + b"x" * size + b"y"
        assert not wire.closing

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("more", [True, False])
    def test_too_long_at_once(self, serve: Serve, size: int, more: bool) -> None:
        """Too long before an octet is out: an error, and the peer has a 500."""
        trying = Trying(declared(size - 1), body(b"x" * size, more))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert type(trying.errors[1]) is ApplicationError
        assert str(trying.errors[1]) == (
            f"http.response.body: expected {size - 1} octets as Content-Length says, got {size}"
        )

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("more", [True, False])
    def test_too_long_later(self, serve: Serve, size: int, more: bool) -> None:
        """Too long later: an error, not one octet too many, and the connection is cut."""
        trying = Trying(declared(size + 1), body(b"ab", True), body(b"x" * size, more))
        wire = serve(trying).connect().sends(GET)
        assert head(b"200 OK", length(size + 1)).startswith(wire.take()[:-2])
        assert wire.aborted
        assert str(trying.errors[2]) == (
            f"http.response.body: expected {size + 1} octets as Content-Length says, got {size + 2}"
        )

    def test_too_long_and_caught(self, serve: Serve) -> None:
        """An application that catches the error may send the rest that fits."""
        trying = Trying(declared(3), body(b"ab", True), body(b"cd"), body(b"c"))
        wire = serve(trying).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(3)) + b"abc"
        assert not wire.closing

    @pytest.mark.parametrize("size", [0, *SIZES])
    def test_too_short_at_once(self, serve: Serve, size: int) -> None:
        """Too short before an octet is out: an error, and the peer has a 500."""
        trying = Trying(declared(size + 1), body(b"x" * size))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert str(trying.errors[1]) == (
            f"http.response.body: expected {size + 1} octets as Content-Length says, "
            f"got only {size}"
        )

    @pytest.mark.parametrize("size", [0, *SIZES])
    def test_too_short_later(self, serve: Serve, size: int) -> None:
        """Too short later: an error, and the connection is cut."""
        trying = Trying(declared(size + 3), body(b"ab", True), body(b"x" * size))
        wire = serve(trying).connect().sends(GET)
        assert wire.aborted
        assert "got only" in str(trying.errors[2])

    def test_too_short_is_cut_at_once(self, serve: Serve) -> None:
        """Too short: the peer does not wait for an application that goes on with other things."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        for message in (declared(3), body(b"a", True)):
            memory.loop.run_until_complete(script.send(message))
        with pytest.raises(ApplicationError):
            memory.loop.run_until_complete(script.send(body(b"b")))
        assert wire.aborted
        assert script.ended is None

    def test_without_an_end(self, serve: Serve) -> None:
        """Nor is a body whole whose application returned before."""
        wire = serve(sending(declared(3), body(b"ab", True))).connect().sends(GET)
        assert wire.aborted

    def test_declared_twice(self, serve: Serve) -> None:
        """RFC 9110, 8.6: twice the same is once, two different ones are an error."""
        same = [(b"Content-Length", b"1"), (b"content-length", b"1")]
        wire = serve(sending(start(headers=same), body(b"x"))).connect().sends(GET)
        assert wire.take() == head(b"200 OK", length(1)) + b"x"
        trying = Trying(start(headers=[same[0], (b"content-length", b"2")]))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert str(trying.errors[0]) == "http.response.start: two different Content-Lengths"


class TestNoBody:
    """RFC 9112, 6.3: responses without a body (H32, S32, K2)."""

    PARTS = [
        (body(b"p1", True), body(b"p2", True), body(b"p3")),
        (body(b"p1p2p3"),),
        (body(),),
        (body(b"x" * WRITTEN_ALONE, True), body(b"x" * (MAX_WRITE_SIZE + 1))),
        (body(b"x" * (3 * MAX_WRITE_SIZE)),),
    ]

    @pytest.mark.parametrize("messages", PARTS)
    def test_head_with_length(self, serve: Serve, messages: Any) -> None:
        """HEAD: the declared length and no octet of a body, whatever is sent; the next answer
        follows at once."""
        wire = serve(sending(declared(6), *messages)).connect().sends(HEAD, HEAD + HEAD)
        assert wire.take() == 3 * head(b"200 OK", b"Content-Length: 6")
        assert not wire.closing

    @pytest.mark.parametrize(
        ("messages", "lines"),
        [
            (PARTS[0], []),
            (PARTS[1], [length(6)]),
            (PARTS[2], []),
            (PARTS[3], []),
            (PARTS[4], [length(3 * MAX_WRITE_SIZE)]),
        ],
    )
    def test_head_without_length(self, serve: Serve, messages: Any, lines: Any) -> None:
        """HEAD: the length where it is known from a single part (RFC 9110, 8.6)."""
        wire = serve(sending(start(), *messages)).connect().sends(HEAD, HEAD)
        assert wire.take() == 2 * head(b"200 OK", *lines)
        assert not wire.closing

    @pytest.mark.parametrize("messages", PARTS)
    @pytest.mark.parametrize("request_", [GET, HEAD])
    def test_204(self, serve: Serve, messages: Any, request_: bytes) -> None:
        """204: no octet, and no Content-Length either (RFC 9110, 8.6)."""
        headers = [(b"Content-Length", b"6"), (b"a", b"b")]
        wire = serve(sending(start(204, headers), *messages)).connect().sends(request_ * 2)
        assert wire.take() == 2 * head(b"204 No Content", b"a: b")
        assert not wire.closing

    @pytest.mark.parametrize("messages", PARTS)
    @pytest.mark.parametrize(
        ("request_", "headers"),
        [
            (GET, []),
            (GET, [(b"Content-Length", b"6")]),
            (HEAD, [(b"Content-Length", b"6")]),
        ],
    )
    def test_304(self, serve: Serve, messages: Any, headers: Any, request_: bytes) -> None:
        """304: no octet; the length that the application declares for a 200 stays."""
        wire = serve(sending(start(304, headers), *messages)).connect().sends(request_ * 2)
        lines = [length(6)] if headers else []
        assert wire.take() == 2 * head(b"304 Not Modified", *lines)
        assert not wire.closing

    def test_access_log_counts_what_is_out(self, serve: Serve) -> None:
        """The access log's size of an answer to HEAD is 0."""
        actions: list[Any] = []
        memory = serve(
            sending(start(), body(b"x" * 10, True), body(b"yz")),
            action_logger=lambda *details: actions.append(details),
        )
        memory.connect().sends(HEAD, GET)
        assert [details["size"] for _, _, details in actions] == [0, 12]

    def test_error_for_head(self, serve: Serve) -> None:
        """H32: nor has the 500 a body."""
        answer = serve(sending()).connect().sends(HEAD).take()
        assert answer == ERROR_500.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
