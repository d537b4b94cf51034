"""Reads the field Forwarded from the right (RFC 7239, 4)."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
PAIR = re.compile(rb"(%b)=(%b|%b)" % (TOKEN, TOKEN, QUOTED))
_PAIR = rb"(?:%b=(?:%b|%b)[ \t]*)?" % (TOKEN, TOKEN, QUOTED)
# Each space has one place in the expression, so that no element takes more than linear time.
ELEMENT = re.compile(rb"[ \t]*%b(?:;[ \t]*%b)*" % (_PAIR, _PAIR))
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
MAX_COMMAS = 8
"""Commas within the quoted strings of one element; proxies write none."""


def read_elements(value: bytes) -> Iterator[dict[bytes, bytes]]:
    """Yield the elements of one field line, the last one first.

    An element is found from its end, so octets on its left, which a client may have sent, do not
    change it: an opening quote without its end does not hide the element that a proxy appends.

    Args:
        value: value of one field line.
    Yields:
        The parameters of an element: names in lower case, values without their quotes. It is empty
        for an element that repeats a parameter, and for octets that are no element; the latter is
        the last one.
    """
    while True:
        start = _start_of_last(value)
        if start is None:
            yield {}
            return
        pairs = PAIR.findall(value, start)
        parameters = {name.lower(): _unquoted(text) for name, text in pairs}
        yield parameters if len(parameters) == len(pairs) else {}
        if start == 0:
            return
        value = value[: start - 1]


def _start_of_last(value: bytes) -> int | None:
    """Return where the last element begins; None if no comma begins one.

    The nearest comma that begins an element is the right one: what follows a comma within a quoted
    string is no element, because within the string no quote stands without a backslash.
    """
    end = len(value)
    for _ in range(MAX_COMMAS + 1):
        start = value.rfind(b",", 0, end) + 1
        if ELEMENT.fullmatch(value, start):
            return start
        if start == 0:
            return None
        end = start - 1
    return None


def _unquoted(text: bytes) -> bytes:
    return ESCAPE.sub(rb"\1", text[1:-1]) if text[:1] == b'"' else text
