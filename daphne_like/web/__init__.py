"""An ASGI application inside a tree of twisted.web resources."""

from daphne_like.web.resource import ASGIResource
from daphne_like.web.streaming import StreamingRequest

__all__ = ["ASGIResource", "StreamingRequest"]
