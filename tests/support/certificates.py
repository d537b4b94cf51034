"""A certificate authority for tests, in memory: EC keys, valid for a day."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support import needed

DAY = datetime.timedelta(days=1)


class Issued:
    """A certificate and its key.

    Attributes:
        certificate: of `cryptography`.
        chain, key: PEM; the chain is the certificate and, behind it, who signed it unless that is
            the root.
    """

    def __init__(self, certificate: x509.Certificate, private: Any, above: bytes = b"") -> None:
        self.certificate = certificate
        self.private = private
        self.chain = certificate.public_bytes(serialization.Encoding.PEM) + above
        self.key = self.encrypted(None)

    def encrypted(self, password: bytes | None) -> bytes:
        """The key as PEM, encrypted if there is a password."""
        how: Any = serialization.NoEncryption()
        if password is not None:
            how = serialization.BestAvailableEncryption(password)
        octets: bytes = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
        )
        return octets

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """NAME.crt and NAME.key in a folder; their paths."""
        crt, key = folder / f"{name}.crt", folder / f"{name}.key"
        crt.write_bytes(self.chain)
        key.write_bytes(self.key)
        return str(crt), str(key)

    def write_both(self, path: Path) -> str:
        """One file with key, certificate and chain."""
        path.write_bytes(self.key + self.chain)
        return str(path)


class Authority:
    """Signs certificates; with `above` it is an intermediate one."""

    def __init__(self, name: str = "Test CA", above: Authority | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.private = ec.generate_private_key(ec.SECP256R1())
        signer = above or self
        self.certificate = signer._sign(
            self.name,
            self.private,
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self._above = self.pem if above is not None else b""

    def issue(self, *hosts: str, name: x509.Name | None = None, private: Any = None) -> Issued:
        """A certificate for host names, or for a client of that name; `private` is its key."""
        private = private or ec.generate_private_key(ec.SECP256R1())
        subject = name or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        extensions: list[tuple[Any, bool]] = []
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            extensions.append((names, False))
        return Issued(self._sign(subject, private, *extensions), private, self._above)

    def write(self, folder: Path) -> str:
        """ca.pem in a folder; its path."""
        (folder / "ca.pem").write_bytes(self.pem)
        return str(folder / "ca.pem")

    def client(self, *pair: str) -> ssl.SSLContext:
        """A context that trusts this authority alone, with the client's own files, if any."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if pair:
            context.load_cert_chain(*pair)
        return context

    def _sign(self, subject: x509.Name, private: Any, *extensions: Any) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key()),
                critical=False,
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.private, hashes.SHA256())


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A key, and a certificate for 127.0.0.1 that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file


def self_signed(folder: Path) -> Path:
    """A PEM file with a key and its certificate for 127.0.0.1."""
    openssl = needed.program("openssl", "openssl")
    path = folder / "site.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(path), "-out", str(folder / "crt.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (folder / "crt.pem").read_text())
    return path
