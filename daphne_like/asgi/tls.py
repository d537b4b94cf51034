"""The `tls` extension of HTTP and WebSocket scopes (ASGI T01-T07).

Certificates come in as octets, version and cipher as names; http/tls_info.py reads them from the
connection. The specification may still change (asgiref #466, #590), and only this module with it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from cryptography import x509

VERSIONS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def tls_extension(
    server_certificate: bytes | None,
    client_chain: Iterable[bytes],
    version: str | None,
    cipher: str | None,
) -> dict[str, Any]:
    """Return the value of `scope["extensions"]["tls"]`; the caller must copy it.

    Args:
        server_certificate: DER, or None if it is not known.
        client_chain: DER, the client's own certificate first; empty if the client sent none.
        version: OpenSSL's name, such as "TLSv1.3".
        cipher: OpenSSL's name, "TLS_AES_128_GCM_SHA256" or "ECDHE-ECDSA-AES128-GCM-SHA256".
    """
    extension = server_side(server_certificate, version, cipher)
    chain = tuple(client_chain)
    if chain:
        extension = {
            **extension,
            "client_cert_chain": tuple(map(ssl.DER_cert_to_PEM_cert, chain)),
            "client_cert_name": x509.load_der_x509_certificate(chain[0]).subject.rfc4514_string(),
        }
    return extension


@lru_cache(maxsize=64)
def server_side(
    certificate: bytes | None, version: str | None, cipher: str | None
) -> dict[str, Any]:
    """Return the extension for clients without certificates, cached; the caller must copy it."""
    return {
        "server_cert": certificate and ssl.DER_cert_to_PEM_cert(certificate),
        "client_cert_chain": (),
        "client_cert_name": None,
        # A certificate that does not verify ends the handshake, so no request follows it.
        "client_cert_error": None,
        "tls_version": version and VERSIONS.get(version),
        "cipher_suite": cipher and cipher_numbers().get(cipher),
    }


@cache
def cipher_numbers() -> dict[str, int]:
    """Return the numbers of OpenSSL's cipher suites by OpenSSL's names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
