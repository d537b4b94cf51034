"""The errors of the server, by whose fault they are; each carries the answer it is owed."""

from __future__ import annotations


class DaphneLikeError(Exception):
    """Root of every error that this package raises."""


class PeerError(DaphneLikeError):
    """The peer broke a rule of its protocol; logged by observe/refusals.py, without a traceback.

    Attributes:
        status: the HTTP status the peer is owed, 400 to 505.
        text: the whole body of the answer, ASCII; it never repeats what the peer sent.
        lines: field lines that belong to the status, each with its CRLF (Allow for a 405).
    """

    def __init__(self, status: int, text: str, lines: bytes = b"") -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.lines = lines


class FrameError(DaphneLikeError):
    """The peer broke a rule of an open WebSocket; logged at DEBUG, never with a traceback.

    Attributes:
        close_code: that the peer is owed (RFC 6455, 7.4.1).
        reason: the text beside it.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{close_code} {reason}")
        self.close_code = close_code
        self.reason = reason


class ApplicationError(DaphneLikeError, ValueError):
    """The application sent what ASGI does not allow; raised at its `await send(...)`.

    A ValueError too, because that is what applications written for Daphne catch.
    """


class ConnectionClosed(DaphneLikeError, OSError):
    """`send` after the connection was closed (ASGI H30); not an error where it comes out."""


class ConfigurationError(DaphneLikeError):
    """An option, an import or the environment is wrong; one sentence for standard error.

    Attributes:
        exit_status: of the process, 2 unless the cause has its own.
        detail: text to show under the sentence (the application's own traceback), or "".
    """

    def __init__(self, sentence: str, *, exit_status: int = 2, detail: str = "") -> None:
        super().__init__(sentence)
        self.exit_status = exit_status
        self.detail = detail
