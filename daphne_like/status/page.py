"""The page: one HTML file without outside resources, and the policy that holds it to that."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib import resources
from typing import NamedTuple

ELEMENT = r"<{0}>(.*?)</{0}>"


class Page(NamedTuple):
    """The octets of the page, and its Content-Security-Policy."""

    content: bytes
    policy: bytes


@functools.cache
def load_page() -> Page:
    """Read the page, once per process."""
    text = resources.files("daphne_like.status").joinpath("page.html").read_text("utf-8")
    policy = [
        "default-src 'none'",
        f"script-src {_hashes(text, 'script')}",
        f"style-src {_hashes(text, 'style')}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return Page(text.encode(), "; ".join(policy).encode("ascii"))


def _hashes(text: str, tag: str) -> str:
    """Return the sources of all inline elements of a tag (CSP Level 3)."""
    bodies = re.findall(ELEMENT.format(tag), text, re.DOTALL)
    digests = (hashlib.sha256(body.encode()).digest() for body in bodies)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
