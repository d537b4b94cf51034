"""The cache that forgets everything when it is full, and who must use it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daphne_like import bounded_cache
from daphne_like.bounded_cache import BoundedCache

PACKAGE = Path(bounded_cache.__file__).parent

CACHES = {
    ("names", "http/fields.py"),
    ("hosts", "http/fields.py"),
    ("request_lines", "http/h1/request_line.py"),
    ("lines", "asgi/response_fields.py"),
    ("encoded_fields", "http/h2/hpack_cache.py"),
    ("encoded_by_line", "http/h2/hpack_cache.py"),
    ("status_blocks", "http/h2/hpack_cache.py"),
    ("default_blocks", "http/h2/hpack_cache.py"),
    ("nodes", "runtime/forwarded_nodes.py"),
    ("sections", "runtime/context.py"),
    ("_trusted", "runtime/trusted_proxies.py"),
    ("_known", "http/h2/hpack_cache.py"),
    ("requests", "observe/access_json.py"),
    ("agents", "observe/access_json.py"),
}


def full(entries: int) -> BoundedCache[int, int]:
    """A cache with as many entries as it may have."""
    cache: BoundedCache[int, int] = BoundedCache(entries)
    for number in range(entries):
        cache.store(number, -number)
    return cache


class TestBoundedCache:
    """Storing keeps the number of entries within its bound."""

    def test_store_returns_the_value(self) -> None:
        """The stored value is returned, so that a miss is one expression."""
        value = object()
        cache: BoundedCache[str, object] = BoundedCache(1)
        assert cache.store("key", value) is value
        assert cache.entries["key"] is value
        assert cache.get("other") is None

    @pytest.mark.parametrize("entries", [1, 2, 7])
    def test_as_many_as_allowed(self, entries: int) -> None:
        """`max_entries` entries are kept."""
        assert full(entries).entries == {number: -number for number in range(entries)}

    @pytest.mark.parametrize("entries", [1, 2, 7])
    def test_one_more_empties_it(self, entries: int) -> None:
        """An entry beyond them is kept alone."""
        cache = full(entries)
        cache.store(entries, 0)
        assert cache.entries == {entries: 0}

    def test_a_known_key_empties_nothing(self) -> None:
        """Storing a key again replaces its value and leaves the other entries."""
        cache = full(2)
        cache.store(1, 5)
        assert cache.entries == {0: 0, 1: 5}

    def test_get_may_be_bound_once(self) -> None:
        """A `get` that was bound before the cache was emptied finds later entries."""
        cache: BoundedCache[int, int] = BoundedCache(1)
        get = cache.get
        cache.store(1, 1)
        cache.store(2, 2)
        assert (get(1), get(2)) == (None, 2)

    def test_entries_may_be_kept(self) -> None:
        """`entries` is one plain dict for ever: the interpreter specialises lookups in no other."""
        cache = full(1)
        entries = cache.entries
        cache.store(7, 8)
        assert type(entries) is dict
        assert entries == {7: 8}


class TestCaches:
    """The package's caches are instances, and the module's docstring lists them."""

    def test_every_cache_is_listed(self) -> None:
        """The instances in the sources are those of CACHES, and the docstring names each."""
        found = {
            (name, path.relative_to(PACKAGE).as_posix())
            for path in PACKAGE.rglob("*.py")
            for name in re.findall(
                r"(\w+): BoundedCache\[.*\] = BoundedCache\(", path.read_text(encoding="utf-8")
            )
        }
        assert found == CACHES
        listed = bounded_cache.__doc__ or ""
        assert [name for name, _ in CACHES if f"``{name}``" not in listed] == []

    def test_no_cache_by_hand(self) -> None:
        """No other code empties a table when it is full."""
        by_hand = re.compile(r"if len\((\S+)\) >=? [A-Z_]+:\n\s+\1\.clear\(\)")
        found = [
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            if by_hand.search(path.read_text(encoding="utf-8"))
        ]
        assert found == []
