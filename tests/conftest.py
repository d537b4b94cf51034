"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.memory import Memory


@pytest.fixture
def serve() -> Iterator[Callable[..., Memory]]:
    """serve(application, **settings): a server in memory, ended with the test."""
    memories: list[Memory] = []

    def start(application: Any, **settings: Any) -> Memory:
        memories.append(Memory(application, **settings))
        return memories[-1]

    yield start
    for memory in memories:
        memory.close()
