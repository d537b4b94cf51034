"""An ASGI server at home in Twisted. Importing the package installs and starts nothing."""

from __future__ import annotations

__version__ = "0.1.0"
