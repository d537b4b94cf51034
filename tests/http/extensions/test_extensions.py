"""ASGI's extensions of a response: one set of rules, for HTTP/1.1 and for HTTP/2."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import ISSLTransport, ISystemHandle
from zope.interface import alsoProvides

from daphne_like.exceptions import ApplicationError
from tests.support import needed
from tests.support.applications import EXTENSIONS, GET_10, Trying, body, sending, start
from tests.support.http_clients import (
    Asked,
    Client,
    Fields,
    HTTP1Client,
    HTTP2Client,
    PushedHTTP2Client,
)
from tests.support.memory import Memory

Serve = Callable[..., Memory]

NO_FIELDS: Fields = []
TE: Fields = [(b"te", b"trailers")]
LARGE = bytes(range(251)) * 4000
"""More than one read of a file, and than one frame; a million octets."""


def hint(*links: Any) -> dict[str, Any]:
    return {"type": "http.response.early_hint", "links": list(links)}


def trailers(*headers: Any, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": more}


def pathsend(path: Any) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


def zerocopysend(file: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, **more}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


class Rules:
    """Rules for every HTTP version."""

    client: type[Client]

    @pytest.fixture
    def ask(self, serve: Serve) -> Callable[..., Asked]:
        """ask(application, *fields, method): make a request, until its application ends."""

        def make(
            application: Any,
            fields: Fields = NO_FIELDS,
            method: bytes = b"GET",
            **settings: Any,
        ) -> Asked:
            asked = self.client(serve(application, **settings)).asks(method, b"/", *fields)
            asked.finish()
            return asked

        return make


class EarlyHints(Rules):
    """ASGI, "Early Hints"; RFC 8297."""

    @pytest.mark.parametrize("place", [0, 1])
    def test_before_and_after_start(self, ask: Any, place: int) -> None:
        """X40: 103 with a Link field for each link, before the final head in either case."""
        messages = [start(), body(b"Hi")]
        messages.insert(place, hint(b"</a>; rel=preload", b"</b>"))
        application = Trying(*messages)
        asked = ask(application)
        assert application.errors == [None] * 3
        links = [(b"link", b"</a>; rel=preload"), (b"link", b"</b>")]
        assert asked.informational == [(103, links)]
        assert (asked.status, asked.body, asked.is_whole) == (200, b"Hi", True)

    def test_several(self, ask: Any) -> None:
        """RFC 8297, 2: a server may send more than one."""
        asked = ask(sending(hint(b"</a>"), start(), hint(b"</b>"), body()))
        assert asked.informational == [(103, [(b"link", b"</a>")]), (103, [(b"link", b"</b>")])]

    def test_ignored_behind_the_head(self, ask: Any) -> None:
        """RFC 9110, 15.2: no interim answer follows the final one; X41: nor is it an error."""
        application = Trying(start(), body(b"a", True), hint(b"</a>"), body(), hint(b"</a>"))
        asked = ask(application)
        assert application.errors == [None] * 5
        assert (asked.informational, asked.body, asked.is_whole) == ([], b"a", True)

    def test_none(self, ask: Any) -> None:
        """Without a link there is nothing to say."""
        assert ask(sending(hint(), start(), body())).informational == []

    @pytest.mark.parametrize(
        "links", [[b"</a>\r\nSet-Cookie: a=b"], [b"</a>\n"], [b"a\0"], ["</a>"], b"</a>", None, 1]
    )
    def test_links_are_octets_of_a_value(self, ask: Any, links: Any) -> None:
        """C10, S05: no line of the application's making, and none of the hint is out."""
        application = Trying({"type": "http.response.early_hint", "links": links}, start(), body())
        asked = ask(application)
        assert [type(error) for error in application.errors[:1]] == [ApplicationError]
        assert (asked.informational, asked.is_whole) == ([], True)

    def test_an_error_may_follow(self, ask: Any) -> None:
        """C12: a hint is no answer."""
        asked = ask(sending(hint(b"</a>")))
        assert (len(asked.informational), asked.status) == (1, 500)

    def test_peer_that_does_not_read(self, serve: Serve) -> None:
        """C09: an application that sends nothing else waits for its peer, too."""
        sent = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while True:
                await send(hint(b"</a>"))
                sent.append(1)

        asked = self.client(serve(application)).asks()
        asked.wire.stops_reading()
        asked.memory.settle()
        before = len(sent)
        asked.memory.settle()
        assert before > 1
        assert len(sent) == before
        asked.wire.vanishes()
        assert asked.memory.server.instances == {}


