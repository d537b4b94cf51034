"""Counts about a process, beside those of its requests."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import Any

import twisted
from daphne_like import __version__
from daphne_like.listening.accept_queue import accept_queue
from daphne_like.listening.ports import Address
from daphne_like.metrics.counts import Counts, Labels
from daphne_like.metrics.series import ACCEPT_QUEUE, INFO


def versions(loop: Any) -> Counts:
    """Return the versions of this package, Python, Twisted and the event loop, as labels.

    Args:
        loop: the event loop; the label is the name of its package.
    """
    words = (__version__, platform.python_version(), twisted.__version__,
             type(loop).__module__.partition(".")[0])  # fmt: skip
    return {INFO.name: {words: [1]}}


def accept_queues(endpoints: Iterable[tuple[Address, int]]) -> Counts:
    """Return the lengths of listen queues.

    Args:
        endpoints: addresses, with the descriptors of the sockets that listen there.
    """
    rows: dict[Labels, list[float]] = {
        (host if port is None else f"{host}:{port}",): [float(length)]
        for (host, port), descriptor in endpoints
        if (length := accept_queue(descriptor)) is not None
    }
    return {ACCEPT_QUEUE.name: rows} if rows else {}
