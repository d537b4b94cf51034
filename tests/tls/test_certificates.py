"""Files to contexts: what is wrong with them, SNI, changes."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.tls.certificates import Certificates, TLSSettings
from tests.support.certificates import Authority

AUTHORITY = Authority()
SITE = AUTHORITY.issue("localhost", "example.org", "*.example.org")
OTHER = AUTHORITY.issue("other.example")


@pytest.fixture
def site(tmp_path: Path) -> tuple[str, str]:
    return SITE.write(tmp_path, "site")


def shown(certificates: Certificates, host: str | None, **how: Any) -> bytes:
    """The certificate that a client is shown, DER."""
    client = AUTHORITY.client()
    client.check_hostname = False
    client.set_alpn_protocols(["http/1.1"])
    for name, value in how.items():
        setattr(client, name, value)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = certificates.context.wrap_bio(into, out, server_side=True)
    peer = client.wrap_bio(out, into, server_hostname=host)
    for _ in range(3):
        for side in (peer, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert peer.selected_alpn_protocol() == "http/1.1"
    octets = peer.getpeercert(binary_form=True)
    assert octets is not None
    return octets


def der(issued: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.chain.decode())


def mistake(**settings: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        Certificates(TLSSettings(**settings))
    return str(refused.value)


class TestMistakes:
    """One sentence each: the argument, the file, what is wrong."""

    def test_missing_file(self, site: tuple[str, str]) -> None:
        """No such certificate, key, client CA, password."""
        sentence = "/nope: No such file or directory"
        assert mistake(certificate=("/nope",)) == f"certificate: {sentence}"
        assert mistake(certificate=site[:1], key=("/nope",)) == f"key: {sentence}"
        more = {"certificate": site[:1], "key": site[1:]}
        assert mistake(**more, client_ca="/nope") == f"clientCA: {sentence}"
        assert mistake(**more, key_password="file:/nope") == f"keyPassword: {sentence}"

    def test_files_without_what_is_wanted(self, site: tuple[str, str], tmp_path: Path) -> None:
        """A key in the place of the certificate, and the other way round."""
        crt, key = site
        assert mistake(certificate=(key,)) == f"certificate: {key} holds no certificate in PEM form"
        assert mistake(certificate=(crt,)) == f"key: {crt} holds no private key in PEM form"
        sentence = mistake(certificate=(crt,), key=(key,), client_ca=key)
        assert sentence == f"clientCA: {key}: no certificate in it"
        assert "has no *.pem file" in mistake(certificate=(str(tmp_path),))

    def test_damaged_files(self, site: tuple[str, str], tmp_path: Path) -> None:
        """PEM's frame, and nothing that makes sense in it."""
        crt = site[0]
        bad = tmp_path / "bad"
        bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        assert mistake(certificate=(str(bad),)).endswith("holds a certificate that is damaged")
        bad.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        sentence = mistake(certificate=(crt,), key=(str(bad),))
        assert sentence == f"key: {bad} holds a private key that is damaged"

    def test_key_of_another_certificate(self, site: tuple[str, str], tmp_path: Path) -> None:
        """Both files are named."""
        _, key = OTHER.write(tmp_path, "other")
        assert mistake(certificate=site[:1], key=(key,)) == (
            f"key: {key} does not hold the key of the certificate in {site[0]}"
        )

    def test_password(
        self, site: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Missing, wrong, from nowhere; and right, from each of its three sources."""
        path = tmp_path / "encrypted"
        path.write_bytes(SITE.encrypted(b"a:b"))
        more: dict[str, Any] = {"certificate": site[:1], "key": (str(path),)}
        assert mistake(**more) == f"key: {path} is encrypted; keyPassword says how to open it"
        assert mistake(**more, key_password="pass:x") == f"keyPassword: it does not open {path}"
        sentence = "keyPassword: NOPE is not in the environment"
        assert mistake(**more, key_password="env:NOPE") == sentence
        expected = "keyPassword: expected pass:TEXT, env:NAME or file:PATH"
        assert mistake(**more, key_password="secret") == expected
        monkeypatch.setenv("TLS_PASSWORD", "a:b")
        (tmp_path / "password").write_text("a:b\nanother line\n")
        for source in ("pass:a:b", "env:TLS_PASSWORD", f"file:{tmp_path}/password"):
            certificates = Certificates(TLSSettings(**more, key_password=source))
            assert shown(certificates, "localhost") == der(SITE)

    def test_other_arguments(self, site: tuple[str, str]) -> None:
        """Versions, ciphers, verification without an authority, more keys than certificates."""
        more: dict[str, Any] = {"certificate": site[:1], "key": site[1:]}
        assert mistake(**more, minimum_version="1.1").startswith("minimumVersion: expected 1.2")
        assert mistake(**more, ciphers="ROT13") == "ciphers: OpenSSL knows none of 'ROT13'"
        assert mistake(**more, client_verify="required").endswith("give clientCA too")
        assert mistake(**more, client_verify="no", client_ca="x").startswith("clientVerify: exp")
        assert mistake(certificate=site[:1], key=(*site, "x")).startswith("key: there are more")
        assert mistake(certificate=()) == "certificate: a TLS listener needs one"


class TestDefaults:
    """RFC 9325: what is not chosen is safe."""

    def test_context(self, site: tuple[str, str]) -> None:
        """No version before 1.2, no compression, no renegotiation, only ECDHE with AEAD."""
        context = Certificates(TLSSettings(site[:1], site[1:])).context
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
        for cipher in context.get_ciphers():
            assert cipher["aead"]
            assert cipher["name"].startswith(("TLS_", "ECDHE-"))
        assert context.verify_mode == ssl.CERT_NONE

    def test_client_ca_means_required(self, site: tuple[str, str], tmp_path: Path) -> None:
        """With an authority for clients a certificate is required, unless it is optional."""
        ca = AUTHORITY.write(tmp_path)
        for verify, mode in (
            (None, ssl.CERT_REQUIRED),
            ("required", ssl.CERT_REQUIRED),
            ("optional", ssl.CERT_OPTIONAL),
        ):
            settings = TLSSettings(site[:1], site[1:], client_ca=ca, client_verify=verify)
            assert Certificates(settings).context.verify_mode == mode


class TestSNI:
    """RFC 6066, 3: the certificate by the name that the client sends."""

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("other.example", OTHER),
            ("OTHER.example", OTHER),
            ("example.org", SITE),
            ("www.example.org", SITE),
            ("deep.www.example.org", OTHER),
            ("unheard.of", OTHER),
            (None, OTHER),
        ],
    )
    def test_choice(self, tmp_path: Path, host: str | None, expected: Any) -> None:
        """Exact names and wildcards of one label; the first certificate for all others."""
        files = [OTHER.write(tmp_path, "other"), SITE.write(tmp_path, "site")]
        certificates = Certificates(TLSSettings(*map(tuple, zip(*files, strict=True))))
        assert shown(certificates, host) == der(expected)

    def test_directory(self, tmp_path: Path) -> None:
        """Every *.pem file with key and certificate in it; the first by name is the default."""
        OTHER.write_both(tmp_path / "a.pem")
        SITE.write_both(tmp_path / "b.pem")
        (tmp_path / "README").write_text("not one")
        certificates = Certificates(TLSSettings((str(tmp_path),)))
        assert shown(certificates, "example.org") == der(SITE)
        assert shown(certificates, None) == der(OTHER)


class TestReload:
    """Certificates that change while they are used."""

    def test_looks(self, tmp_path: Path) -> None:
        """A change counts once it has stood still for one look, and once."""
        settings = TLSSettings((SITE.write_both(tmp_path / "site.pem"),))
        certificates = Certificates(settings)
        certificates.reload_if_changed()
        before = certificates.context
        OTHER.write_both(tmp_path / "site.pem")
        os.utime(tmp_path / "site.pem", ns=(1, 1))
        certificates.reload_if_changed()
        assert certificates.context is before
        certificates.reload_if_changed()
        after = certificates.context
        assert shown(certificates, None) == der(OTHER)
        certificates.reload_if_changed()
        assert certificates.context is after

    def test_a_new_file_in_a_directory(self, tmp_path: Path) -> None:
        """What comes into a directory is found."""
        SITE.write_both(tmp_path / "a.pem")
        certificates = Certificates(TLSSettings((str(tmp_path),)))
        OTHER.write_both(tmp_path / "b.pem")
        certificates.reload_if_changed()
        certificates.reload_if_changed()
        assert shown(certificates, "other.example") == der(OTHER)

    def test_bad_ones_change_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The old ones stay, one line says why, and it is not said again."""
        path = tmp_path / "site.pem"
        certificates = Certificates(TLSSettings((SITE.write_both(path),)))
        path.write_bytes(SITE.chain + OTHER.key)
        for _ in range(4):
            certificates.reload_if_changed()
        why = f"key: {path} does not hold the key of the certificate in {path}"
        said = f"TLS goes on with the certificates it has: {why}"
        assert [record.getMessage() for record in caplog.records] == [said]
        assert shown(certificates, None) == der(SITE)
        path.unlink()
        assert not certificates.reload()
        assert shown(certificates, None) == der(SITE)
        OTHER.write_both(path)
        assert certificates.reload()
        assert shown(certificates, None) == der(OTHER)
