"""The listening sockets of a supervisor, by endpoint string."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory

from daphne_like.listening.inherited import RecordingReactor
from daphne_like.listening.ports import Address, Ports
from daphne_like.options import Options
from daphne_like.process.spawning import Inheritance

Key = tuple[str, int]


class BoundSockets:
    """Sockets that listen, and from which the supervisor never accepts a connection.

    A change of the configuration binds the endpoint strings that are new, and closes those that are
    gone only when the workers that need them have been replaced.

    Args:
        reactor: the supervisor's reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._bound: dict[Key, tuple[Ports, RecordingReactor]] = {}

    @inlineCallbacks
    def bind(self, strings: Sequence[str], options: Options) -> Generator[Deferred[Any], Any, None]:
        """Bind the endpoint strings that are not bound yet.

        Returns:
            A Deferred.
        Raises:
            ConfigurationError: one of them is unusable; those bound by this call are closed.
        """
        done: list[Key] = []
        try:
            for key in to_keys(strings):
                if key in self._bound:
                    continue
                recording = RecordingReactor(self._reactor, reuse_port=options.reuse_port)
                ports = Ports([key[0]], options)
                ports.parse(recording)
                # Ports pauses each port before the event loop accepts from it.
                yield ports.bind(NeverAccepts(), ports.add)
                recording.reopen_named()
                self._bound[key] = ports, recording
                done.append(key)
        except BaseException:
            for key in done:
                yield self._release(key).unbind()
            raise

    def validate(self, strings: Sequence[str], options: Options) -> None:
        """Parse endpoint strings and read their files, such as certificates; bind nothing.

        Raises:
            ConfigurationError: one of them is unusable.
        """
        Ports(list(strings), options).parse(self._reactor)

    def inheritance(self, strings: Sequence[str]) -> Inheritance:
        """Return the sockets of these strings for a worker."""
        bound = [self._bound[key][1] for key in to_keys(strings)]
        recorded = [port for recording in bound for port in recording.ports]
        named = [pair for recording in bound for pair in recording.named.items()]
        return Inheritance(
            [port.fileno() for port in recorded],
            {number: port.fileno() for number, port in named},
        )

    def addresses(self, strings: Sequence[str]) -> list[Address]:
        """Return the addresses of these strings."""
        return [address for key in to_keys(strings) for address in self._bound[key][0].addresses]

    def listening(self) -> list[tuple[Address, int]]:
        """Return each address with the descriptor of its socket."""
        return [
            (address, port.fileno())
            for ports, recording in self._bound.values()
            for address, port in zip(ports.addresses, recording.ports, strict=False)
        ]

    @inlineCallbacks
    def close(self, keep: Sequence[str] = ()) -> Generator[Deferred[Any], Any, None]:
        """Close the sockets of all other strings; files of UNIX sockets are removed.

        Returns:
            A Deferred.
        """
        kept = to_keys(keep)
        for key in [key for key in self._bound if key not in kept]:
            yield self._release(key).close()

    def _release(self, key: Key) -> Ports:
        """Forget the sockets of a string, and return its ports, which the caller closes."""
        ports, recording = self._bound.pop(key)
        recording.close_named()
        return ports


def to_keys(strings: Sequence[str]) -> list[Key]:
    """Return each string with the number of equal ones before it: `tcp:0` twice is two sockets."""
    return [(string, strings[:position].count(string)) for position, string in enumerate(strings)]


class NeverAccepts(Factory):
    """The factory of ports that accept nothing."""

    noisy = False

    def buildProtocol(self, addr: Any) -> None:
        return None
