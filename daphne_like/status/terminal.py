"""Writes status and stacks as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from daphne_like.status.listing import short
from daphne_like.wording import counted, escaped

BARS = "▁▂▃▄▅▆▇█"
BOLD, DIM, RED, YELLOW, GREEN, PLAIN = (
    "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
)  # fmt: skip
CLEAR = "\x1b[H\x1b[2J"
MAX_SHOWN = 15
WHERE = re.compile(r"(.*?) waits at (?:.*?/)?([^/:]*:\d+)(.*)")


class Writer:
    """Writes lines of a width, with colours or without.

    Args:
        width: columns.
        colours: write escape sequences.
    """

    def __init__(self, width: int, colours: bool) -> None:
        self.width = width
        self._colours = colours
        self._lines: list[str] = []

    def line(self, text: str = "", colour: str = "") -> None:
        """Write a line, cut to the width."""
        text = escaped(text).replace("\n", " ").replace("\t", " ")
        if len(text) > self.width:
            text = text[: self.width - 1] + "…"
        self._lines.append(f"{colour}{text}{PLAIN}" if self._colours and colour else text)

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[str]], colours: Sequence[str] = ()
    ) -> None:
        """Write rows under a head; the last column takes the rest of the width."""
        cells = [[escaped(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        self.line("  ".join(map(str.ljust, head, widths)).rstrip(), DIM)
        for number, row in enumerate(cells):
            colour = colours[number] if number < len(colours) else ""
            self.line("  ".join(map(str.ljust, row, widths)).rstrip(), colour)

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self._lines) + "\n"


def size(octets: float | None) -> str:
    """Return a size in words: 12 B, 3.4 KiB, 57 MiB."""
    if octets is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024 or unit == "GiB":
            break
        octets /= 1024
    return f"{octets:.0f} {unit}" if unit == "B" or octets >= 10 else f"{octets:.1f} {unit}"


def milliseconds(seconds: float | None) -> str:
    """Return a duration as milliseconds or seconds."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return values as bars, the latest last; several become their maximum."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    bins = [max(values[i : i + step]) for i in range(len(values) % step, len(values), step)]
    top = max(bins, default=0) or 1
    return "".join(BARS[min(7, int(value / top * 7.999))] for value in bins)


def write_status(
    status: dict[str, Any], listing: dict[str, Any], points: Sequence[dict[str, Any]],
    width: int = 100, colours: bool = False,
) -> str:  # fmt: skip
    """Return the status as the page has it, for a terminal.

    Args:
        status: /status.json.
        listing: /instances.json.
        points: of /history.json.
        width: columns.
        colours: write escape sequences.
    """
    out = Writer(width, colours)
    _write_head(out, status)
    _write_charts(out, status, points)
    _write_workers(out, status["workers"])
    _write_rows(out, listing)
    return out.text


def _write_head(out: Writer, status: dict[str, Any]) -> None:
    ready = sum(worker["state"] == "ready" for worker in status["workers"])
    state = "stopping" if status["stopping"] else "ready" if status["ready"] else "not ready"
    colour = GREEN if status["ready"] else RED
    name = status["application"] or "one process"
    up = short(status["now"] - status["started"])
    out.line(f"daphne-like {status['version']}  {name}  up {up}", BOLD)
    out.line(
        f"{state}: {ready}/{counted(status['wanted'], 'worker')}, generation "
        f"{status['generation']}  {', '.join(status['addresses'])}",
        colour,
    )
    out.line()


def _write_charts(out: Writer, status: dict[str, Any], points: Sequence[dict[str, Any]]) -> None:
    minute = status["last_minute"]
    bars = max(10, out.width - 46)
    for name, text, values in (
        ("requests", f"{minute['requests']:g}/s", [point["requests"] for point in points]),
        ("errors", f"{minute['errors']:g}/s", [point["errors"] for point in points]),
        ("p50 p99", f"{milliseconds(minute['p50'])} {milliseconds(minute['p99'])}",
         [point["p99"] or 0.0 for point in points]),
        ("loop delay", milliseconds(minute["delay"]), [point["delay"] for point in points]),
    ):  # fmt: skip
        out.line(f"{name:<11} {text:>20}  {sparkline(values, bars)}")
    out.line()


def _write_workers(out: Writer, workers: Sequence[dict[str, Any]]) -> None:
    rows, colours = [], []
    for worker in workers:
        blocked = worker["blocked"]
        state = worker["state"] if blocked is None else f"blocked for {short(blocked)}"
        rows.append(
            (str(worker["slot"]), str(worker["pid"]), str(worker["generation"]),
             short(worker["age"]), size(worker["memory"]), str(worker["connections"]),
             str(worker["instances"]), str(worker["requests"]), state)
        )  # fmt: skip
        colours.append(RED if blocked is not None else "")
    head = ("worker", "pid", "gen", "age", "memory", "conns", "apps", "requests", "state")
    out.table(head, rows, colours)
    out.line()


def _write_rows(out: Writer, listing: dict[str, Any]) -> None:
    for silent in listing["silent"]:
        out.line(f"Worker {silent['worker']} does not answer", RED)
    instances = [row for row in listing["rows"] if row["kind"] != "connection"]
    rows, colours = [], []
    for row in instances[:MAX_SHOWN]:
        rows.append(
            (str(row["worker"]), short(row["age"] or 0), row["peer"],
             f"{row['method'] if row['kind'] == 'http' else 'WS'} {row['path']}"[:40],
             row["state"], place(row))
        )  # fmt: skip
        colours.append({"slow": YELLOW, "paused": YELLOW, "lingers": RED}.get(row["mood"], ""))
    if rows:
        out.table(("worker", "age", "peer", "request", "state", "waits"), rows, colours)
    more = len(instances) - len(rows) + listing["omitted"]
    if more:
        out.line(f"and {more} more", DIM)


def place(row: dict[str, Any]) -> str:
    """Return where an instance waits, without the folders: function, file:line: source line."""
    if row["state"].startswith("open; the application waits"):
        return "receive()"
    found = WHERE.fullmatch(row["where"])
    return row["where"] if found is None else f"{found[1]}, {found[2]}{found[3]}"


def write_stacks(
    listing: dict[str, Any], threads: dict[int, str], width: int = 10_000, colours: bool = False
) -> str:
    """Return where every instance waits, those at the same place together, the most first.

    Args:
        listing: /instances.json.
        threads: number of a worker that does not answer -> the stacks of its threads.
        width: columns.
        colours: write escape sequences.
    """
    out = Writer(width, colours)
    for slot, text in threads.items():
        out.line(f"Worker {slot} does not answer; its threads:", RED)
        for line in text.splitlines():
            out.line(f"  {line}")
        out.line()
    places: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in listing["rows"]:
        if row["kind"] != "connection":
            places.setdefault(tuple(row["stack"]), []).append(row)
    for stack, rows in sorted(places.items(), key=lambda place: -len(place[1])):
        out.line(f"{counted(len(rows), 'instance')} at the same place", BOLD)
        for row in rows[:5]:
            kind = row["method"] if row["kind"] == "http" else "WebSocket"
            out.line(f"  worker {row['worker']}  [{row['id']} {row['peer']}]  {kind} {row['path']}"
                     f"  {short(row['age'] or 0)} old  {row['state']}")  # fmt: skip
        if len(rows) > 5:
            out.line(f"  and {len(rows) - 5} more", DIM)
        for line in stack or ("(it runs)",):
            out.line(f"    {line}")
        out.line()
    if listing["omitted"]:
        out.line(f"{listing['omitted']} connections and instances are left out", DIM)
    return out.text
