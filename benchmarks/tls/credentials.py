"""Creates the certificate and the key that all contenders use in one run."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
VALID = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Credentials:
    """PEM files; the certificate is self-signed, so clients trust only this certificate."""

    certificate: Path
    key: Path
    """PKCS#8 without a password, because granian accepts no other form."""


def make(folder: Path) -> Credentials:
    """Write a certificate of EC P-256 for :data:`HOST`, and its key, to a folder.

    Raises:
        ImportError: cryptography is missing; twisted[tls] brings it.
    """
    # Imported here, because contenders and tests without TLS do not need it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Credentials(folder / "certificate.pem", folder / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.touch(mode=0o600)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made
