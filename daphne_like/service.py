"""The import path of .tac files for the Twisted service; the code is in launch/service.py."""

from daphne_like.launch.service import ASGIService

__all__ = ["ASGIService"]
