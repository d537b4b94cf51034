"""The shop behind a proxy that speaks https to its clients, and below a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.django_shop import open_shop

httpx = needed.module("httpx")
django = needed.module("django")

SECONDS = 20
FORWARDED = {
    "X-Forwarded-For": "192.0.2.9",
    "X-Forwarded-Port": "4711",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A proxy's connection to a shop that believes it."""
    with (
        open_shop(
            tmp_path_factory.mktemp("shop"), "--proxy-headers", SHOP_BEHIND_PROXY="1"
        ) as running,
        httpx.Client(base_url=running.url, headers=FORWARDED, timeout=SECONDS) as client,
    ):
        yield client


def post(client: Any, **fields: str) -> int:
    """The status of a form sent with a token that is right, and these fields."""
    token = client.get("/form").text
    # The cookie is Secure, and httpx keeps it off a connection without TLS.
    cookie = {"Cookie": f"csrftoken={token}", "X-CSRFToken": token}
    response = client.post("/form", data={"word": "yes"}, headers={**cookie, **fields})
    status: int = response.status_code
    return status


class TestProxy:
    """--proxy-headers with SECURE_PROXY_SSL_HEADER and USE_X_FORWARDED_HOST."""

    def test_client_host_and_scheme(self, client: Any) -> None:
        """Django sees the client's address, host and scheme, and links accordingly."""
        told = client.get("/facts/").json()
        assert (told["client"], told["host"], told["secure"]) == (
            "192.0.2.9",
            "shop.example",
            True,
        )
        assert told["absolute"] == "https://shop.example/facts/"

    def test_plain_client(self, client: Any) -> None:
        """A client that came to the proxy without TLS is not secure."""
        told = client.get("/facts/", headers={"X-Forwarded-Proto": "http"}).json()
        assert (told["secure"], told["absolute"]) == (False, "http://shop.example/facts/")


class TestCSRF:
    """Django's CsrfViewMiddleware behind https."""

    def test_own_origin(self, client: Any) -> None:
        """The shop's own origin, as its clients know it, passes."""
        assert post(client, Origin="https://shop.example") == 200

    def test_trusted_origin(self, client: Any) -> None:
        """One of CSRF_TRUSTED_ORIGINS passes."""
        assert post(client, Origin="https://partner.example") == 200

    @pytest.mark.parametrize("origin", ["https://bad.example", "http://shop.example", "null"])
    def test_other_origin(self, client: Any, origin: str) -> None:
        """Another origin, or its own without TLS, is refused."""
        assert post(client, Origin=origin) == 403

    @pytest.mark.parametrize("site", ["shop.example", "partner.example"])
    def test_referer(self, client: Any, site: str) -> None:
        """Without Origin the Referer of the shop, or of a trusted site, passes."""
        assert post(client, Referer=f"https://{site}/a") == 200

    def test_other_referer(self, client: Any) -> None:
        """Another Referer, an insecure one, or none at all is refused."""
        for fields in [
            {"Referer": "https://bad.example/"},
            {"Referer": "http://shop.example/"},
            {},
        ]:
            assert post(client, **fields) == 403

    def test_wrong_token(self, client: Any) -> None:
        """A token that is not the cookie's is refused."""
        assert post(client, Origin="https://shop.example", **{"X-CSRFToken": "x" * 32}) == 403


class TestRootPath:
    """The shop below /shop."""

    def test_option(self, tmp_path: Path) -> None:
        """--root-path: Django takes it off the path, and puts it into its links."""
        with open_shop(tmp_path, "--root-path", "/shop") as running:
            told = httpx.get(f"{running.url}/shop/facts/a", timeout=SECONDS).json()
        assert told["path"] == "/shop/facts/a"
        assert (told["path_info"], told["prefix"]) == ("/facts/a", "/shop/")
        assert told["link"] == "/shop/session"

    @pytest.mark.parametrize("by", ["option", "header"])
    def test_stripped(self, tmp_path: Path, by: str) -> None:
        """--root-path-stripped: the same behind a proxy that removes the prefix."""
        options = ["--root-path", "/shop"]
        fields = {}
        if by == "header":
            options = ["--proxy-headers", "--proxy-headers-prefix", "X-Forwarded-Prefix"]
            fields = {"X-Forwarded-Prefix": "/shop"}
        with open_shop(tmp_path, *options, "--root-path-stripped") as running:
            url = f"{running.url}/facts/a"
            told = httpx.get(url, headers=fields, timeout=SECONDS).json()
        assert told["path"] == "/shop/facts/a"
        assert (told["path_info"], told["prefix"]) == ("/facts/a", "/shop/")
        assert told["link"] == "/shop/session"

    def test_field(self, client: Any) -> None:
        """Daphne-Root-Path of a trusted proxy does the same."""
        told = client.get("/shop/facts/a", headers={"Daphne-Root-Path": "/shop"}).json()
        assert (told["path_info"], told["link"]) == ("/facts/a", "/shop/session")

    @pytest.mark.skipif(
        django.VERSION < (5, 0), reason="before Django 5.0 FORCE_SCRIPT_NAME stays in path_info"
    )
    def test_setting(self, tmp_path: Path) -> None:
        """FORCE_SCRIPT_NAME: the same without the server's help."""
        with open_shop(tmp_path, SHOP_SCRIPT_NAME="/shop") as running:
            told = httpx.get(f"{running.url}/shop/facts/a", timeout=SECONDS).json()
        assert (told["path_info"], told["link"]) == ("/facts/a", "/shop/session")
