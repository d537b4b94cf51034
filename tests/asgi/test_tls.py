"""The tls extension, from octets and names."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from daphne_like.asgi.tls import tls_extension
from tests.support.certificates import Authority

AUTHORITY = Authority()
SERVER = AUTHORITY.issue("localhost")
NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Smith, Jones & Co"),
        x509.NameAttribute(NameOID.COMMON_NAME, "alice"),
    ]
)
CLIENT = AUTHORITY.issue(name=NAME)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


class TestExtension:
    """ASGI, "TLS Extension"."""

    def test_every_key_without_a_client_certificate(self) -> None:
        """T02-T07: all keys are there; what is not known is None, the chain is empty."""
        assert tls_extension(None, (), None, None) == {
            "server_cert": None,
            "client_cert_chain": (),
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": None,
            "cipher_suite": None,
        }

    def test_certificates_are_pem(self) -> None:
        """T02, T03: PEM text, the client's own certificate first."""
        chain = [der(CLIENT.certificate), der(AUTHORITY.certificate)]
        extension = tls_extension(der(SERVER.certificate), chain, None, None)
        loaded = [
            x509.load_pem_x509_certificate(pem.encode())
            for pem in (extension["server_cert"], *extension["client_cert_chain"])
        ]
        assert loaded == [SERVER.certificate, CLIENT.certificate, AUTHORITY.certificate]

    def test_name(self) -> None:
        """T04: the subject as RFC 4514 writes it: the last part first, commas escaped."""
        extension = tls_extension(None, [der(CLIENT.certificate)], None, None)
        assert extension["client_cert_name"] == r"CN=alice,O=Smith\, Jones & Co,C=DE"

    @pytest.mark.parametrize(("name", "number"), [("TLSv1.2", 0x0303), ("TLSv1.3", 0x0304)])
    def test_version(self, name: str, number: int) -> None:
        """T06: the number of the version."""
        assert tls_extension(None, (), name, None)["tls_version"] == number

    @pytest.mark.parametrize(
        ("name", "number"),
        [
            ("TLS_AES_128_GCM_SHA256", 0x1301),
            ("TLS_AES_256_GCM_SHA384", 0x1302),
            ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02B),
            ("ECDHE-RSA-AES256-GCM-SHA384", 0xC030),
            ("unheard-of", None),
        ],
    )
    def test_cipher_suite(self, name: str, number: int | None) -> None:
        """T07: IANA's number of 16 bits."""
        assert tls_extension(None, (), None, name)["cipher_suite"] == number

    def test_every_cipher_that_we_speak_has_a_number(self) -> None:
        """T07: none of OpenSSL's default list is unknown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for cipher in context.get_ciphers():
            assert tls_extension(None, (), None, cipher["name"])["cipher_suite"] is not None
