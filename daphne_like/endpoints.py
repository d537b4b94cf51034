"""The module of endpoint strings by Daphne's name; the code is in listening/."""

from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import build_endpoint_description_strings, endpoint_strings

__all__ = ["build_endpoint_description_strings", "endpoint_strings", "endpoints_from"]
