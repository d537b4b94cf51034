"""The status as text for a terminal."""

from __future__ import annotations

from typing import Any

from daphne_like.status.terminal import (
    milliseconds,
    size,
    sparkline,
    write_stacks,
    write_status,
)

MINUTE = {"requests": 12.5, "errors": 0.0, "p50": 0.002, "p99": None, "delay": 1.5}
WORKER: dict[str, Any] = {
    "slot": 1, "pid": 77, "generation": 2, "age": 300.0, "state": "ready", "blocked": None,
    "memory": 64 << 20, "delay": 0.0, "connections": 3, "instances": 1, "requests": 9,
}  # fmt: skip
STATUS: dict[str, Any] = {
    "version": "1", "application": "main:app", "now": 100.0, "started": 40.0, "ready": True,
    "stopping": False, "wanted": 2, "generation": 2, "addresses": ["127.0.0.1:80"],
    "workers": [WORKER, {**WORKER, "slot": 2, "blocked": 12.0}], "last_minute": MINUTE,
}  # fmt: skip
ROW: dict[str, Any] = {
    "kind": "http", "id": "4", "peer": "192.0.2.1:5", "protocol": "http/1.1", "method": "GET",
    "path": "/x", "age": 12.0, "state": "no response yet", "mood": "slow", "received": 0, "sent": 0,
    "queue": 0, "where": "f waits at a.py:3: await lock", "stack": ["a.py:3 in f: await lock"],
    "worker": 1,
}  # fmt: skip
LISTING: dict[str, Any] = {
    "rows": [ROW, {**ROW, "kind": "connection"}],
    "omitted": 5,
    "silent": [{"worker": 2, "blocked": 12.0}],
}
POINT = {"requests": 3.0, "errors": 0.0, "p99": None, "delay": 0.0}


class TestStatus:
    """`daphne-like status`."""

    def test_what_it_says(self) -> None:
        """Workers and instances; a blocked worker is named."""
        text = write_status(STATUS, LISTING, [POINT] * 100)
        assert "ready: 2/2 workers, generation 2  127.0.0.1:80" in text
        assert "blocked for 12 s" in text
        assert "Worker 2 does not answer" in text
        assert "f, a.py:3: await lock" in text
        assert "and 5 more" in text
        assert "\x1b" not in text

    def test_width(self) -> None:
        """No line is longer than the terminal is wide."""
        for width in (40, 80, 120):
            text = write_status(STATUS, LISTING, [POINT] * 900, width)
            assert max(map(len, text.splitlines())) <= width

    def test_colours(self) -> None:
        assert "\x1b[31m" in write_status(STATUS, LISTING, [], colours=True)

    def test_control_characters(self) -> None:
        """Nothing of a peer or of an application reaches the terminal as it is."""
        evil = {**ROW, "path": "/\x1b]0;x\x07", "where": "\x9b31m", "stack": ["a\nb\x1b[2J"]}
        listing = {**LISTING, "rows": [evil]}
        for text in (write_status(STATUS, listing, []), write_stacks(listing, {1: "\x1b[2J"})):
            assert not set(text) & {"\x1b", "\x07", "\x9b"}


class TestStacks:
    """`daphne-like stacks`."""

    def test_same_place(self) -> None:
        """Instances at one place are one group; crowded places come first."""
        other = {**ROW, "stack": ["b.py:1 in g: await queue.get()"], "path": "/y"}
        listing = {**LISTING, "rows": [other, *[ROW] * 7]}
        text = write_stacks(listing, {2: "Current thread\n  File x"})
        first, second = text.index("7 instances at the same place"), text.index("1 instance at")
        assert text.index("Worker 2 does not answer") < first < second
        assert text.count("192.0.2.1:5") == 6  # five of seven, and the other one
        assert "and 2 more" in text
        assert "    b.py:1 in g: await queue.get()" in text


def test_numbers() -> None:
    """Sizes, durations and bars."""
    assert [size(value) for value in (None, 12, 3500, 1 << 26, 1 << 50)] == [
        "-", "12 B", "3.4 KiB", "64 MiB", "1048576 GiB"
    ]  # fmt: skip
    assert [milliseconds(value) for value in (None, 0.0021, 1.5)] == ["-", "2.1 ms", "1.5 s"]
    assert sparkline([], 10) == ""
    assert sparkline([0, 1, 2], 10) == "▁▄█"
    assert len(sparkline([1.0] * 900, 50)) <= 50
