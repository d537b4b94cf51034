"""The errors of the server, by cause (peer, application, configuration), with their responses."""

from __future__ import annotations

RETRY_LATER = b"Retry-After: 1\r\n"
REASONS = {
    400: "invalid_request_headers",
    403: "origin_not_allowed",
    405: "invalid_websocket_handshake",
    408: "request_headers_timeout",
    413: "max_request_body_size_exceeded",
    414: "max_request_line_size_exceeded",
    417: "unsupported_expectation",
    426: "invalid_websocket_handshake",
    431: "max_request_headers_total_size_exceeded",
    501: "unsupported_method",
    505: "invalid_http_version",
}
"""By status, the usual reason of a refusal, in the words of .NET's server where it has one."""


class DaphneLikeError(Exception):
    """Base class of every error that this package raises."""


class PeerError(DaphneLikeError):
    """The peer broke a rule of its protocol; logged by observe/refusals.py without a traceback.

    Attributes:
        status: HTTP status of the response, 400 to 505.
        text: whole body of the response, in ASCII; it never repeats data from the peer.
        lines: field lines that belong to the status, each with its CRLF (Allow for a 405); a 503
            has a Retry-After.
        reason: one of a few words by which refusals are counted; by default that of the status.
    """

    def __init__(self, status: int, text: str, lines: bytes = b"", *, reason: str = "") -> None:
        super().__init__(f"{status} {text}")
        self.reason = reason or REASONS.get(status, "other")
        self.status = status
        self.text = text
        self.lines = lines + RETRY_LATER if status == 503 else lines

    def with_line(self, line: bytes) -> PeerError:
        """Return the same error with one more field line."""
        other = PeerError(self.status, self.text, reason=self.reason)
        other.lines = self.lines + line
        return other


def too_many_connections() -> PeerError:
    """Return the error of a connection over --max-connections."""
    return PeerError(
        503, "Too many connections; try again.", reason="max_concurrent_connections_exceeded"
    )


class FrameError(DaphneLikeError):
    """The peer broke a rule of an open WebSocket; logged at DEBUG, never with a traceback.

    Attributes:
        close_code: close code to send (RFC 6455, 7.4.1).
        reason: text to send with the close code.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{close_code} {reason}")
        self.close_code = close_code
        self.reason = reason


class ApplicationError(DaphneLikeError, ValueError):
    """The application sent a message that ASGI does not allow; raised by its `await send(...)`.

    It is also a ValueError, because applications written for Daphne catch that.
    """


class ConnectionClosed(DaphneLikeError, OSError):
    """`send` after the connection was closed (ASGI H30); not logged as an application's error."""


class ConfigurationError(DaphneLikeError):
    """An option, an import or the environment is wrong; one sentence for standard error.

    Attributes:
        exit_status: exit status of the process, 2 unless the cause has its own.
        detail: additional text (the application's own traceback), or "".
    """

    def __init__(self, sentence: str, *, exit_status: int = 2, detail: str = "") -> None:
        super().__init__(sentence)
        self.exit_status = exit_status
        self.detail = detail
