"""A dict with a bounded number of entries."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(dict[Key, Value]):
    """A mapping from inputs to results with at most `max_entries` entries.

    A full cache is emptied before the next entry is stored. This costs nothing per lookup: readers
    use the methods of dict, and only `store` counts entries. Callers bound the size of an entry.

    Args:
        max_entries: number of entries at which `store` first empties the cache.
    """

    __slots__ = ("max_entries",)

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self.max_entries = max_entries

    def store(self, key: Key, value: Value) -> Value:
        """Store a value and return it."""
        if len(self) >= self.max_entries:
            self.clear()
        self[key] = value
        return value
