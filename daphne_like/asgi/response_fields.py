"""Checks the response fields of an application and caches the lines that they become."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from daphne_like.bounded_cache import BoundedCache
from daphne_like.exceptions import ApplicationError

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

PLAIN, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE, SERVER = range(6)
KINDS = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    # Other hop-by-hop fields, which only the server may write (RFC 9110, 7.6.1).
    b"keep-alive": TRANSFER_ENCODING,
    b"proxy-connection": TRANSFER_ENCODING,
    b"date": DATE,
    b"server": SERVER,
}

SECRETS = (b"set-cookie", b"authorization", b"proxy-authorization", b"cookie")
"""Fields whose values no error names, because errors are logged."""

MAX_DIGITS = 18
MAX_CACHED_LINES = 4096
MAX_CACHED_LINE = 512


class Line(NamedTuple):
    """One field as it is sent."""

    octets: bytes
    kind: int
    value: Any  # not a union: mypy cannot narrow it by `kind`
    """The number for Content-Length, otherwise the value as given."""


lines: BoundedCache[tuple[bytes, bytes], Line] = BoundedCache(MAX_CACHED_LINES)
"""Checked and joined field lines, because most responses repeat the lines of earlier ones."""
known_lines = lines.entries


def is_secret(name: Any) -> bool:
    """Tell whether the value of a field must not be in the log; the name may be of any type."""
    octets = name.encode("latin-1", "replace") if isinstance(name, str) else name
    return isinstance(octets, bytes) and octets.lower() in SECRETS


def to_field_line(pair: Any, index: int, event: str) -> Line:
    """Check one header of a message and return its line.

    Args:
        pair: name and value as the application gave them: two `bytes`, in any iterable.
        index: position in the list, from 0, for the error message.
        event: type of the ASGI message, for the error message.
    Returns:
        The line with its CRLF, the kind of field, and its value.
    Raises:
        ApplicationError: the pair is not two byte strings; the name is not a token; the value has
            CR, LF, NUL or another control octet (RFC 9110, 5.1 and 5.5; advisories S05, S12); or
            a Content-Length is not a number.
    """
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise ApplicationError(
            f"{event}: expected a pair of byte strings as header {index}, got {pair!r:.80}"
        )
    for what, part in (("name", name), ("value", value)):
        if type(part) is not bytes:
            shown = "" if is_secret(name) else f" {part!r:.80}"
            raise ApplicationError(
                f"{event}: expected bytes as {what} of header {index}, "
                f"got {type(part).__name__}{shown}"
            )
    known = lines.get((name, value))  # a tuple, because `pair` may be a list, which is not hashable
    if known is not None:
        return known
    if TOKEN.fullmatch(name) is None:
        raise ApplicationError(
            f"{event}: expected a token (RFC 9110, 5.6.2) as name of header {index}, "
            f"got {name!r:.80}"
        )
    if FORBIDDEN_IN_VALUE.search(value) is not None:
        shown = "" if is_secret(name) else f": {value!r:.80}"
        raise ApplicationError(
            f"{event}: control character in the value of header {index} {name!r:.80}{shown}"
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
        lines.store((name, value), line)
    return line
