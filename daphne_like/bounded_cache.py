"""A dict that forgets everything when it is full."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(dict[Key, Value]):
    """Results by their inputs, at most `max_entries` of them.

    A full cache is emptied before the next entry, which costs nothing per lookup: readers use the
    methods of dict, and only `store` counts. Whoever stores bounds the size of an entry.

    Args:
        max_entries: entries from which `store` empties the cache first.
    """

    __slots__ = ("max_entries",)

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self.max_entries = max_entries

    def store(self, key: Key, value: Value) -> Value:
        """Remember a value, and return it."""
        if len(self) >= self.max_entries:
            self.clear()
        self[key] = value
        return value
