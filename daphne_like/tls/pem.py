"""Reads a certificate and its key from PEM files; says in one sentence what is wrong with them."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from daphne_like.exceptions import ConfigurationError


@dataclass(frozen=True)
class Pair:
    """A certificate and the key that belongs to it.

    Attributes:
        octets: the certificate, DER.
        names: host names of the certificate, in lower case; a wildcard is `*.example.org`.
    """

    certificate: str
    key: str
    password: bytes | None
    octets: bytes
    names: tuple[str, ...]

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load the certificate and the key into a context.

        Raises:
            ConfigurationError: OpenSSL refuses them, for example because the key is too short.
        """
        try:
            # Without a password callback OpenSSL would ask for the password on the terminal.
            context.load_cert_chain(self.certificate, self.key, lambda: self.password or b"")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise ConfigurationError(f"certificate: {self.certificate}: OpenSSL says {reason}")


def password_from(text: str | None) -> bytes | None:
    """Return the password that `keyPassword` names, in the form of openssl's -passin.

    Raises:
        ConfigurationError: the text is not pass:TEXT, env:NAME or file:PATH, or the variable or
            file does not exist.
    """
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    if kind == "pass":
        return rest.encode()
    if kind == "env":
        if rest not in os.environ:
            raise ConfigurationError(f"keyPassword: {rest} is not in the environment")
        return os.fsencode(os.environ[rest])
    if kind == "file":
        return _read("keyPassword", rest).partition(b"\n")[0].rstrip(b"\r")
    raise ConfigurationError("keyPassword: expected pass:TEXT, env:NAME or file:PATH")


def read_pair(certificate: str, key: str, password: bytes | None) -> Pair:
    """Read a certificate and its key, and check that they belong together.

    Raises:
        ConfigurationError: the message names the argument, the file, and the problem.
    """
    found = _read_certificate(certificate)
    private = _read_key(key, password)
    if _public(found.public_key()) != _public(private.public_key()):
        raise ConfigurationError(
            f"key: {key} does not hold the key of the certificate in {certificate}"
        )
    return Pair(certificate, key, password, found.public_bytes(Encoding.DER), _names(found))


def _read_certificate(path: str) -> x509.Certificate:
    octets = _read("certificate", path)
    if b"-----BEGIN CERTIFICATE-----" not in octets:
        raise ConfigurationError(f"certificate: {path} holds no certificate in PEM form")
    try:
        return x509.load_pem_x509_certificate(octets)
    except ValueError:
        raise ConfigurationError(f"certificate: {path} holds a certificate that is damaged")


def _read_key(path: str, password: bytes | None) -> Any:
    octets = _read("key", path)
    if b"PRIVATE KEY-----" not in octets:
        raise ConfigurationError(f"key: {path} holds no private key in PEM form")
    encrypted = b"ENCRYPTED" in octets
    if encrypted and password is None:
        raise ConfigurationError(f"key: {path} is encrypted; keyPassword says how to open it")
    try:
        return load_pem_private_key(octets, password if encrypted else None)
    except (ValueError, TypeError):
        if encrypted:
            raise ConfigurationError(f"keyPassword: it does not open {path}")
        raise ConfigurationError(f"key: {path} holds a private key that is damaged")


def _public(key: Any) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names of a certificate; its common name is ignored (RFC 9525)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _read(argument: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{argument}: {path}: {error.strerror}")
