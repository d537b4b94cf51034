"""The client behind trusted proxies."""

from __future__ import annotations

from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.runtime.trusted_proxies import TrustedProxies


def applied(
    *fields: tuple[str, str], client: list[Any] | None = None, trusted: str = "127.0.0.1,10.0.0.0/8"
) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields],
        "client": client or ["127.0.0.1", 40000],
        "scheme": "http",
        "root_path": "",
    }
    if client == []:
        scope["client"] = None
    TrustedProxies(trusted, "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto").apply(scope)
    return scope


class TestClient:
    """S30: the client that trusted proxies tell of, and nobody else."""

    def test_the_last_untrusted_address_is_the_client(self) -> None:
        """Read from the right; what is left of it the client could have made up."""
        scope = applied(("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.2.3"))
        assert scope["client"] == ["203.0.113.9", 0]

    def test_several_fields_are_one_list(self) -> None:
        """RFC 9110, 5.3: repeated fields join in their order."""
        scope = applied(("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "10.1.2.3"))
        assert scope["client"] == ["203.0.113.9", 0]

    def test_all_trusted_gives_the_first(self) -> None:
        """A request from inside: the farthest proxy is the client."""
        assert applied(("X-Forwarded-For", "10.9.9.9, 10.1.2.3"))["client"] == ["10.9.9.9", 0]

    @pytest.mark.parametrize("lie", ["evil", "unknown", "_hidden", "203.0.113.9:80", "", "1.2.3"])
    def test_what_is_no_address_is_never_the_client(self, lie: str) -> None:
        """K6, S30: not even from a trusted proxy."""
        assert applied(("X-Forwarded-For", lie))["client"] == ["127.0.0.1", 40000]

    def test_the_proxy_behind_a_lie_is_the_client(self) -> None:
        """The address right of it was said by somebody trusted."""
        assert applied(("X-Forwarded-For", "evil, 10.1.2.3"))["client"] == ["10.1.2.3", 0]

    def test_an_untrusted_peer_is_its_own_client(self) -> None:
        """S30: fields of a peer that is no trusted proxy count for nothing."""
        fields = ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https")
        scope = applied(*fields, client=["198.51.100.1", 5])
        assert (scope["client"], scope["scheme"]) == (["198.51.100.1", 5], "http")

    def test_a_unix_peer_is_trusted_by_name_only(self) -> None:
        """`unix` stands for every peer on a UNIX socket."""
        field = ("X-Forwarded-For", "203.0.113.9")
        assert applied(field, client=[], trusted="127.0.0.1")["client"] is None
        assert applied(field, client=[], trusted="unix")["client"] == ["203.0.113.9", 0]

    def test_port(self) -> None:
        """X-Forwarded-Port is the client's port, if it is a number."""
        address = ("X-Forwarded-For", "203.0.113.9")
        assert applied(address, ("X-Forwarded-Port", "81"))["client"] == ["203.0.113.9", 81]
        assert applied(address, ("X-Forwarded-Port", "8x"))["client"] == ["203.0.113.9", 0]

    def test_everybody(self) -> None:
        """`*` trusts every peer and takes the leftmost address, as all of them are proxies."""
        scope = applied(
            ("X-Forwarded-For", "203.0.113.9, 198.51.100.7"), client=["8.8.8.8", 1], trusted="*"
        )
        assert scope["client"] == ["203.0.113.9", 0]


class TestSchemeAndRoot:
    """S31: scheme and root path from trusted proxies, and only ones that make sense."""

    @pytest.mark.parametrize(
        ("proto", "scheme"),
        [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("wss", "https"),
         ("javascript", "http"), ("", "http"), ("http, https", "https")],
    )  # fmt: skip
    def test_scheme(self, proto: str, scheme: str) -> None:
        """H04, K6: one of http and https, whatever the field says."""
        assert applied(("X-Forwarded-Proto", proto))["scheme"] == scheme

    def test_root_path_of_a_trusted_proxy(self) -> None:
        """Daphne-Root-Path is decoded, and taken out."""
        scope = applied(("Daphne-Root-Path", "/a%20b"), ("X", "y"))
        assert scope["root_path"] == "/a b"
        assert scope["headers"] == [(b"x", b"y")]

    def test_root_path_of_anybody_else_is_taken_out(self) -> None:
        """K6: it does not reach the application."""
        scope = applied(("Daphne-Root-Path", "/evil"), client=["198.51.100.1", 5])
        assert scope["root_path"] == ""
        assert scope["headers"] == []


def test_a_bad_list_is_refused() -> None:
    """A ConfigurationError names the entry."""
    with pytest.raises(ConfigurationError, match="got '10.0.0.0/99'"):
        TrustedProxies("127.0.0.1, 10.0.0.0/99", None, None, None)
