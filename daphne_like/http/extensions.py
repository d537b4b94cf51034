"""ASGI's response extensions: early hints, files, server push, trailers (ASGI's extensions.rst)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from daphne_like.asgi.response_fields import DATE, PLAIN, SERVER, to_field_line
from daphne_like.exceptions import ApplicationError
from daphne_like.http.exchange import BODILESS, Carrier, Exchange
from daphne_like.http.fields import Fields
from daphne_like.http.file_range import FileRange, find_descriptor, open_file
from daphne_like.http.response_state import (
    AWAITING_START,
    AWAITING_TRAILERS,
    BODY_BLOCKED,
    HEAD_BUFFERED,
    PATHSEND,
    PUSH,
    SENDING_BODY,
    START,
    TRAILERS,
    ZEROCOPYSEND,
    check_message,
)

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

EARLY_HINT = "http.response.early_hint"
EARLY_HINTS = 103


class Supported(dict[str, Any]):
    """The value of an advertised extension in a scope, which is usually empty (ASGI C15).

    One read-only object serves all scopes (C18), because creating four took 3 % of a request. Every
    method that would change it raises TypeError. `copy`, `deepcopy` and pickle return a plain dict,
    which may be changed.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "The value of an extension in a scope is shared by all requests and read-only: "
            "change a copy of it"
        )

    __setitem__ = __delitem__ = __ior__ = update = setdefault = _refuse
    clear = pop = popitem = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


EXTENSIONS: dict[str, dict[str, Any]] = {
    name: Supported() for name in (PATHSEND, ZEROCOPYSEND, EARLY_HINT, TRAILERS)
}
"""The extensions of every scope, to be copied."""
PUSHES = Supported()
"""The value of the push extension, for requests whose client has enabled push."""
NOT_OF_HTTP_10 = (EARLY_HINT, TRAILERS)
"""Extensions that HTTP/1.0 lacks: it has neither 1xx responses nor trailers."""

IN_PATHS = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
"""Characters of a path that are not escaped, including "%" and the "?" of the query."""

NOT_IN_TRAILERS = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"date",
        b"host",
        b"location",
        b"proxy-authenticate",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"upgrade",
        b"vary",
        b"www-authenticate",
    )
)
"""Fields that are not allowed in trailers (RFC 9110, 6.5.1), besides those for framing and
connection."""


class ExtendedCarrier(Carrier, Protocol):
    """The interface of a connection or stream that an extended exchange uses."""

    def write_file(self, exchange: Exchange, file: FileRange, more: bool) -> Awaitable[None]:
        """Write a range of a file as a part of the body, after the head if it is buffered.

        Args:
            exchange: an exchange whose response has a body; the length has been checked.
            file: a range that is not empty; closed at the end, also after an error.
            more: another part of the body, or trailers, follow.
        """

    def write_informational(
        self, exchange: Exchange, status: int, lines: list[bytes]
    ) -> Awaitable[None] | None:
        """Write an informational response (RFC 9110, 15.2), which the peer supports."""

    def write_trailers(self, exchange: Exchange, lines: list[bytes]) -> Awaitable[None] | None:
        """End a response after its complete body, with trailers if the framing allows them."""


