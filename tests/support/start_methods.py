"""The ways in which a system can start a process of multiprocessing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def start_method(name: str) -> Iterator[None]:
    """Let processes start in that way; skip the test where the system has no such way."""
    if name not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {name} on this system")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(name, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)
