"""The states of a response, which state may follow which, and the messages that each refuses."""

from __future__ import annotations

import enum

from daphne_like.exceptions import ApplicationError

START = "http.response.start"
BODY = "http.response.body"
TRAILERS = "http.response.trailers"
PUSH = "http.response.push"
PATHSEND = "http.response.pathsend"
ZEROCOPYSEND = "http.response.zerocopysend"


class ResponseState(enum.Enum):
    """The progress of a response."""

    AWAITING_START = enum.auto()  # the application has sent nothing
    HEAD_BUFFERED = enum.auto()  # http.response.start came; nothing is written
    SENDING_BODY = enum.auto()  # the head is written
    BODY_BLOCKED = enum.auto()  # a part of the body is being written, or waits for the peer
    AWAITING_TRAILERS = enum.auto()  # the body is complete, trailers follow
    COMPLETE = enum.auto()  # the response is complete (ASGI H26: later messages are ignored)
    CLOSED = enum.auto()  # the connection is lost, or the response was given up


AWAITING_START, HEAD_BUFFERED, SENDING_BODY, BODY_BLOCKED, AWAITING_TRAILERS, COMPLETE, CLOSED = (
    ResponseState
)

TRANSITIONS: dict[ResponseState, tuple[ResponseState, ...]] = {
    # An accepted WebSocket goes straight to COMPLETE: its response is the carrier's 101 or 200.
    AWAITING_START: (HEAD_BUFFERED, COMPLETE, CLOSED),
    HEAD_BUFFERED: (SENDING_BODY, COMPLETE, CLOSED),
    SENDING_BODY: (BODY_BLOCKED, AWAITING_TRAILERS, COMPLETE, CLOSED),
    BODY_BLOCKED: (SENDING_BODY, CLOSED),
    AWAITING_TRAILERS: (COMPLETE, CLOSED),
    COMPLETE: (),
    CLOSED: (CLOSED,),  # a lost connection may be reported twice
}
"""The states that may follow each state. The tests hold every exchange to it (tests/conftest.py);
at run time nothing is checked, because the check would cost 1 % of a small response."""

_TWICE = "expected once, got a second one"
_START_FIRST = f"expected {START} first"
_ONLY_TRAILERS = f"expected {TRAILERS}, the body is whole"
_BODY_FIRST = "expected the last of the body first"

REFUSED: dict[str, dict[ResponseState, str]] = {
    START: dict.fromkeys((HEAD_BUFFERED, SENDING_BODY, BODY_BLOCKED, AWAITING_TRAILERS), _TWICE),
    BODY: {AWAITING_START: _START_FIRST, AWAITING_TRAILERS: _ONLY_TRAILERS},
    TRAILERS: dict.fromkeys((AWAITING_START, HEAD_BUFFERED, SENDING_BODY), _BODY_FIRST),
    PUSH: {AWAITING_TRAILERS: _ONLY_TRAILERS},
    PATHSEND: {
        AWAITING_START: _START_FIRST,
        SENDING_BODY: "a part of the body is out already",
        AWAITING_TRAILERS: _ONLY_TRAILERS,
    },
    ZEROCOPYSEND: {AWAITING_START: _START_FIRST, AWAITING_TRAILERS: _ONLY_TRAILERS},
}
"""By message and state, why the message is refused. Messages in BODY_BLOCKED wait for its end."""


def check_message(kind: str, state: ResponseState) -> None:
    """Refuse a message in a state in which ASGI does not allow it.

    Raises:
        ApplicationError: the message is not allowed; nothing was sent.
    """
    reason = REFUSED.get(kind, {}).get(state)
    if reason is not None:
        raise ApplicationError(f"{kind}: {reason}")
