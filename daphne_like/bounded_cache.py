"""A cache that forgets everything when it is full, and the list of what is cached.

Every cache whose entries peers or applications bring about is an instance. Kept for the process:

``http/h1/request_line.py``
    ``request_lines``: request lines, split; targets of at most MIN_REQUEST_LINE octets.
``http/fields.py``
    ``names``: field names in lower case, at most MAX_CACHED_NAME octets. ``hosts``: values of Host
    that are valid, at most MAX_CACHED_HOST octets.
``asgi/response_fields.py``
    ``lines``: response fields that were checked, as lines of at most MAX_CACHED_LINE octets.
``http/h2/hpack_cache.py``
    ``encoded_fields`` and ``encoded_by_line``: response fields in HPACK, at most MAX_CACHED_LINE
    octets. ``status_blocks`` and ``default_blocks``: statuses, Date and Server in HPACK.
``runtime/forwarded_nodes.py``
    ``nodes``: addresses of clients and proxies in forwarded fields, at most MAX_NODE octets.

Kept for an access log in JSON (``observe/access_json.py``): ``requests`` and ``agents``, the texts
of requests and of values of User-Agent of at most MAX_CACHED_OCTETS octets.

Kept for a server: ``sections`` (``runtime/context.py``), the field sections with which connections
began, checked; of requests of at most MAX_CACHED_REQUEST octets. ``_trusted``
(``runtime/trusted_proxies.py``), whether addresses are those of trusted proxies; at most
MAX_CACHED_HOST octets. Kept for a connection of HTTP/2:
``_known`` (``http/h2/hpack_cache.py``), field blocks that were decoded, at most MAX_CACHED_BLOCK
octets, until the connection's HPACK table changes.

No entry is ever out of date or another's:

* What is kept for the process depends on its key alone: not on an option, a peer or the time. The
  one option that could refuse a request line is never smaller than the longest one that is kept.
* Whether a field section is served depends on the server's options, so each server keeps its own.
  Only the same octets, from the end of the request line through the empty line, find an entry.
  Sections with cookies or credentials (SECRETS) are not kept beyond their connection.
* What a block of HPACK means depends on the dynamic table of its connection. The connection
  forgets all blocks when the table changes.
* Several requests share a result, so nobody may change one: each scope gets a list of its own.

Not instances: the Date and Server lines (``runtime/default_fields.py``), which are four and are
replaced each second, and the ``functools`` caches of certificates (``asgi/tls.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Results by their inputs, at most `max_entries` of them.

    A full cache is emptied before the next entry is stored. The caller bounds the size of an entry.

    Args:
        max_entries: the number of entries that is never exceeded.
    Attributes:
        entries: to be read, and to be emptied; entries are added by `store` alone. The object is
            always the same, so a hot path may keep it, or a method of it. It is a plain dict and
            this class not a subclass, because the interpreter specialises `entries[key]` and
            `key in entries` for plain dicts alone (measured: 200 instructions per request).
        get: the method of `entries`.
    """

    __slots__ = ("entries", "get", "max_entries")

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.entries: dict[Key, Value] = {}
        self.get: Callable[[Key], Value | None] = self.entries.get

    def store(self, key: Key, value: Value) -> Value:
        """Store a value and return it."""
        entries = self.entries
        if len(entries) >= self.max_entries and key not in entries:
            entries.clear()
        entries[key] = value
        return value
