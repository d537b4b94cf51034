"""Who may read the status page and act: an attacker tries."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.status.guard import (
    ACTION_FIELD,
    Guard,
    is_this_machine,
    read_token,
    require_privacy,
)

TOKEN = "a-token-of-some-length"


def scope(*headers: tuple[bytes, bytes], client: Any = ("127.0.0.1", 5), **more: Any) -> Any:
    return {"type": "http", "headers": list(headers), "client": client, **more}


def host(name: bytes) -> tuple[bytes, bytes]:
    return (b"host", name)


def basic(user: str, password: str) -> tuple[bytes, bytes]:
    return (b"authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))


class TestWithoutToken:
    """The Host field names this machine."""

    @pytest.mark.parametrize(
        "name",
        [
            b"localhost",
            b"localhost:9100",
            b"LOCALHOST.",
            b"127.0.0.1:9100",
            b"127.8.9.1",
            b"[::1]:9",
        ],
    )
    def test_this_machine(self, name: bytes) -> None:
        """Its names and addresses are welcome."""
        assert Guard(None).refuse(scope(host(name))) is None

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [host(b"evil.example:9100")],
            [host(b"localhost.evil.example")],
            [host(b"evil.example"), host(b"localhost")],
            [host(b"localhost"), host(b"localhost")],
            [host(b"192.0.2.1")],
            [host(b"0.0.0.0")],
            [host(b"")],
            [host(b"localhost@evil.example")],
        ],
    )
    def test_rebinding(self, headers: Any) -> None:
        """A name that somebody has bound to 127.0.0.1 is none of them."""
        refusal = Guard(None).refuse(scope(*headers))
        assert refusal is not None
        assert refusal.status == 403

    def test_unix_socket(self) -> None:
        """No name leads to a UNIX socket; its permissions decide."""
        assert Guard(None).refuse(scope(host(b"any.example"), client=None)) is None


class TestWithToken:
    """Each request has the token."""

    @pytest.mark.parametrize(
        "header",
        [
            (b"authorization", b"Bearer " + TOKEN.encode()),
            (b"authorization", b"bearer  " + TOKEN.encode()),
            basic("", TOKEN),
            basic("anybody", TOKEN),
        ],
    )
    def test_token(self, header: tuple[bytes, bytes]) -> None:
        """As a bearer, or as the password of a browser; any Host will do."""
        assert Guard(TOKEN).refuse(scope(header, host(b"status.example"))) is None

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [(b"authorization", b"Bearer")],
            [(b"authorization", b"Bearer " + TOKEN[:-1].encode())],
            [(b"authorization", b"Bearer " + TOKEN.encode() + b"x")],
            [(b"authorization", TOKEN.encode())],
            [(b"authorization", b"Basic " + TOKEN.encode())],
            [(b"authorization", b"Basic !!!")],
            [(b"authorization", b"Basic \xff\xfe")],
            [(b"authorization", b"Bearer \xff\xfe")],
            [basic(TOKEN, "")],
            [basic("", TOKEN), basic("", TOKEN)],
            [(b"cookie", TOKEN.encode())],
            [(b"x-token", TOKEN.encode())],
        ],
    )
    def test_without(self, headers: Any) -> None:
        """Nothing else opens, on this machine neither, and never a target."""
        target = {"query_string": f"token={TOKEN}".encode(), "path": f"/{TOKEN}"}
        for client in (("127.0.0.1", 5), None):
            refusal = Guard(TOKEN).refuse(
                scope(*headers, host(b"localhost"), client=client, **target)
            )
            assert refusal is not None
            assert refusal.status == 401
            assert refusal.fields[0][0] == b"www-authenticate"


class TestActions:
    """POST requests that another site may have caused."""

    OWN = (ACTION_FIELD, b"drain")

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [(b"origin", b"http://localhost:9100")],
            [(b"origin", b"http://localhost:9100"), (b"sec-fetch-site", b"same-origin")],
            [(b"sec-fetch-site", b"none")],
        ],
    )
    def test_own(self, headers: Any) -> None:
        """The page, and programs, which send no Origin."""
        asked = scope(self.OWN, host(b"localhost:9100"), *headers)
        assert Guard.refuse_action(asked, "drain") is None

    @pytest.mark.parametrize(
        "headers",
        [
            [(b"origin", b"https://evil.example")],
            [(b"origin", b"null")],
            [(b"origin", b"http://localhost:8000")],
            [(b"origin", b"http://localhost:9100"), (b"origin", b"https://evil.example")],
            [(b"sec-fetch-site", b"cross-site")],
            [(b"sec-fetch-site", b"same-site")],
        ],
    )
    def test_another_site(self, headers: Any) -> None:
        """Origin and Sec-Fetch-Site say so, even with the field."""
        refusal = Guard.refuse_action(scope(self.OWN, host(b"localhost:9100"), *headers), "drain")
        assert refusal is not None
        assert refusal.status == 403

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [(ACTION_FIELD, b"restart")],
            [(ACTION_FIELD, b"")],
            [OWN, (ACTION_FIELD, b"restart")],
        ],
    )
    def test_form(self, headers: Any) -> None:
        """A form has no field of its own; a field for one action allows no other."""
        refusal = Guard.refuse_action(scope(host(b"localhost:9100"), *headers), "drain")
        assert refusal is not None
        assert refusal.status == 403


class TestToken:
    """`--status-token`."""

    def test_environment(self) -> None:
        assert read_token("env:STATUS", {"STATUS": TOKEN}) == TOKEN

    def test_file(self, tmp_path: Path) -> None:
        """The first line, without its end."""
        (tmp_path / "token").write_text(f"{TOKEN}\r\nmore\n")
        assert read_token(f"file:{tmp_path / 'token'}") == TOKEN

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ("env:NONE", "at least 16 characters"),
            ("env:SHORT", "secrets.token_urlsafe"),
            ("file:/nonexistent", "cannot read"),
            ("pass:a-token-of-some-length", "expected env:NAME or file:PATH"),
            ("a-token-of-some-length", "expected env:NAME or file:PATH"),
            ("env:", "expected env:NAME or file:PATH"),
        ],
    )
    def test_mistakes(self, source: str, sentence: str) -> None:
        """A sentence says what is wrong, and never repeats a token."""
        with pytest.raises(ConfigurationError, match=sentence) as raised:
            read_token(source, {"SHORT": "0123456789"})
        assert "0123456789" not in str(raised.value)


class TestPrivacy:
    """Endpoints without a token."""

    @pytest.mark.parametrize(
        "address", [("127.0.0.1", 9), ("::1", 9), ("/run/status.sock", None), ("@status", None)]
    )
    def test_this_machine(self, address: Any) -> None:
        require_privacy([address], None)

    @pytest.mark.parametrize("address", [("0.0.0.0", 9), ("::", 9), ("192.0.2.1", 9)])
    def test_others(self, address: Any) -> None:
        """Others can reach it: only with a token."""
        require_privacy([address], TOKEN)
        with pytest.raises(ConfigurationError, match="--status-token"):
            require_privacy([("127.0.0.1", 1), address], None)

    @pytest.mark.parametrize("name", ["", "localhost.localdomain", "127.0.0.1.nip.io", "::2"])
    def test_names(self, name: str) -> None:
        """Names that only look like this machine's."""
        assert not is_this_machine(name)
