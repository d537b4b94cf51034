"""All ports of a server: those that serve its application, and those of `--https-redirect`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.accepting import Accepting
from daphne_like.listening.https_redirect import RedirectToHTTPS, redirect_options
from daphne_like.listening.ports import Ports
from daphne_like.options import Options


class AllPorts:
    """The ports of a server, which are parsed, bound and opened together.

    Args:
        strings: Twisted endpoint strings for the application; those of the redirect are an option.
        options: options for parsing the strings.

    Attributes:
        serving: ports of the application.
        redirecting: ports of `--https-redirect`.
        accepting: decides whether they accept.
    """

    def __init__(self, strings: list[str], options: Options) -> None:
        self.serving = Ports(strings, options)
        redirects = redirect_options(options) if options.https_redirect else options
        self.redirecting = Ports(list(options.https_redirect), redirects)
        self.accepting = Accepting(self._resume, self._pause)

    def require(self) -> None:
        """Refuse to go on without an endpoint for the application.

        Raises:
            ConfigurationError: there is no endpoint.
        """
        if not self.serving.strings:
            raise ConfigurationError("No endpoints: a server needs at least one to listen on")

    def parse(self, reactor: Any) -> None:
        """Parse the endpoint strings, once.

        Args:
            reactor: with which the endpoints listen; may be a ReactorProxy.
        Raises:
            ConfigurationError: there is no endpoint, or one is unusable.
        """
        self.require()
        self.serving.parse(reactor)
        self.redirecting.parse(reactor)

    @inlineCallbacks
    def bind(
        self,
        factory: Any,
        bound: Callable[[Any], None],
        factory_for: Callable[[RedirectToHTTPS], Any],
    ) -> Generator[Deferred[Any], Any, None]:
        """Listen on every endpoint; clients wait in the listen queue until `open`.

        Args:
            factory: factory of the application's connections.
            bound: called with each port of the application; must call `serving.add`.
            factory_for: returns a factory whose connections have the redirect as application.
        Returns:
            A Deferred, which has already fired for the endpoints of Twisted and of this package.
        Raises:
            ConfigurationError: an endpoint cannot be bound; the ports bound before are closed.
        """
        yield self.serving.bind(factory, bound)
        if not self.redirecting.strings:
            return
        redirect = RedirectToHTTPS(self.serving.find_tls_port)
        try:
            yield self.redirecting.bind(factory_for(redirect), self.redirecting.add)
        except Exception:
            yield self.serving.unbind()
            raise

    def tell_accepted(self, accepted: Callable[[], None]) -> None:
        """Call a function after each accepted connection, before its TLS handshake; before `bind`.

        Ports of Twisted's stock reactor and of third-party endpoints do not call it.
        """
        self.serving.accepted = self.redirecting.accepted = accepted

    def count(self) -> int:
        """Return the number of ports that listen."""
        return len(self.serving.listeners) + len(self.redirecting.listeners)

    def open(self) -> None:
        """Accept connections, as soon as there is no reason to pause."""
        self.accepting.open()

    def _resume(self) -> None:
        self.serving.open()
        self.redirecting.open()

    def _pause(self) -> None:
        self.serving.pause()
        self.redirecting.pause()
