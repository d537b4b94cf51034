"""What can keep the suite from running; each message is one sentence for the person who ran it."""

from __future__ import annotations


class ConformanceError(Exception):
    """The suite did not run to its end, so nothing is known of the server."""


class MissingError(ConformanceError):
    """Something has to be installed first."""