class ExtendedExchange(Exchange):
    """An exchange whose application may use the extensions that its scope advertises.

    Attributes:
        pusher: promises a request with a path and fields; None if the peer has disabled push.
    """

    carrier: ExtendedCarrier
    pusher: Callable[[bytes, Fields], Awaitable[None] | None] | None = None

    if TYPE_CHECKING:  # for the type of the carrier alone; a further call would cost time

        def __init__(
            self,
            context: ServerContext,
            carrier: ExtendedCarrier,
            scope: dict[str, Any],
            keep_alive: bool,
        ) -> None: ...

    def take_extension(self, kind: Any, message: dict[str, Any]) -> Awaitable[None] | None:
        """See Exchange."""
        act = ACTS.get(kind) if isinstance(kind, str) else None
        if act is None or (kind == PUSH and self.pusher is None):
            return super().take_extension(kind, message)
        if kind == TRAILERS and self.trailers is None:
            raise ApplicationError(f"{TRAILERS}: expected trailers=True in {START}")
        check_message(kind, self.state)
        return act(self, message)

    # Early hints.

    def early_hint(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Send 103 with links, before the final head is sent, which waits for the body (X40).

        After the final head, and for HTTP/1.0, which has no 1xx, the message is ignored (X41).
        """
        lines = hint_lines(message.get("links"))
        if not lines or self.http_10 or self.state not in (AWAITING_START, HEAD_BUFFERED):
            return None
        return self.carrier.write_informational(self, EARLY_HINTS, lines)

    # Server push.

    def push(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Promise the response to a request that the client has not made (X10, X11).

        This is allowed before the start, too, where Starlette does it: the client then receives the
        promise before the page that refers to the promised path (RFC 9113, 8.4.1).
        """
        assert self.pusher is not None
        return self.pusher(pushed_path(message.get("path")), pushed_fields(message))

    # Trailers.

    def promise_trailers(self) -> None:
        """See Exchange."""
        self.trailers = []

    def end_body_before_trailers(self, body: bytes) -> Awaitable[None] | None:
        """See Exchange; the response is complete only after the trailers (ASGI H27)."""
        if self.content_length is not None and not self.is_bodiless:
            self.check_length(len(body), False)
        write = self.carrier.respond if self.state is HEAD_BUFFERED else self.carrier.write_body
        return self._await_trailers(write(self, body, True))

    def _await_trailers(self, waiting: Awaitable[None] | None) -> Awaitable[None] | None:
        if self.state is BODY_BLOCKED:
            assert waiting is not None
            return self._trailing_after(waiting)
        self.state = AWAITING_TRAILERS
        return waiting

    async def _trailing_after(self, waiting: Awaitable[None]) -> None:
        await waiting
        if self.state is SENDING_BODY:
            self.state = AWAITING_TRAILERS

    def take_trailers(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Take the fields that follow the body, in one message or several (X50)."""
        assert self.trailers is not None
        self.trailers += trailer_lines(message.get("headers", ()))
        if message.get("more_trailers", False):
            return None
        wanted = not self.is_bodiless and asks_for_trailers(self.scope)
        return self.carrier.write_trailers(self, self.trailers if wanted else [])

    # Files.

    def pathsend(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Send a whole file as the whole body (X30).

        A relative path is resolved against the working directory, because Starlette's
        `FileResponse("page.html")` passes the path on unchanged.
        """
        path = message.get("path")
        if not isinstance(path, str):
            raise ApplicationError(f"{PATHSEND}: expected str as path, got {path!r:.80}")
        try:
            part = open_file(path)
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise ApplicationError(f"{PATHSEND}: {path!r:.200}: {reason}") from problem
        return self._send_file(part, False)

    def zerocopysend(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Send a range of an open file as a part of the body (X20, X21).

        Without an offset the range begins at the descriptor's position, which is moved to its end.
        """
        offset, count = message.get("offset"), message.get("count")
        for name, value in (("offset", offset), ("count", count)):
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ApplicationError(
                    f"{ZEROCOPYSEND}: expected an int from 0 on as {name}, got {value!r:.80}"
                )
        try:
            descriptor = find_descriptor(message.get("file"))
            part = FileRange(descriptor, offset, count, owned=False)
        except (OSError, ApplicationError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise ApplicationError(f"{ZEROCOPYSEND}: {reason}") from problem
        end = part.offset + part.remaining
        waiting = self._send_file(part, message.get("more_body", False))
        if offset is None:
            os.lseek(descriptor, end, os.SEEK_SET)
        return waiting

    def _send_file(self, part: FileRange, more: bool) -> Awaitable[None] | None:
        size = part.remaining
        trailing = self.trailers is not None and not more
        bodiless = self.is_bodiless
        try:
            if self.content_length is not None:
                if not bodiless:
                    self.check_length(size, more)
            elif (
                self.state is HEAD_BUFFERED
                and not more
                and not trailing
                and self.status not in BODILESS
            ):
                self.declare_length(size)
        except ApplicationError:
            part.close()
            raise
        if bodiless or not size:
            part.close()
            if trailing:
                return self.end_body_before_trailers(b"")
            write = self.carrier.respond if self.state is HEAD_BUFFERED else self.carrier.write_body
            return write(self, b"", more)
        waiting = self.carrier.write_file(self, part, more or trailing)
        return self._await_trailers(waiting) if trailing else waiting


ACTS: dict[str, Callable[[ExtendedExchange, dict[str, Any]], Awaitable[None] | None]] = {
    EARLY_HINT: ExtendedExchange.early_hint,
    PUSH: ExtendedExchange.push,
    TRAILERS: ExtendedExchange.take_trailers,
    PATHSEND: ExtendedExchange.pathsend,
    ZEROCOPYSEND: ExtendedExchange.zerocopysend,
}


def hint_lines(links: Any) -> list[bytes]:
    """Return a Link field line for each link.

    Raises:
        ApplicationError: a link is not a valid field value, for example with CR or LF (S05).
    """
    if not isinstance(links, Iterable):
        raise ApplicationError(f"{EARLY_HINT}: expected an iterable of links, got {links!r:.80}")
    return [
        to_field_line((b"Link", link), index, EARLY_HINT).octets for index, link in enumerate(links)
    ]


def pushed_path(path: Any) -> bytes:
    """Return the path of a promised request, escaped as a request target; `?` begins a query.

    Raises:
        ApplicationError: the path is not an absolute path.
    """
    if not isinstance(path, str) or path[:1] != "/":
        raise ApplicationError(f"{PUSH}: expected an absolute path as path, got {path!r:.80}")
    try:
        return quote(path, safe=IN_PATHS).encode("ascii")
    except UnicodeEncodeError as error:  # a surrogate
        raise ApplicationError(f"{PUSH}: {path!r:.80} is no text") from error


def pushed_fields(message: dict[str, Any]) -> Fields:
    """Return the fields of a promised request.

    Raises:
        ApplicationError: an entry is not a field, not in lower case, a pseudo-header field, or a
            framing field.
    """
    headers = message.get("headers", ())
    if not isinstance(headers, Iterable):
        raise ApplicationError(f"{PUSH}: expected an iterable of headers, got {headers!r:.80}")
    fields = []
    for index, pair in enumerate(headers):
        line = to_field_line(pair, index, PUSH)
        name, _, value = line.octets[:-2].partition(b": ")
        if name != name.lower():
            raise ApplicationError(
                f"{PUSH}: expected lower case as name of header {index}, got {name!r:.80}"
            )
        if line.kind not in (PLAIN, DATE, SERVER):
            raise ApplicationError(f"{PUSH}: {name.decode()} is no field for a promise")
        fields.append((name, value))
    return fields


def trailer_lines(headers: Any) -> list[bytes]:
    """Return the field lines of trailers.

    Raises:
        ApplicationError: an entry is not a field, or not allowed in trailers (RFC 9110, 6.5.1).
    """
    if not isinstance(headers, Iterable):
        raise ApplicationError(f"{TRAILERS}: expected an iterable of headers, got {headers!r:.80}")
    lines = []
    for index, pair in enumerate(headers):
        line = to_field_line(pair, index, TRAILERS)
        name = line.octets.partition(b":")[0].lower()
        if line.kind != PLAIN or name in NOT_IN_TRAILERS:
            raise ApplicationError(f"{TRAILERS}: {name.decode()} is no field for trailers")
        lines.append(line.octets)
    return lines


def asks_for_trailers(scope: dict[str, Any]) -> bool:
    """Tell whether the peer accepts trailers: TE contains `trailers` (RFC 9110, 10.1.4; X51)."""
    return any(
        member.partition(b";")[0].strip(b" \t").lower() == b"trailers"
        for name, value in scope.get("headers", ())
        if name == b"te"
        for member in value.split(b",")
    )
