"""The application's own metrics, where it uses prometheus_client.

In one process they are those of the default registry. With workers they are the files of
prometheus_client's multiprocess mode, if the environment has PROMETHEUS_MULTIPROC_DIR. That mode
keeps the files of each process for ever, so their number grows with each worker that is replaced.
Here the supervisor knows which processes have ended, and merges their files into one of each kind.
"""

from __future__ import annotations

import json
import logging
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("daphne_like.server")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MERGED = "merged"
"""The place of the process id in the names of the files of all processes that have ended."""
COMBINE: dict[str, Callable[[float, float], float]] = {
    "sum": operator.add,
    "max": max,
    "min": min,
}
"""By mode of a gauge, how the values of two processes become one."""


def default_registry() -> Iterable[Any]:
    """Return the families of prometheus_client's default registry."""
    from prometheus_client import REGISTRY

    return REGISTRY.collect()


class MultiprocessFiles:
    """The files of prometheus_client's multiprocess mode.

    Args:
        folder: the folder of the files; it is made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> MultiprocessFiles | None:
        """Return the files that the environment asks for; None if it does not.

        Raises:
            OSError: the folder cannot be made.
        """
        path = environment.get(VARIABLE)
        return cls(Path(path)) if path else None

    def wipe(self) -> None:
        """Remove the files of an earlier run."""
        for path in self._folder.glob("*.db"):
            path.unlink(missing_ok=True)

    def collect(self) -> Iterable[Any]:
        """Return the families of all processes."""
        from prometheus_client.multiprocess import MultiProcessCollector

        # The registry is optional; the class has no types.
        collector: Any = MultiProcessCollector(None, str(self._folder))  # type: ignore[no-untyped-call]
        families: Iterable[Any] = collector.collect()
        return families

    def process_ended(self, pid: int) -> None:
        """Merge the files of a process that has ended; log files that cannot be merged."""
        for path in sorted(self._folder.glob(f"*_{pid}.db")):
            try:
                self._retire(path)
            except Exception:
                log.exception("The file of metrics %s cannot be merged", path)

    def _retire(self, path: Path) -> None:
        kind, *mode, _pid = path.stem.split("_")
        how = mode[0] if mode else "sum"
        if kind != "gauge" or how in COMBINE or how == "mostrecent":
            into = path.with_name(f"{path.stem.rpartition('_')[0]}_{MERGED}.db")
            merge(path, into, how)
        # Other gauges have the process as a label, or are those of living processes only.
        path.unlink()


def merge(path: Path, into: Path, how: str) -> None:
    """Merge the values of a file of metrics into another file, which is made if it is missing.

    Args:
        path: file of a process that does not write it any more.
        into: file that no other process writes.
        how: a key of COMBINE, or "mostrecent".
    """
    from prometheus_client.mmap_dict import MmapedDict

    target = MmapedDict(str(into))  # type: ignore[no-untyped-call]
    try:
        known = {key for key, *_ in target.read_all_values()}  # type: ignore[no-untyped-call]
        for key, value, time in _values(path):
            if key in known:
                before, before_time = target.read_value(key)  # type: ignore[no-untyped-call]
                if how == "mostrecent":
                    if (before_time, before) > (time, value):
                        value, time = before, before_time
                else:
                    value = COMBINE[how](before, value)
            target.write_value(key, value, time)  # type: ignore[no-untyped-call]
    finally:
        target.close()  # type: ignore[no-untyped-call]


def _values(path: Path) -> Iterator[tuple[str, float, float]]:
    """Yield key, value and time of each entry; leave out entries whose key is not JSON."""
    from prometheus_client.mmap_dict import MmapedDict

    for key, value, time, _position in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
        try:
            json.loads(key)
        except ValueError:
            continue
        yield key, value, time


def own_files() -> MultiprocessFiles | None:
    """Return the files of this process' environment; None without them, or if they are unusable."""
    try:
        return MultiprocessFiles.from_environment(os.environ)
    except OSError as error:
        log.error("%s: %s", VARIABLE, error)
        return None
