"""Fixtures that build a tree of twisted.web resources in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.web.server import Request

from daphne_like.web import StreamingRequest
from tests.support.web_tree import Tree


@pytest.fixture(params=[Request, StreamingRequest], ids=["stock", "streaming"])
def tree(request: Any) -> Iterator[Callable[..., Tree]]:
    """tree(application, **options): in a site with each of the two kinds of request."""
    yield from _trees(request.param)


@pytest.fixture
def stream() -> Iterator[Callable[..., Tree]]:
    """As tree, with StreamingRequest."""
    yield from _trees(StreamingRequest)


@pytest.fixture
def stock() -> Iterator[Callable[..., Tree]]:
    """As tree, with twisted.web's own request."""
    yield from _trees(Request)


def _trees(request: type[Request]) -> Iterator[Callable[..., Tree]]:
    trees: list[Tree] = []

    def start(application: Any, **options: Any) -> Tree:
        trees.append(Tree(application, request, **options))
        return trees[-1]

    yield start
    for tree in trees:
        tree.close()
