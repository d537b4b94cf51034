"""Twisted's `tls:` endpoint, with a directory that is reloaded when its files change."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IStreamServerEndpoint
from zope.interface import implementer

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.https import IReloadable
from daphne_like.tls.factory import CHECK_INTERVAL_SECONDS

log = logging.getLogger("daphne_like.tls")


@implementer(IStreamServerEndpoint, IReloadable)
class DirectoryEndpoint:
    """Listens on `tls:DIRECTORY:PORT`.

    Twisted (26.10) reads the directory at startup, and again only while it holds no certificate at
    all, so a renewed certificate takes effect at the next start. This endpoint checks the
    directory when a client connects, at most once a second.

    Args:
        parse: creates Twisted's endpoint from the string, which reads the directory.
        path: the directory.
        clock: returns seconds.
    Raises:
        ConfigurationError: the directory does not exist.
    """

    def __init__(self, parse: Callable[[], Any], path: str, clock: Callable[[], float]) -> None:
        if not os.path.isdir(path):
            raise ConfigurationError(f"{path} is no directory")
        self._parse = parse
        self._endpoint = parse()
        self._renewed = RenewedCreator(parse, self._endpoint.connectionCreator, path, clock)
        self._endpoint.connectionCreator = self._renewed

    def listen(self, protocolFactory: Any) -> Any:
        return self._endpoint.listen(protocolFactory)

    def reload(self) -> None:
        self._renewed.reload()


@implementer(IOpenSSLServerConnectionCreator)
class RenewedCreator:
    """Creates the TLS connection objects with the newest of Twisted's connection creators.

    Args:
        parse, path, clock: see DirectoryEndpoint.
        current: the first creator.
    """

    def __init__(
        self, parse: Callable[[], Any], current: Any, path: str, clock: Callable[[], float]
    ) -> None:
        self._parse = parse
        self._current = current
        self._path = path
        self._clock = clock
        self._checked_at = clock()
        self._loaded = self._seen = self._files()
        if not _shows_one(current):
            log.warning("TLS: %s holds no certificate with its key; nobody can connect", path)

    def serverConnectionForTLS(self, protocol: Any) -> Any:
        """Return a connection made by Twisted's creator, reloaded first if files have changed."""
        if self._clock() - self._checked_at >= CHECK_INTERVAL_SECONDS:
            self._checked_at = self._clock()
            self._reload_if_changed()
        return self._current.serverConnectionForTLS(protocol)

    def reload(self) -> None:
        """Read the directory again; on an error keep the present certificates."""
        self._loaded = self._seen = self._files()
        try:
            found = self._parse().connectionCreator
            if not _shows_one(found):
                raise ConfigurationError("no certificate with its key in it")
        except Exception as error:  # noqa: BLE001 # Twisted's and OpenSSL's, of many kinds
            log.error("TLS goes on with the certificates it has: %s: %s", self._path, error)
            return
        self._current = found
        log.info("TLS certificates loaded: %s", self._path)

    def _reload_if_changed(self) -> None:
        # Programs that renew certificates write several files one after the other, so reload only
        # files that are stable: unchanged since the last check or, because there may have been no
        # connection and so no check for a while, old enough.
        files = self._files()
        changed = max((status[-1] for status in files.values()), default=0)
        still = files == self._seen or time.time() - changed / 1e9 >= CHECK_INTERVAL_SECONDS
        if files != self._loaded and still:
            self.reload()
        self._seen = files

    def _files(self) -> dict[str, tuple[int, ...]]:
        """Return inode, size and change times of each file that Twisted reads."""
        found: dict[str, tuple[int, ...]] = {}
        for folder, _, names in os.walk(self._path):
            for path in (os.path.join(folder, name) for name in names if name.endswith(".pem")):
                try:
                    s = os.stat(path)
                except OSError:
                    continue
                found[path] = (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        return found


def _shows_one(creator: Any) -> bool:
    return creator.serverConnectionForTLS(None).get_certificate() is not None
