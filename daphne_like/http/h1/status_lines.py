"""Builds status lines and error responses of HTTP/1.1."""

from __future__ import annotations

from http import HTTPStatus

from daphne_like.exceptions import PeerError

CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    """Return the status line with CRLF; an unregistered status has an empty reason phrase."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def error_response(
    error: PeerError, default_fields: bytes, *, head_only: bool = False, http_10: bool = False
) -> bytes:
    """Return a complete error response, after which the connection closes (S11).

    Args:
        error: provides status and text, which contain nothing of the request.
        default_fields: Date and Server lines.
        head_only: the request method was HEAD.
        http_10: the request was HTTP/1.0; the response has the same version, as in Daphne.
    """
    body = error.text.encode("ascii") + b"\n"
    head = (b"%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b%b%b\r\n") % (
        status_line(error.status),
        len(body),
        error.lines,
        default_fields,
        CLOSE,
    )
    if http_10:
        head = head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    return head if head_only else head + body
