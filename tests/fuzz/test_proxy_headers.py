"""Whatever a client writes in front of it, the part that a proxy appends counts."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from daphne_like.options import Options
from daphne_like.runtime.proxy_headers import ProxyHeaders
from tests.support.fuzzing import examples

SETTINGS = settings(max_examples=examples(300), deadline=None, derandomize=True)
X_FORWARDED = ProxyHeaders(Options(proxy_headers=True))
FORWARDED = ProxyHeaders(Options(proxy_headers="forwarded"))
PEER = ["127.0.0.1", 40000]
PIECES = [
    b"for=", b"For=6.6.6.6", b"proto=https", b"host=evil", b'"', b"\\", b",", b";", b"=", b" ",
    b"6.6.6.6", b"127.0.0.1", b"[::1]", b":80", b"_hidden", b"unknown", b"\xff", b"\t",
]  # fmt: skip
FORGED = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12).map(b"".join)


def scope_of(proxy_headers: ProxyHeaders, name: bytes, *values: bytes) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "headers": [(b"host", b"x"), *((name, value) for value in values)],
        "client": PEER.copy(), "scheme": "http", "root_path": "", "path": "/",
    }  # fmt: skip
    proxy_headers.apply(scope)
    return scope


@SETTINGS
@given(FORGED, st.booleans())
@example(b'for="', False)
@example(b'for=6.6.6.6;x="a, ', False)
def test_appended(forged: bytes, own_line: bool) -> None:
    """S30, S31: in the same line, or in a line of its own."""
    element = b'for="203.0.113.9:4711";proto=https;host=site.example'
    values = [forged, element] if own_line else [forged + b", " + element]
    scope = scope_of(FORWARDED, b"forwarded", *values)
    assert (scope["client"], scope["scheme"]) == (["203.0.113.9", 4711], "https")
    assert scope["headers"][0] == (b"host", b"site.example")
    values = [forged, b"203.0.113.9"] if own_line else [forged + b", 203.0.113.9"]
    assert scope_of(X_FORWARDED, b"x-forwarded-for", *values)["client"] == ["203.0.113.9", 0]


@SETTINGS
@given(st.lists(FORGED, max_size=3))
def test_anything(values: list[bytes]) -> None:
    """S30, S31: whatever a trusted proxy passes on, the scope holds an address and a scheme."""
    for name, proxy_headers in ((b"forwarded", FORWARDED), (b"x-forwarded-for", X_FORWARDED)):
        scope = scope_of(proxy_headers, name, *values)
        host, port = scope["client"]
        assert str(ipaddress.ip_address(host)) == host
        assert 0 <= port < 65536
        assert scope["scheme"] in ("http", "https")