class Trailers(Rules):
    """ASGI, "HTTP Trailers"."""

    def test_sent(self, ask: Any) -> None:
        """X50-X52: behind the body, to a peer that asks; no field Trailer need name them."""
        application = Trying(start(trailers=True), body(b"Hi"), trailers((b"X-Sum", b"1")))
        asked = ask(application, TE)
        assert application.errors == [None] * 3
        assert (asked.body, asked.trailers, asked.is_whole) == (b"Hi", [(b"x-sum", b"1")], True)

    def test_not_asked_for(self, ask: Any) -> None:
        """X51: trailers are sent only if the peer accepts them; otherwise they are ignored."""
        application = Trying(start(trailers=True), body(b"Hi"), trailers((b"X-Sum", b"1")))
        asked = ask(application)
        assert application.errors == [None] * 3
        assert (asked.body, asked.trailers, asked.is_whole) == (b"Hi", None, True)

    def test_several(self, ask: Any) -> None:
        """X50: more_trailers; the order of fields stays."""
        parts = [trailers((b"b", b"1"), more=True), trailers((b"a", b"2"), (b"b", b"3"))]
        asked = ask(sending(start(trailers=True), body(b"a", True), body(b"b"), *parts), TE)
        assert asked.trailers == [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")]

    def test_none(self, ask: Any) -> None:
        """A promise is kept by a message without fields, too."""
        asked = ask(sending(start(trailers=True), body(b"a"), trailers()), TE)
        assert (asked.body, asked.trailers, asked.is_whole) == (b"a", None, True)

    def test_behind_a_large_part(self, ask: Any) -> None:
        """X50: a part that is written piece by piece comes before them."""
        asked = ask(sending(start(trailers=True), body(LARGE), trailers((b"a", b"1"))), TE)
        assert (asked.body, asked.trailers) == (LARGE, [(b"a", b"1")])

    def test_whole_with_them_only(self, serve: Serve) -> None:
        """H27, H28: the server waits for them, and so does the end of the application's input."""
        told = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(start(trailers=True))
            await send(body(b"Hi"))
            told.append("body")
            await receive()
            told.append("disconnect")

        asked = self.client(serve(application)).asks(b"GET", b"/", *TE)
        assert told == ["body"]
        assert (asked.body, asked.is_whole) == (b"Hi", False)

    def test_promised_and_missing(self, ask: Any, caplog: Any) -> None:
        """C12: no end of an answer goes out that is not whole."""
        asked = ask(sending(start(trailers=True), body(b"Hi")), TE)
        assert (asked.body, asked.is_whole, asked.is_aborted) == (b"Hi", False, True)
        assert "returned without completing its response" in caplog.text

    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            ([start(), body(b"a", True)], "trailers=True in http.response.start"),
            ([start(trailers=True)], "the last of the body first"),
            ([start(trailers=True), body(b"a", True)], "the last of the body first"),
            ([], "trailers=True in http.response.start"),
        ],
    )
    def test_in_their_place_only(self, ask: Any, before: Any, expected: str) -> None:
        """C10, X50: promised, and behind the last of the body."""
        application = Trying(*before, trailers((b"a", b"1")))
        ask(application, TE)
        assert application.errors[:-1] == [None] * len(before)
        assert expected in str(application.errors[-1])

    def test_no_body_between(self, ask: Any) -> None:
        """C10: a body has one end."""
        more = [body(b"b"), body(b"b", True), pathsend("/"), zerocopysend(0)]
        application = Trying(start(trailers=True), body(b"a"), *more, trailers())
        asked = ask(application, TE)
        assert [type(error) for error in application.errors[2:6]] == [ApplicationError] * 4
        assert (asked.body, asked.is_whole) == (b"a", True)

    @pytest.mark.parametrize(
        "field",
        [
            (b"Content-Length", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Connection", b"close"),
            (b"Host", b"x"),
            (b"Content-Type", b"text/plain"),
            (b"Set-Cookie", b"a=b"),
            (b"Trailer", b"a"),
            (b"Date", b"now"),
            (b"a", b"b\r\nc: d"),
            (b"a:b", b"c"),
            (b":status", b"200"),
            ("a", b"b"),
            (b"a", 1),
        ],
    )
    def test_fields(self, ask: Any, field: Any) -> None:
        """S05; RFC 9110, 6.5.1: no framing, no routing, no octet that ends a line."""
        application = Trying(start(trailers=True), body(b"a"), trailers(field), trailers())
        asked = ask(application, TE)
        assert [type(error) for error in application.errors[2:]] == [ApplicationError, type(None)]
        assert (asked.trailers, asked.is_whole) == (None, True)

    @pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
    def test_no_body_no_trailers(self, ask: Any, method: bytes, status: int) -> None:
        """H32: without a body there is nothing for them to follow."""
        application = Trying(start(status, trailers=True), body(b"a"), trailers((b"a", b"1")))
        asked = ask(application, TE, method)
        assert application.errors == [None] * 3
        assert (asked.status, asked.body, asked.trailers) == (status, b"", None)
        assert (asked.is_whole, asked.is_aborted) == (True, False)

    def test_length_is_held_to(self, ask: Any) -> None:
        """H33: the last part is the one that is too short, trailers or not."""
        headers = [(b"content-length", b"3")]
        application = Trying(start(headers=headers, trailers=True), body(b"Hi"))
        assert ask(application, TE).status == 500
        assert "got only 2" in str(application.errors[1])

    def test_behind_a_file(self, ask: Any, large: Path) -> None:
        """X30, X50: a file may be the body before them."""
        asked = ask(sending(start(trailers=True), pathsend(large), trailers((b"a", b"1"))), TE)
        assert (asked.body, asked.trailers, asked.is_whole) == (LARGE, [(b"a", b"1")], True)


class Files(Rules):
    """ASGI, "Path Send" and "Zero Copy Send"."""

    def test_path(self, ask: Any, large: Path) -> None:
        """X30: the whole file, and its length, which is known before the head is out."""
        application = Trying(start(), pathsend(large))
        asked = ask(application)
        assert application.errors == [None, None]
        assert asked.field(b"content-length") == b"%d" % len(LARGE)
        assert (asked.body, asked.is_whole, asked.is_aborted) == (LARGE, True, False)

    def test_declared_length(self, ask: Any, file: Path) -> None:
        """H33: the application's own Content-Length stays the only one."""
        asked = ask(sending(start(headers=[(b"content-length", b"10")]), pathsend(file)))
        assert asked.fields.count((b"content-length", b"10")) == 1
        assert asked.body == b"0123456789"

    @pytest.mark.parametrize("length", [9, 11])
    def test_other_length(self, ask: Any, file: Path, length: int) -> None:
        """H33: a file that is longer or shorter is an error, and no octet of it is out."""
        before = open_descriptors()
        application = Trying(start(headers=[(b"content-length", b"%d" % length)]), pathsend(file))
        asked = ask(application)
        assert asked.status == 500
        assert f"expected {length} octets" in str(application.errors[1])
        assert open_descriptors() <= before + 3  # the loop's own

    def test_empty(self, ask: Any, tmp_path: Path) -> None:
        """X30: a file may have no octets."""
        (tmp_path / "empty").touch()
        asked = ask(sending(start(), pathsend(tmp_path / "empty")))
        assert (asked.body, asked.is_whole, asked.field(b"content-length")) == (b"", True, b"0")

    def test_relative(self, ask: Any, file: Path, monkeypatch: Any) -> None:
        """Starlette passes on the path that it is given: `FileResponse("page.html")`."""
        monkeypatch.chdir(file.parent)
        assert ask(sending(start(), pathsend("file"))).body == b"0123456789"

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("missing", "No such file"),
            ("folder", "regular file"),
            ("fifo", "regular file"),
            ("nul\0", "null"),
        ],
    )
    def test_no_file(self, ask: Any, tmp_path: Path, name: str, expected: str) -> None:
        """X30, S36: a path that is no regular file is the application's error; nothing is out."""
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        application = Trying(start(), pathsend(tmp_path / name), body(b"instead"))
        asked = ask(application)
        assert isinstance(application.errors[1], ApplicationError)
        assert expected in str(application.errors[1])
        assert (asked.status, asked.body, asked.is_whole) == (200, b"instead", True)

    def test_no_file_unanswered(self, ask: Any, tmp_path: Path) -> None:
        """C12: 500, if the application has nothing to say to it."""
        assert ask(sending(start(), pathsend(tmp_path / "missing"))).status == 500

    @pytest.mark.parametrize("path", [b"/etc/hosts", None, 1])
    def test_type_of_path(self, ask: Any, path: Any) -> None:
        """C10: a str."""
        application = Trying(start(), {"type": "http.response.pathsend", "path": path})
        ask(application)
        assert "expected str as path" in str(application.errors[1])

    @pytest.mark.parametrize(
        ("before", "expected"),
        [([], "http.response.start first"), ([start(), body(b"a", True)], "out already")],
    )
    def test_alone(self, ask: Any, file: Path, before: Any, expected: str) -> None:
        """X30: after the start, and never mixed with a body."""
        application = Trying(*before, pathsend(file))
        ask(application)
        assert expected in str(application.errors[-1])

    def test_ends_the_response(self, ask: Any, file: Path) -> None:
        """X30, H26: what follows is ignored."""
        application = Trying(start(), pathsend(file), body(b"more"), pathsend(file))
        asked = ask(application)
        assert application.errors == [None] * 4
        assert asked.body == b"0123456789"

    @pytest.mark.parametrize(
        ("method", "status", "length"),
        [(b"HEAD", 200, b"10"), (b"GET", 204, None), (b"GET", 304, None)],
    )
    def test_no_body(
        self, ask: Any, file: Path, method: bytes, status: int, length: bytes | None
    ) -> None:
        """H32: HEAD has the length that GET would have; no octet of the file goes out."""
        asked = ask(sending(start(status), pathsend(file)), [], method)
        assert (asked.status, asked.body, asked.is_whole) == (status, b"", True)
        assert asked.field(b"content-length") == length

    def test_descriptors_are_closed(self, ask: Any, large: Path) -> None:
        """X30: the server opens the file, and closes it."""
        counts = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            counts.append(open_descriptors())
            await send(start())
            await send(pathsend(large))
            counts.append(open_descriptors())

        assert ask(application).body == LARGE
        assert counts[1] == counts[0]

    @pytest.mark.parametrize("size", [0, 300_000])
    def test_shrinks(self, serve: Serve, large: Path, size: int) -> None:
        """H33: a file cut while it is sent: never fewer octets than declared as if whole."""
        asked = self.slow(serve, application := Trying(start(), pathsend(large)))
        os.truncate(large, size)
        asked.reads_on()
        asked.finish()
        assert "became shorter" in str(application.errors[1])
        assert (asked.is_whole, asked.is_aborted) == (False, True)
        assert asked.field(b"content-length") == b"%d" % len(LARGE)

    @pytest.mark.parametrize("how", ["shrinks", "cancelled"])
    def test_cut_at_once(self, serve: Serve, large: Path, how: str) -> None:
        """H33: the peer is told when nothing can make it whole, not when the application ends."""
        sends: list[asyncio.Task[None]] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            sends.append(asyncio.ensure_future(send(pathsend(large))))
            await asyncio.wait(sends)
            await asyncio.Event().wait()

        asked = self.slow(serve, application)
        if how == "shrinks":
            os.truncate(large, 300_000)
            asked.reads_on()
        else:
            sends[0].cancel()
        needed.until(lambda: (asked.memory.settle(), sends[0].done())[1])
        assert (asked.is_whole, asked.is_aborted) == (False, True)
        assert len(asked.memory.server.instances) == 1
        assert sends[0].cancelled() is (how == "cancelled")
        assert how == "cancelled" or isinstance(sends[0].exception(), ApplicationError)

    def test_grows(self, serve: Serve, large: Path) -> None:
        """H33: what is appended while it is sent does not belong to it."""
        asked = self.slow(serve, sending(start(), pathsend(large)))
        with large.open("ab") as appending:
            appending.write(b"more")
        asked.reads_on()
        asked.finish()
        assert (asked.body, asked.is_whole) == (LARGE, True)

    def test_back_pressure(self, serve: Serve, large: Path) -> None:
        """C09, K4: no more of a file is in memory than one read and what the transport holds."""
        application = Trying(start(), pathsend(large))
        asked = self.slow(serve, application)
        for _ in range(5):
            asked.memory.settle()
        assert len(asked.body) <= 300_000
        assert application.errors == [None]
        asked.reads_on()
        asked.finish()
        assert (asked.body, application.errors) == (LARGE, [None, None])

    def test_write_timeout(self, serve: Serve, large: Path) -> None:
        """Every wait has a deadline: a peer that does not read loses the stream."""
        application = Trying(start(), pathsend(large))
        asked = self.slow(serve, application, write_timeout=5)
        asked.memory.passes(4)
        assert application.errors == [None]
        asked.memory.passes(2)
        asked.finish()
        assert len(application.errors) == 2  # no error: it cannot know yet (see server.Leaving)
        assert not asked.is_whole

    def test_peer_goes(self, serve: Serve, large: Path) -> None:
        """H30: `send` waits no longer when the connection is lost; the file is closed."""
        before = open_descriptors()
        application = Trying(start(), pathsend(large))
        asked = self.slow(serve, application)
        asked.wire.vanishes()
        needed.until(lambda: (asked.memory.settle(), len(application.errors) == 2)[1])
        assert asked.memory.server.instances == {}
        assert open_descriptors() <= before + 3  # the loop's own

    def test_one_at_a_time(self, serve: Serve, large: Path) -> None:
        """Another task's part waits for the end of a file that is on its way."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with large.open("rb") as opened:
                await send(start())
                await asyncio.gather(
                    send(zerocopysend(opened, more_body=True)), send(body(b"the end"))
                )

        asked = self.client(serve(application)).asks()
        asked.finish()
        assert (asked.body, asked.is_whole) == (LARGE + b"the end", True)

    def test_cancelled(self, serve: Serve, large: Path) -> None:
        """C12: an application that is cancelled inside of a file has cut its answer short."""
        asked = self.slow(serve, sending(start(), pathsend(large)))
        (task,) = asked.memory.server.instances.values()
        task.cancel()
        asked.finish()
        assert (asked.is_whole, asked.is_aborted) == (False, True)

    # An open file.

    def test_open_file_among_bodies(self, ask: Any, file: Path) -> None:
        """X20, X21: mixed with bodies, and several times; the file stays open."""
        with file.open("rb") as opened:
            parts = [
                zerocopysend(opened, count=2, more_body=True),
                body(b"--", True),
                zerocopysend(opened.fileno(), offset=7, count=2, more_body=True),
                zerocopysend(opened, count=3),
            ]
            application = Trying(start(), *parts, body(b"late"))
            asked = ask(application)
            assert application.errors == [None] * 6
            # X20: without an offset from where the file stands, which an offset does not move.
            assert (asked.body, asked.is_whole) == (b"01--78234", True)
            assert os.lseek(opened.fileno(), 0, os.SEEK_CUR) == 5  # X21: and it is open

    def test_whole_open_file(self, ask: Any, large: Path) -> None:
        """X20: without a count to its end; the length is known, as for a path."""
        with large.open("rb") as opened:
            asked = ask(sending(start(), zerocopysend(opened, offset=5)))
        assert asked.body == LARGE[5:]
        assert asked.field(b"content-length") == b"%d" % (len(LARGE) - 5)

    @pytest.mark.parametrize(
        ("offset", "count", "expected"),
        [
            (0, 0, b""),
            (10, None, b""),
            (11, 5, b""),
            (8, 5, b"89"),
            (8, 1, b"8"),
            (0, 10, b"0123456789"),
        ],
    )
    def test_stretches(
        self, ask: Any, file: Path, offset: int, count: int | None, expected: bytes
    ) -> None:
        """X20: the range may end before or after the file's end; `count` is the maximum."""
        with file.open("rb") as opened:
            asked = ask(sending(start(), zerocopysend(opened, offset=offset, count=count)))
        assert (asked.body, asked.is_whole) == (expected, True)

    @pytest.mark.parametrize(
        "wrong",
        [{"offset": -1}, {"count": -1}, {"offset": "1"}, {"count": 1.5}, {"file": "x"},
         {"file": None}, {"file": 999_999}],
    )  # fmt: skip
    def test_wrong_arguments(self, ask: Any, file: Path, wrong: Any) -> None:
        """C10: told at once; nothing is out."""
        with file.open("rb") as opened:
            application = Trying(start(), zerocopysend(opened) | wrong, body(b"instead"))
            asked = ask(application)
        assert isinstance(application.errors[1], ApplicationError)
        assert str(application.errors[1]).startswith("http.response.zerocopysend: ")
        assert (asked.body, asked.is_whole) == (b"instead", True)

    def test_pipe(self, ask: Any) -> None:
        """X20: os.sendfile wants a regular file, and a pipe would be waited for."""
        reading, writing = os.pipe()
        try:
            application = Trying(start(), zerocopysend(reading))
            ask(application)
        finally:
            os.close(reading)
            os.close(writing)
        assert "regular file" in str(application.errors[1])

    def test_length_of_parts(self, ask: Any, file: Path) -> None:
        """H33: parts of files count as parts of bodies do."""
        with file.open("rb") as opened:
            messages = [zerocopysend(opened, more_body=True), zerocopysend(opened, offset=0)]
            application = Trying(start(headers=[(b"content-length", b"12")]), *messages)
            asked = ask(application)
        assert "expected 12 octets as Content-Length says, got 20" in str(application.errors[2])
        assert (asked.body, asked.is_whole, asked.is_aborted) == (b"0123456789", False, True)

    # A peer that reads a part of it.

    def slow(self, serve: Serve, application: Any, **settings: Any) -> Asked:
        """Ask, and read no more than a part of the answer."""
        client = self.client(serve(application, **settings))
        client.reads_part(100_000)
        return client.asks()


