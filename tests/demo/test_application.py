"""The demo application by itself, driven in memory with a hand-made receive and send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from daphne_like.demo import application
from daphne_like.demo.upload import MAX_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Play = Callable[[Coroutine[Any, Any, Any]], Any]

EMPTY_REQUEST = {"type": "http.request", "body": b"", "more_body": False}


def http_scope(method: str, path: str, **more: Any) -> Any:
    """An HTTP scope as small as ASGI lets a server make it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "headers": [],
        **more,
    }


class Connection:
    """Hands out the given events, then waits: until the peer leaves, or for ever."""

    def __init__(self, *events: Any, leaves_at: float | None = None) -> None:
        self._events = list(events)
        self._leaves_at = leaves_at
        self.sent: list[Any] = []
        self.times: list[float] = []

    async def receive(self) -> Any:
        if self._events:
            return self._events.pop(0)
        loop = asyncio.get_running_loop()
        if self._leaves_at is None:
            await loop.create_future()
        else:
            await asyncio.sleep(self._leaves_at - loop.time())
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        self.sent.append(event)
        self.times.append(asyncio.get_running_loop().time())

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def chunks(self) -> list[bytes]:
        return [event["body"] for event in self.sent[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def is_complete(self) -> bool:
        *before, last = (event["more_body"] for event in self.sent[1:])
        return all(before) and not last


def ask(play: Play, method: str, path: str, *events: Any, **more: Any) -> Connection:
    """One whole request."""
    connection = Connection(*(events or [EMPTY_REQUEST]))
    play(application(http_scope(method, path, **more), connection.receive, connection.send))
    return connection


class Markup(HTMLParser):
    """What a policy has to judge: the text of inline elements, and all attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inline: dict[str, str] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self._element = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._element = tag
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self._element = ""

    def handle_data(self, data: str) -> None:
        self.inline[self._element] = self.inline.get(self._element, "") + data


class TestPage:
    """GET and HEAD of the page itself."""

    def test_get_is_answered_with_the_page(self, play: Play) -> None:
        """GET / is an HTML page, sent whole with its length."""
        connection = ask(play, "GET", "/")
        assert (connection.status, connection.is_complete) == (200, True)
        assert connection.fields[b"content-type"] == b"text/html; charset=utf-8"
        assert connection.fields[b"content-length"] == str(len(connection.body)).encode()
        assert connection.body.startswith(b"<!doctype html>")

    def test_head_has_the_head_of_get_and_no_body(self, play: Play) -> None:
        """RFC 9110, 9.3.2: HEAD is GET without the content, its Content-Length included."""
        head, get = ask(play, "HEAD", "/"), ask(play, "GET", "/")
        assert head.sent[0] == get.sent[0]
        assert (head.body, head.is_complete) == (b"", True)

    @pytest.mark.parametrize("tag", ["script", "style"])
    def test_policy_lets_in_what_is_inline_by_its_hash(self, play: Play, tag: str) -> None:
        """Each inline element is named in the Content-Security-Policy by its SHA-256."""
        connection = ask(play, "GET", "/")
        text = Markup(connection.body.decode()).inline[tag]
        source = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        policy = connection.fields[b"content-security-policy"].decode()
        assert f"{tag}-src 'sha256-{source}';" in policy

    def test_page_is_isolated(self, play: Play) -> None:
        """HTML Standard, 7.1.4: with these two fields a page may measure finer than others."""
        fields = ask(play, "GET", "/").fields
        assert fields[b"cross-origin-opener-policy"] == b"same-origin"
        assert fields[b"cross-origin-embedder-policy"] == b"require-corp"

    def test_policy_is_strict(self, play: Play) -> None:
        """Nothing is allowed by default, and nothing unsafe at all."""
        policy = ask(play, "GET", "/").fields[b"content-security-policy"]
        assert policy.startswith(b"default-src 'none'; ")
        assert b"unsafe" not in policy

    def test_page_has_no_outside_resources(self, play: Play) -> None:
        """The page is one file: what it refers to is in it or in the URL itself."""
        page = ask(play, "GET", "/").body.decode()
        attributes = Markup(page).attributes
        references = [value or "" for name, value in attributes if name in {"src", "href"}]
        assert [url for url in references if not url.startswith(("#", "data:"))] == []
        assert re.findall(r"url\(|@import|import\(|https?://(?!www\.w3\.org/2000/svg)", page) == []

    def test_page_has_no_attribute_that_runs_or_styles(self, play: Play) -> None:
        """The policy would refuse event-handler and style attributes, so there are none."""
        attributes = Markup(ask(play, "GET", "/").body.decode()).attributes
        assert [name for name, _ in attributes if name.startswith("on") or name == "style"] == []

    def test_page_never_makes_markup_of_data(self, play: Play) -> None:
        """The script has no way to turn text into markup or code."""
        page = ask(play, "GET", "/").body
        ways = rb"(?i)innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\("
        assert re.findall(ways, page) == []


class TestScope:
    """GET /scope."""

    def test_whole_scope_comes_back(self, play: Play) -> None:
        """All that the server told about the request is in the answer, fields in their order."""
        told = {
            "scheme": "https",
            "raw_path": b"/scope",
            "query_string": b"a=%C3%BC&b",
            "root_path": "",
            "headers": [(b"x-twice", b"1"), (b"host", b"example.org"), (b"x-twice", b"2")],
            "client": ("192.0.2.7", 40000),
            "server": ("198.51.100.1", 443),
            "extensions": {"tls": {}, "http.response.trailers": {}},
        }
        connection = ask(play, "GET", "/scope", **told)
        assert (connection.status, connection.fields[b"content-type"]) == (200, b"application/json")
        assert json.loads(connection.body) == {
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/scope",
            "raw_path": "/scope",
            "query_string": "a=%C3%BC&b",
            "root_path": "",
            "headers": [["x-twice", "1"], ["host", "example.org"], ["x-twice", "2"]],
            "client": ["192.0.2.7", 40000],
            "server": ["198.51.100.1", 443],
            "extensions": ["http.response.trailers", "tls"],
        }

    def test_absent_keys_are_their_defaults(self, play: Play) -> None:
        """H04, H06-H08, H12, H13: a server may leave these keys out."""
        shown = json.loads(ask(play, "GET", "/scope").body)
        keys = ["scheme", "raw_path", "query_string", "root_path", "client", "server", "extensions"]
        assert [shown[key] for key in keys] == ["http", None, "", "", None, None, []]

    def test_any_octet_of_a_field_comes_back(self, play: Play) -> None:
        """A field value that is no UTF-8 comes back octet for octet."""
        octets = bytes(range(256))
        shown = json.loads(ask(play, "GET", "/scope", headers=[(b"x", octets)]).body)
        assert shown["headers"][0][1].encode("latin-1") == octets

    def test_lone_surrogate_does_no_harm(self, play: Play) -> None:
        """A server that decodes with surrogateescape hands out text that UTF-8 cannot carry."""
        shown = json.loads(ask(play, "GET", "/x\udcff/scope", root_path="/x\udcff").body)
        assert shown["root_path"] == "/x\udcff"

    def test_state_is_not_shown(self, play: Play) -> None:
        """What an application keeps in `state` is nobody else's business."""
        assert b"secret" not in ask(play, "GET", "/scope", state={"key": "secret"}).body

    def test_head_has_no_body(self, play: Play) -> None:
        """RFC 9110, 9.3.2: HEAD is answered with the length alone."""
        connection = ask(play, "HEAD", "/scope")
        assert (connection.status, connection.body) == (200, b"")
        assert int(connection.fields[b"content-length"]) > 0


class TestStream:
    """GET /stream."""

    def test_each_piece_is_an_event_of_its_own(self, play: Play) -> None:
        """Forty pieces, numbered, each sent by itself, the last one ending the answer."""
        connection = ask(play, "GET", "/stream")
        pieces = [json.loads(chunk) for chunk in connection.chunks]
        assert [(piece["n"], piece["of"]) for piece in pieces] == [(n, 40) for n in range(1, 41)]
        assert connection.is_complete

    def test_pieces_are_60_ms_apart(self, play: Play) -> None:
        """The first piece goes out with the head, each other one 60 ms after the one before."""
        connection = ask(play, "GET", "/stream")
        assert connection.times[1:] == pytest.approx([0.06 * index for index in range(40)])

    def test_stream_stops_when_the_peer_leaves(self, play: Play) -> None:
        """No piece is sent after http.disconnect, and the application returns at that moment."""
        connection = Connection(EMPTY_REQUEST, leaves_at=0.1)

        async def main() -> float:
            await application(http_scope("GET", "/stream"), connection.receive, connection.send)
            return asyncio.get_running_loop().time()

        assert play(main()) == pytest.approx(0.1)
        assert len(connection.chunks) == 2

    def test_request_body_is_dropped(self, play: Play) -> None:
        """A body that nobody asked for is read and does not end the stream."""
        part = {"type": "http.request", "body": b"x" * 1000, "more_body": True}
        assert ask(play, "GET", "/stream", part, part, EMPTY_REQUEST).is_complete

    def test_failing_send_ends_the_watch(self, play: Play) -> None:
        """H30: an OSError out of `send` comes back to the server, and no task is left."""

        async def send(event: Any) -> None:
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            play(application(http_scope("GET", "/stream"), Connection().receive, send))

    def test_failing_receive_is_not_swallowed(self, play: Play) -> None:
        """What `receive` raises comes back to the server."""

        async def receive() -> Any:
            raise RuntimeError("receive is broken")

        with pytest.raises(RuntimeError, match="receive is broken"):
            play(application(http_scope("GET", "/stream"), receive, Connection().send))


class TestUpload:
    """POST /upload."""

    @pytest.mark.parametrize("size", [1, 7, 1000, 5000])
    def test_body_is_counted_however_it_is_cut(self, play: Play, size: int) -> None:
        """Octets, chunks and digest are those of the body as it came."""
        body = bytes(range(250)) * 4
        cuts = [body[at : at + size] for at in range(0, len(body), size)]
        events = [{"type": "http.request", "body": cut, "more_body": True} for cut in cuts]
        connection = ask(play, "POST", "/upload", *events, EMPTY_REQUEST)
        tally = json.loads(connection.body)
        samples = tally.pop("samples")
        assert tally == {
            "bytes": 1000,
            "chunks": len(cuts),
            "largest_chunk": min(size, 1000),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        assert samples == sorted(samples)

    def test_empty_body_is_no_chunk(self, play: Play) -> None:
        """A request without a body is answered with zeros and the digest of nothing."""
        assert json.loads(ask(play, "POST", "/upload").body) == {
            "bytes": 0,
            "chunks": 0,
            "largest_chunk": 0,
            "sha256": hashlib.sha256(b"").hexdigest(),
            "samples": [],
        }

    def test_absent_keys_are_their_defaults(self, play: Play) -> None:
        """H17: `body` and `more_body` may be left out."""
        assert ask(play, "POST", "/upload", {"type": "http.request"}).status == 200

    @pytest.mark.parametrize("chunks", [MAX_SAMPLES, MAX_SAMPLES + 1, 10_000])
    def test_curve_is_bounded(self, play: Play, chunks: int) -> None:
        """However many chunks there are, the answer has at most MAX_SAMPLES points of them."""
        part = {"type": "http.request", "body": b"x", "more_body": True}
        connection = ask(play, "POST", "/upload", *[part] * chunks, EMPTY_REQUEST)
        tally = json.loads(connection.body)
        assert tally["chunks"] == chunks
        assert MAX_SAMPLES // 2 <= len(tally["samples"]) <= MAX_SAMPLES

    def test_broken_off_body_gets_no_answer(self, play: Play) -> None:
        """http.disconnect before the end of the body: nobody is there to be answered."""
        part = {"type": "http.request", "body": b"x", "more_body": True}
        assert ask(play, "POST", "/upload", part, {"type": "http.disconnect"}).sent == []


class TestEvents:
    """GET /events (HTML Standard, 9.2, server-sent events)."""

    def numbers(self, connection: Connection) -> list[int]:
        return [int(text) for text in re.findall(rb"(?m)^id: (\d+)$", connection.body)]

    def test_event_has_an_id_and_a_line_of_json(self, play: Play) -> None:
        """Each event is one chunk: id, data, an empty line."""
        event = ask(play, "GET", "/events").chunks[1]
        assert re.fullmatch(rb'id: 1\ndata: {"n": 1, "late_ms": \d+\.\d+}\n\n', event)

    def test_answer_is_an_event_stream_that_tells_when_to_come_back(self, play: Play) -> None:
        """The type is text/event-stream, and the first line asks for a return after a second."""
        connection = ask(play, "GET", "/events")
        assert connection.fields[b"content-type"] == b"text/event-stream"
        assert connection.chunks[0] == b"retry: 1000\n\n"

    def test_one_event_a_second_the_first_at_once(self, play: Play) -> None:
        """Twelve events, a second apart; then the answer ends."""
        connection = ask(play, "GET", "/events")
        assert self.numbers(connection) == list(range(1, 13))
        assert connection.times[2:] == pytest.approx([float(second) for second in range(12)])
        assert connection.is_complete

    def test_returning_peer_goes_on_where_it_was(self, play: Play) -> None:
        """After Last-Event-ID: 41 comes event 42."""
        connection = ask(play, "GET", "/events", headers=[(b"last-event-id", b"41")])
        assert self.numbers(connection)[0] == 42

    def test_reader_who_resumes_goes_on_where_they_were(self, play: Play) -> None:
        """A page cannot set Last-Event-ID, so `after` in the query says the same."""
        connection = ask(play, "GET", "/events", query_string=b"after=41")
        assert self.numbers(connection)[0] == 42

    def test_field_comes_before_query(self, play: Play) -> None:
        """The browser comes back to the same URL: its Last-Event-ID is the newer of the two."""
        fields = [(b"last-event-id", b"50")]
        connection = ask(play, "GET", "/events", headers=fields, query_string=b"after=41")
        assert self.numbers(connection)[0] == 51

    @pytest.mark.parametrize(
        "told", [b"", b"-1", b"1e3", b"9" * 16, b"\xb2", b"1\ndata: x", b"<b>", b"9" * 100_000]
    )
    def test_what_is_no_number_is_as_if_not_sent(self, play: Play, told: bytes) -> None:
        """A made-up Last-Event-ID neither fails nor shows in the answer."""
        connection = ask(play, "GET", "/events", headers=[(b"last-event-id", told)])
        assert self.numbers(connection) == list(range(1, 13))

    def test_largest_number_is_taken(self, play: Play) -> None:
        """Fifteen digits are still exact in JavaScript."""
        connection = ask(play, "GET", "/events", headers=[(b"last-event-id", b"9" * 15)])
        assert self.numbers(connection)[0] == 10**15

    def test_events_end_at_once_when_the_peer_leaves(self, play: Play) -> None:
        """http.disconnect ends the application in the middle of its pause."""
        connection = Connection(EMPTY_REQUEST, leaves_at=2.5)

        async def main() -> float:
            await application(http_scope("GET", "/events"), connection.receive, connection.send)
            return asyncio.get_running_loop().time()

        assert play(main()) == pytest.approx(2.5)
        assert self.numbers(connection) == [1, 2, 3]

    def test_cancelled_application_leaves_nothing_behind(self, play: Play) -> None:
        """A server that cancels the instance finds no task of it afterwards."""
        connection = Connection(EMPTY_REQUEST)

        async def main() -> None:
            await asyncio.wait_for(
                application(http_scope("GET", "/events"), connection.receive, connection.send), 0.5
            )

        with pytest.raises(asyncio.TimeoutError):
            play(main())


class TestRouting:
    """Paths and methods."""

    @pytest.mark.parametrize("path", ["", "/nothing", "/scope/", "//", "/Scope", "/\ufffd\x00<b>"])
    def test_unknown_path_is_not_found(self, play: Play, path: str) -> None:
        """404 as plain text, in which nothing of the path comes back."""
        connection = ask(play, "GET", path)
        assert (connection.status, connection.is_complete) == (404, True)
        assert connection.fields[b"content-type"] == b"text/plain; charset=utf-8"
        assert connection.body == b"There is nothing at this path.\n"

    @pytest.mark.parametrize(
        ("path", "allow"),
        [
            ("/", b"GET, HEAD"),
            ("/scope", b"GET, HEAD"),
            ("/stream", b"GET"),
            ("/upload", b"POST"),
            ("/events", b"GET"),
        ],
    )
    def test_other_method_is_not_allowed(self, play: Play, path: str, allow: bytes) -> None:
        """RFC 9110, 15.5.6: 405 names the methods that are."""
        connection = ask(play, "DELETE", path)
        assert (connection.status, connection.fields[b"allow"]) == (405, allow)

    @pytest.mark.parametrize("path", ["/nothing", "/upload"])
    def test_refusal_of_head_has_no_body(self, play: Play, path: str) -> None:
        """RFC 9110, 9.3.2: the answer to HEAD has no content, whatever its status."""
        assert ask(play, "HEAD", path).body == b""

    @pytest.mark.parametrize("path", ["/demo/scope", "/scope"])
    def test_demo_may_be_mounted(self, play: Play, path: str) -> None:
        """H08: servers put root_path into path, or leave it out."""
        assert ask(play, "GET", path, root_path="/demo").status == 200

    @pytest.mark.parametrize("path", ["/", "/scope", "/stream", "/events", "/nothing"])
    def test_every_answer_is_fresh_and_keeps_its_type(self, play: Play, path: str) -> None:
        """No answer is stored, sniffed for another type, or free of a policy."""
        fields = ask(play, "GET", path).fields
        assert (fields[b"cache-control"], fields[b"x-content-type-options"]) == (
            b"no-store",
            b"nosniff",
        )
        assert fields[b"content-security-policy"].startswith(b"default-src 'none'")


class TestOtherScopes:
    """Scope types other than http."""

    def test_lifespan_is_attended_to_its_end(self, play: Play) -> None:
        """L06, L09: startup and shutdown are acknowledged, then the application returns."""
        connection = Connection({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}}
        play(application(scope, connection.receive, connection.send))
        assert connection.sent == [
            {"type": "lifespan.startup.complete"},
            {"type": "lifespan.shutdown.complete"},
        ]

    def test_unknown_scope_is_an_exception(self, play: Play) -> None:
        """asgi.rst: an application must raise for a scope type that it does not know."""
        scope: Any = {"type": "quic"}
        with pytest.raises(ValueError, match="expected http, websocket or lifespan, got 'quic'"):
            play(application(scope, Connection().receive, Connection().send))
