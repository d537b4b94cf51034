"""The event loop's executor, of as many threads as ASGI_THREADS says."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

from daphne_like.exceptions import ConfigurationError

_with_threads: WeakSet[AbstractEventLoop] = WeakSet()
"""Event loops that have such an executor already, from an earlier server."""


def use_asgi_threads(loop: AbstractEventLoop) -> None:
    """Give an event loop an executor of ASGI_THREADS threads, as Daphne does.

    Raises:
        ConfigurationError: ASGI_THREADS is in the environment, and is not a number of threads.
    """
    text = os.environ.get("ASGI_THREADS")
    if text is None or loop in _with_threads:
        return
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(
            f"ASGI_THREADS in the environment: expected a number of threads, got {text!r}"
        )
    loop.set_default_executor(ThreadPoolExecutor(int(text), "asgi"))
    _with_threads.add(loop)
