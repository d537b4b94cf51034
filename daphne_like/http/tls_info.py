"""Reads the `tls` extension from a transport, with this package's TLS or Twisted's."""

from __future__ import annotations

import ssl
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import ISSLTransport, ISystemHandle

from daphne_like.asgi.tls import tls_extension

DER = 2  # _ssl.ENCODING_DER


def read_tls_extension(transport: Any) -> dict[str, Any] | None:
    """Return the `tls` extension of a connection; None without TLS (ASGI T01)."""
    if not (ISSLTransport.providedBy(transport) and ISystemHandle.providedBy(transport)):
        return None
    handle = transport.getHandle()
    if isinstance(handle, ssl.SSLObject):
        return _read_from_ssl(handle)
    if isinstance(handle, SSL.Connection):
        return _read_from_pyopenssl(handle)
    return tls_extension(None, (), None, None)  # an unknown TLS implementation


def _read_from_ssl(tls: ssl.SSLObject) -> dict[str, Any]:
    cipher = tls.cipher()
    # Set by tls.certificates, because `ssl` does not expose the server's own certificate.
    shown: bytes | None = getattr(tls.context, "certificate", None)
    return tls_extension(shown, _chain(tls), tls.version(), cipher and cipher[0])


def _chain(tls: Any) -> list[bytes]:
    """Return the certificates that the client has sent, its own first."""
    if tls.getpeercert(binary_form=True) is None:
        return []  # the methods below return [None], or raise (3.13)
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return list(tls.get_unverified_chain())
    # The same method is private before Python 3.13; remove this with support for 3.12.
    shown = tls._sslobj.get_unverified_chain()
    return [certificate.public_bytes(DER) for certificate in shown]


def _read_from_pyopenssl(tls: Any) -> dict[str, Any]:
    shown, own = tls.get_certificate(), tls.get_peer_certificate()
    chain = [] if own is None else [_octets(own)]
    # On the server's side, OpenSSL returns the chain without the client's own certificate.
    rest = map(_octets, tls.get_peer_cert_chain() or ())
    chain += [octets for octets in rest if octets not in chain]
    return tls_extension(
        shown and _octets(shown), chain, tls.get_protocol_version_name(), tls.get_cipher_name()
    )


def _octets(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
