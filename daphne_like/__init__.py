"""An ASGI server at home in Twisted. Importing the package installs and starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daphne_like.launch.embedding import run, serve

__version__ = "0.1.0"
__all__ = ["run", "serve"]


def __getattr__(name: str) -> Any:
    # When first asked for: who wants the version, or one part, does not load the whole server.
    if name in __all__:
        from daphne_like.launch import embedding

        return getattr(embedding, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
