"""Builds TLS contexts from certificate files, chooses among them by name, and reloads them.

pem.py reads the files and reports what is wrong with them.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from daphne_like.exceptions import ConfigurationError
from daphne_like.tls.pem import Pair, password_from, read_pair

log = logging.getLogger("daphne_like.tls")

MINIMUM_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: only forward secrecy and authenticated encryption (RFC 9325, 4.2)."""
VERIFICATION = {"optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True)
class TLSSettings:
    """The settings of a TLS listener, named after the arguments of the endpoint string.

    Attributes:
        certificate: paths of PEM files, each with its chain after the certificate, or of
            directories of such files; the first certificate is the default, for clients that name
            no host of another certificate.
        key: paths of PEM files by position; where it is missing, the certificate's file holds the
            key.
        key_password: as openssl's -passin takes it: pass:TEXT, env:NAME or file:PATH.
        minimum_version: one of MINIMUM_VERSIONS.
        ciphers: OpenSSL's cipher list, for TLS 1.2.
        client_ca: path of a PEM file with the authorities that sign clients' certificates.
        client_verify: one of VERIFICATION; `required` by default when client_ca is set.
    """

    certificate: tuple[str, ...]
    key: tuple[str, ...] = ()
    key_password: str | None = None
    minimum_version: str = "1.2"
    ciphers: str | None = None
    client_ca: str | None = None
    client_verify: str | None = None

    def __post_init__(self) -> None:
        if not self.certificate:
            raise ConfigurationError("certificate: a TLS listener needs one")
        if len(self.key) > len(self.certificate):
            raise ConfigurationError("key: there are more keys than certificates")
        if self.minimum_version not in MINIMUM_VERSIONS:
            raise ConfigurationError(
                f"minimumVersion: expected 1.2 or 1.3, got {self.minimum_version!r}"
            )
        if self.client_verify is not None:
            if self.client_verify not in VERIFICATION:
                raise ConfigurationError(
                    f"clientVerify: expected optional or required, got {self.client_verify!r}"
                )
            if self.client_ca is None:
                raise ConfigurationError(
                    "clientVerify: nobody to verify clients by; give clientCA too"
                )

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the paths of each certificate and its key, also for each file of a directory.

        Raises:
            ConfigurationError: a directory has no certificates, or `key` names a key for it.
        """
        for position, path in enumerate(self.certificate):
            key = self.key[position] if position < len(self.key) else ""
            if not os.path.isdir(path):
                yield path, key or path
                continue
            if key:
                raise ConfigurationError(
                    f"key: {path} is a directory, whose files hold their own keys"
                )
            files = sorted(name for name in os.listdir(path) if name.endswith(".pem"))
            if not files:
                raise ConfigurationError(f"certificate: the directory {path} has no *.pem file")
            for name in files:
                file = os.path.join(path, name)
                yield file, file


class Context(ssl.SSLContext):
    """A context that keeps its certificate, which `ssl` does not give back.

    Attributes:
        certificate: DER.
    """

    certificate: bytes


class Certificates:
    """The contexts of a listener, rebuilt when their files change.

    A connection keeps the context that it began with, so a reload drops no connection, and the
    port stays open.

    Args:
        settings: the settings of the listener.
    Raises:
        ConfigurationError: a file or its content is not usable.

    Attributes:
        context: the context for new connections; it chooses among the others by SNI itself.
    """

    def __init__(self, settings: TLSSettings) -> None:
        self.settings = settings
        self._protocols = ["http/1.1"]
        self._seen = self._loaded = self._files()
        self.context = self._build()

    def offer(self, protocols: Iterable[bytes]) -> None:
        """Offer these protocols by ALPN from now on (RFC 7301), the preferred one first."""
        self._protocols = [protocol.decode("ascii") for protocol in protocols]
        self.context = self._build()

    def reload(self) -> bool:
        """Load all files again; keep the old certificates if anything is wrong with the new ones.

        Returns:
            True if the new certificates are in use; otherwise the log says why not.
        """
        self._loaded = self._seen = self._files()
        try:
            self.context = self._build()
        except ConfigurationError as error:
            log.error("TLS goes on with the certificates it has: %s", error)
            return False
        log.info("TLS certificates loaded: %s", ", ".join(self.settings.certificate))
        return True

    def reload_if_changed(self) -> None:
        """Reload when files have changed and then stayed the same since the last check.

        A renewal writes several files one after the other. In between, the certificate and the key
        do not belong together.
        """
        files = self._files()
        if files != self._loaded and files == self._seen:
            self.reload()
        self._seen = files

    def _files(self) -> list[tuple[object, ...]]:
        """Return path, inode, size and time of every file; a changed value means a changed file."""
        settings = self.settings
        try:
            paths = {path for pair in settings.pairs() for path in pair}
        except (ConfigurationError, OSError):
            paths = set()
        if settings.client_ca is not None:
            paths.add(settings.client_ca)
        found: list[tuple[object, ...]] = []
        for path in sorted(paths):
            try:
                status = os.stat(path)
            except OSError:
                found.append((path, None))
            else:
                found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    def _build(self) -> Context:
        password = password_from(self.settings.key_password)
        try:
            pairs = [read_pair(*paths, password) for paths in self.settings.pairs()]
        except OSError as error:
            raise ConfigurationError(f"certificate: {error.filename}: {error.strerror}")
        default, *others = contexts = [self._context(pair) for pair in pairs]
        if others:
            by_name: dict[str, Context] = {}
            for pair, context in zip(pairs, contexts, strict=True):
                for name in pair.names:
                    by_name.setdefault(name, context)
            default.sni_callback = _Chooser(by_name)
        return default

    def _context(self, pair: Pair) -> Context:
        settings = self.settings
        context = Context(ssl.PROTOCOL_TLS_SERVER)
        context.certificate = pair.octets
        context.minimum_version = MINIMUM_VERSIONS[settings.minimum_version]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # The client chooses, because all remaining ciphers are strong, and a client without AES in
        # hardware knows which one is fast for it.
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.set_ciphers(settings.ciphers or CIPHERS)
        except ssl.SSLError:
            raise ConfigurationError(f"ciphers: OpenSSL knows none of {settings.ciphers!r}")
        context.set_alpn_protocols(self._protocols)
        # One session ticket instead of two: each costs as much as a small request (measured), and
        # the next connection brings a new one.
        context.num_tickets = 1
        pair.load_into(context)
        if settings.client_ca is not None:
            try:
                context.load_verify_locations(settings.client_ca)
            except OSError as error:  # ssl.SSLError is one
                unreadable = not isinstance(error, ssl.SSLError)
                why = error.strerror if unreadable else "no certificate in it"
                raise ConfigurationError(f"clientCA: {settings.client_ca}: {why}")
            context.verify_mode = VERIFICATION[settings.client_verify or "required"]
        return context


class _Chooser:
    """Chooses the context for the server name that a client sends (RFC 6066, 3).

    Args:
        by_name: contexts by the names of their certificates, in lower case; a wildcard matches one
            label.
    """

    def __init__(self, by_name: dict[str, Context]) -> None:
        self._by_name = by_name

    def __call__(self, tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        wildcard = "*." + name.partition(".")[2]
        context = self._by_name.get(name) or self._by_name.get(wildcard)
        if context is not None:
            tls.context = context
