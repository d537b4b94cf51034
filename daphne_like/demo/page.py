"""`GET /`: the page, and the Content-Security-Policy that lets in exactly what is written in it."""

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
"""The page times round trips; without these, browsers round its clock to up to a millisecond."""


@dataclass(frozen=True)
class Page:
    """The page's octets, and the policy that belongs to them."""

    content: bytes
    policy: bytes


def hash_sources(text: str, tag: str) -> str:
    """The hash sources (CSP Level 3) of every inline element of that tag, separated by spaces."""
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (hashlib.sha256(body.encode()).digest() for body in bodies)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)


def write_policy(text: str) -> str:
    """The page's policy: its own script and style, its own origin to talk to, and nothing else.

    'self' in connect-src stands for WebSockets of the same origin too (CSP Level 3). Trusted types
    are required and none are made: the browser stops a script that writes markup from data.
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
    """Read the page, once in a process."""
    # read_text makes every line end a line feed, as the browser does before it hashes.
    text = importlib.resources.files("daphne_like.demo").joinpath("page.html").read_text("utf-8")
    return Page(content=text.encode(), policy=write_policy(text).encode("ascii"))


async def show_page(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer with the page."""
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
