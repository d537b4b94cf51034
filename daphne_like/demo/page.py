"""`GET /`: the page, and a Content-Security-Policy that allows only the page's own elements."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daphne_like.demo.answers import answer

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

ISOLATION = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
)
"""The page times round trips; without these headers browsers round its clock to a millisecond."""


@dataclass(frozen=True)
class Page:
    """The page's octets and its policy."""

    content: bytes
    policy: bytes


def hash_sources(text: str, tag: str) -> str:
    """Return the hash sources (CSP Level 3) of all inline elements of a tag, space-separated."""
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (hashlib.sha256(body.encode()).digest() for body in bodies)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)


def write_policy(text: str) -> str:
    """Return the page's policy: its own script and style, connections to its own origin only.

    'self' in connect-src includes WebSockets of the same origin (CSP Level 3). Trusted types are
    required and no policy creates them, so the browser stops a script that turns data into markup.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {hash_sources(text, 'script')}",
            f"style-src {hash_sources(text, 'style')}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


@functools.cache
def load_page() -> Page:
    """Read the page, once per process."""
    # read_text turns every line end into a line feed, as the browser does before it hashes.
    text = importlib.resources.files("daphne_like.demo").joinpath("page.html").read_text("utf-8")
    return Page(content=text.encode(), policy=write_policy(text).encode("ascii"))


async def show_page(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Send the page."""
    page = load_page()
    await answer(
        send,
        200,
        b"text/html; charset=utf-8",
        page.content,
        fields=ISOLATION,
        policy=page.policy,
        head_only=scope["method"] == "HEAD",
    )
