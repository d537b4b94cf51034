"""The ids of a request: its own, and those of the trace that it belongs to.

A context variable holds them while the request's application runs, in its tasks and, through
asgiref or `contextvars.copy_context`, its threads. The log's handlers take them from there.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from daphne_like.observe.access_formats import needs_identity
from daphne_like.observe.structured import TEXT
from daphne_like.options import Options

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")

NOTHING = {"request_id": "-", "trace_id": "-", "span_id": "-"}
"""The values of a record outside of a request, and those of ids that a request does not have."""

# Not `random` itself: an application may have seeded that. SystemRandom costs a system call.
_random = random.Random()  # noqa: S311 # an id is no secret
_getrandbits = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def are_wanted(options: Options) -> bool:
    """Tell whether requests get ids: by option, or because the format of a log shows them."""
    if options.request_id != "auto":
        return options.request_id != "off"
    return (
        options.log_format != TEXT
        or needs_identity(options.access_log_format or "")
        or any(f"%({name})" in options.log_fmt for name in NOTHING)
    )


class Identity(NamedTuple):
    """The ids of a request; an id that it does not have is "".

    Attributes:
        request_id: given by a trusted proxy, or 32 hexadecimal digits.
        trace_id: of the client's `traceparent`.
        span_id: of the caller's span, from the same field.
    """

    request_id: str
    trace_id: str
    span_id: str


make_identity = partial(tuple.__new__, Identity)
"""Returns an Identity of a tuple, without the call of a Python function."""

current: ContextVar[Identity | None] = ContextVar("daphne_like_request", default=None)


def new_request_id() -> str:
    """Return an id of 128 random bits."""
    return f"{_getrandbits(128):032x}"


def parse_traceparent(value: bytes) -> tuple[str, str] | None:
    """Return the ids of trace and span in a traceparent (W3C Trace Context, 3.2); None if invalid.

    A version above 00 may have more at the end; ff is not a version, and ids of zeros are invalid.
    """
    found = TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace, span, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not trace.strip(b"0"):
        return None
    return (trace.decode(), span.decode()) if span.strip(b"0") else None


@contextmanager
def within(owner: Any) -> Iterator[None]:
    """Give the records of a block the ids of an exchange or session, outside of its tasks."""
    token = current.set(getattr(owner, "identity", None))
    try:
        yield
    finally:
        current.reset(token)


def values(record: logging.LogRecord) -> dict[str, str]:
    """Return the ids for a record: its own, or those of the request in which it is formatted."""
    identity = current.get()
    found = NOTHING if identity is None else identity._asdict()
    own = vars(record)
    return {name: str(own.get(name, value) or "-") for name, value in found.items()}


class RequestIdFilter(logging.Filter):
    """Gives each record the attributes request_id, trace_id and span_id, "-" for none.

    It is for handlers: a record that passes has the attributes for the handler's formatter, unless
    the application has set its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes; pass every record."""
        vars(record).update(values(record))
        return True


only_filter = RequestIdFilter()


def identify_records() -> None:
    """Add the filter to all handlers that are configured, for formats with `%(request_id)s`."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            handler.addFilter(only_filter)  # once: logging looks whether it is there