SPOILING: list[Callable[[dict[str, Any]], Any]] = [
    lambda extension: extension.__setitem__("spoilt", True),
    lambda extension: extension.__delitem__("spoilt"),
    lambda extension: extension.__ior__({"spoilt": True}),
    lambda extension: extension.update(spoilt=True),
    lambda extension: extension.setdefault("spoilt", True),
    lambda extension: extension.clear(),
    lambda extension: extension.pop("spoilt", None),
    lambda extension: extension.popitem(),
]
"""All ways to change a dict."""


class Scopes(Rules):
    """ASGI, "Extensions"."""

    extensions = EXTENSIONS

    def test_advertised(self, serve: Serve) -> None:
        """C15, C18: a dict for each, and no request can spoil them for another."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(copy.deepcopy(scope["extensions"]))
            for extension in scope["extensions"].values():
                for spoil in SPOILING:
                    with pytest.raises(TypeError):
                        spoil(extension)
            scope["extensions"].clear()
            await send(start())
            await send(body())

        memory = serve(application)
        for _ in range(2):
            asked = self.client(memory).asks()
            asked.finish()
            assert asked.status == 200  # all of them were refused
        assert scopes == [self.extensions, self.extensions]
        assert all(isinstance(extension, dict) for extension in scopes[0].values())

    @pytest.mark.parametrize("secure", [False, True])
    def test_copies(self, serve: Serve, secure: bool) -> None:
        """C07, C18: a scope can be copied and pickled, and each copy belongs to its maker."""
        made: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            copies = [copy.deepcopy(scope), pickle.loads(pickle.dumps(scope))]
            copies.append({**scope, "extensions": dict(scope["extensions"])})
            for extensions in (one["extensions"] for one in copies):
                for name in extensions:
                    extensions[name] = copy.copy(extensions[name])
            made.append([one == scope for one in copies])
            for one in copies:
                for extension in one["extensions"].values():
                    extension["own"] = True
                    extension.clear()
            made.append(copy.deepcopy(scope["extensions"]))
            await send(start())
            await send(body())

        memory = serve(application)
        for _ in range(2):
            client = self.client(memory)
            if secure:
                alsoProvides(client.wire, ISSLTransport, ISystemHandle)
                client.wire.getHandle = object  # type: ignore[attr-defined] # TLS that tells nothing
            asked = client.asks()
            asked.finish()
            assert asked.status == 200
        assert made[0] == made[2] == [True] * 3
        assert made[1] == made[3]
        assert ("tls" in made[1], set(self.extensions) <= set(made[1])) == (secure, True)

    def test_unknown(self, ask: Any) -> None:
        """C10, X60: an event that is not advertised is refused, so is http.response.debug."""
        messages: list[Any] = [{"type": kind} for kind in ("http.response.debug", 1, ["a"], None)]
        application = Trying(start(), *messages, body())
        asked = ask(application)
        assert [type(error) for error in application.errors[1:-1]] == [ApplicationError] * 4
        assert asked.is_whole


class OnHTTP1:
    client = HTTP1Client


class OnHTTP2:
    client = HTTP2Client


class TestEarlyHintsOnHTTP1(OnHTTP1, EarlyHints):
    def test_http_10(self, serve: Serve) -> None:
        """RFC 9110, 15.2: never to a client of HTTP/1.0."""
        application = Trying(hint(b"</a>"), start(), hint(b"</a>"), body(b"Hi"))
        octets = serve(application).connect().sends(GET_10).take()
        assert application.errors == [None] * 4
        assert octets.startswith(b"HTTP/1.1 200 OK\r\n")
        assert octets.count(b"HTTP/1.1") == 1

    def test_in_its_turn(self, serve: Serve) -> None:
        """RFC 9112, 9.3.2: behind the answers to the requests before it."""
        application = sending(hint(b"</a>"), start(), body(b"Hi"))
        octets = serve(application).connect().gets(2 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").take()
        statuses = [part[1:4] for part in octets.split(b"HTTP/1.1")[1:]]
        assert statuses == [b"103", b"200"] * 2


class TestEarlyHintsOnHTTP2(OnHTTP2, EarlyHints):
    pass


class TestTrailersOnHTTP1(OnHTTP1, Trailers):
    @pytest.mark.parametrize(
        ("te", "sent"),
        [
            (b"trailers", True),
            (b"deflate;q=0.5, Trailers", True),
            (b"gzip ,\ttrailers;q=1, deflate", True),
            (b"trailers-not", False),
            (b"deflate", False),
            (b"", False),
        ],
    )
    def test_te(self, ask: Any, te: bytes, sent: bool) -> None:
        """X51; RFC 9110, 10.1.4: a member of the list, whatever its weight or case."""
        messages = [start(trailers=True), body(b"a"), trailers((b"a", b"1"))]
        asked = ask(sending(*messages), [(b"TE", te)])
        assert (asked.trailers is not None) is sent

    def test_second_field(self, ask: Any) -> None:
        """RFC 9110, 5.3: a list may stand in several fields."""
        messages = [start(trailers=True), body(b"a"), trailers((b"a", b"1"))]
        asked = ask(sending(*messages), [(b"TE", b"deflate"), (b"TE", b"trailers")])
        assert asked.trailers == [(b"a", b"1")]

    def test_declared_length(self, ask: Any) -> None:
        """RFC 9112, 6.2: a body that is counted has no room for trailers: they are dropped."""
        headers = [(b"content-length", b"2")]
        messages = [start(headers=headers, trailers=True), body(b"Hi"), trailers((b"a", b"1"))]
        asked = ask(application := Trying(*messages), TE)
        assert application.errors == [None] * 3
        assert (asked.body, asked.trailers, asked.is_whole) == (b"Hi", None, True)
        assert not asked.wire.closing

    def test_http_10(self, serve: Serve) -> None:
        """K9: HTTP/1.0 has no chunks, so no trailers."""
        application = Trying(start(trailers=True), body(b"Hi"), trailers((b"a", b"1")))
        request = b"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n"
        octets = serve(application).connect().sends(request).take()
        assert application.errors == [None] * 3
        assert octets.endswith(b"\r\n\r\nHi")

    def test_connection_is_kept(self, serve: Serve) -> None:
        """RFC 9112, 9.3: the next request is answered behind them, octet for octet."""
        messages = [start(trailers=True), body(b"Hi"), trailers((b"A", b"1"))]
        request = b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n"
        octets = serve(sending(*messages)).connect().gets(request, request).take()
        bodies = [part.partition(b"\r\n\r\n")[2] for part in octets.split(b"HTTP/1.1")[1:]]
        assert bodies == [b"2\r\nHi\r\n0\r\nA: 1\r\n\r\n"] * 2


class TestTrailersOnHTTP2(OnHTTP2, Trailers):
    def test_declared_length(self, ask: Any) -> None:
        """RFC 9113, 8.1: a field section follows a body of any length."""
        headers = [(b"content-length", b"2")]
        messages = [start(headers=headers, trailers=True), body(b"Hi"), trailers((b"a", b"1"))]
        assert ask(sending(*messages), TE).trailers == [(b"a", b"1")]


class TestFilesOnHTTP1(OnHTTP1, Files):
    def test_chunks(self, serve: Serve, file: Path) -> None:
        """RFC 9112, 7.1: where the length is not known a file is one chunk."""
        with file.open("rb") as opened:
            messages = [zerocopysend(opened, more_body=True), zerocopysend(opened, offset=8)]
            wire = serve(sending(start(), *messages)).connect()
            octets = wire.sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").take()
        assert octets.partition(b"\r\n\r\n")[2] == (
            b"a\r\n0123456789\r\n" + b"2\r\n89\r\n" + b"0\r\n\r\n"
        )

    def test_connection_is_kept(self, serve: Serve, file: Path) -> None:
        """RFC 9112, 9.3: a second request behind a file."""
        wire = serve(sending(start(), pathsend(file))).connect()
        octets = wire.gets(2 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").take()
        assert octets.count(b"\r\n\r\n0123456789") == 2
        assert not wire.closing

    def test_http_10(self, serve: Serve, file: Path) -> None:
        """K9: the length is known, so the end is not the connection's."""
        octets = serve(sending(start(), pathsend(file))).connect().sends(GET_10).take()
        assert b"\r\nContent-Length: 10\r\n" in octets
        assert octets.endswith(b"\r\n\r\n0123456789")


class TestFilesOnHTTP2(OnHTTP2, Files):
    pass


class TestScopesOnHTTP1(OnHTTP1, Scopes):
    pass


class TestScopesOnHTTP2(Scopes):
    client = PushedHTTP2Client
    extensions = {**EXTENSIONS, "http.response.push": {}}
