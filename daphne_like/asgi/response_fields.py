"""Response fields as an application gives them: checked once, kept as the line they become."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from daphne_like.exceptions import ApplicationError

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

PLAIN, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE, SERVER = range(6)
KINDS = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    # Hop-by-hop relatives that the server alone may write (RFC 9110, 7.6.1).
    b"keep-alive": TRANSFER_ENCODING,
    b"proxy-connection": TRANSFER_ENCODING,
    b"date": DATE,
    b"server": SERVER,
}

MAX_DIGITS = 18
MAX_LINES = 4096
MAX_CACHED_LINE = 512


class Line(NamedTuple):
    """One field as it goes out."""

    octets: bytes
    kind: int
    value: Any  # no union: mypy cannot tell by `kind` which it is
    """The number for Content-Length, else the bare value."""


# The same field lines come back with every response: they are checked and joined once. Bounded
# in number and size.
lines: dict[tuple[bytes, bytes], Line] = {}


def to_field_line(pair: Any, index: int, event: str) -> Line:
    """Check one header of a message and give its line.

    Args:
        pair: what the application gave: two `bytes`, in any iterable.
        index: its place in the list, from 0, for the message.
        event: the message's type, for the message.
    Returns:
        The line with its CRLF, what kind of field it is, and what it says.
    Raises:
        ApplicationError: not two byte strings; a name that is no token, or a value with CR, LF,
            NUL or another control octet (RFC 9110, 5.1 and 5.5; advisories S05, S12); a
            Content-Length that is no number.
    """
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise ApplicationError(
            f"{event}: expected a pair of byte strings as header {index}, got {pair!r:.80}"
        )
    for what, part in (("name", name), ("value", value)):
        if type(part) is not bytes:
            raise ApplicationError(
                f"{event}: expected bytes as {what} of header {index}, "
                f"got {type(part).__name__} {part!r:.80}"
            )
    known = lines.get((name, value))  # a list of two is no key, what it holds is
    if known is not None:
        return known
    if TOKEN.fullmatch(name) is None:
        raise ApplicationError(
            f"{event}: expected a token (RFC 9110, 5.6.2) as name of header {index}, "
            f"got {name!r:.80}"
        )
    if FORBIDDEN_IN_VALUE.search(value) is not None:
        raise ApplicationError(
            f"{event}: control character in the value of header {index} {name!r:.80}: {value!r:.80}"
        )
    kind = KINDS.get(name.lower(), PLAIN)
    if kind == CONTENT_LENGTH and not (value.isdigit() and len(value) <= MAX_DIGITS):
        raise ApplicationError(
            f"{event}: expected plain digits as Content-Length, got {value!r:.80}"
        )
    line = Line(
        b"%b: %b\r\n" % (name, value), kind, int(value) if kind == CONTENT_LENGTH else value
    )
    if len(line.octets) <= MAX_CACHED_LINE:
        if len(lines) >= MAX_LINES:
            lines.clear()
        lines[name, value] = line
    return line
