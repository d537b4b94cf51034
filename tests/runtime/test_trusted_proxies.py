"""The peers that --trusted-proxies names."""

from __future__ import annotations

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.runtime.trusted_proxies import TrustedProxies


@pytest.mark.parametrize(
    ("trusted", "host", "expected"),
    [
        ("127.0.0.1,10.0.0.0/8", "10.255.0.1", True),
        ("127.0.0.1,10.0.0.0/8", "11.0.0.1", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("2001:db8::/32", "2001:db8::7", True),
        ("127.0.0.1", None, False),
        ("unix", None, True),
        ("unix", "127.0.0.1", False),
        ("*", "203.0.113.9", True),
        ("*", None, True),
        ("", "127.0.0.1", False),
        ("127.0.0.1", "testclient", False),
        ("127.0.0.1", "x" * 100, False),
    ],
)
def test_trusts(trusted: str, host: str | None, expected: bool) -> None:
    """S30: addresses, networks, `unix` for UNIX sockets, `*` for everybody; twice the same."""
    proxies = TrustedProxies(trusted)
    assert [proxies.trusts(host), proxies.trusts(host)] == [expected, expected]


def test_a_bad_list_is_refused() -> None:
    """A ConfigurationError names the entry."""
    with pytest.raises(ConfigurationError, match="got '10.0.0.0/99'"):
        TrustedProxies("127.0.0.1, 10.0.0.0/99")
