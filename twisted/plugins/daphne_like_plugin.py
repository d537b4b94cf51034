"""What Twisted finds of daphne_like: instances only."""

from twisted.application.reactors import Reactor

from daphne_like.reactor.fd import FileDescriptorParser

reactor = Reactor(
    "daphne-like",
    "daphne_like.reactor",
    "asyncio on uvloop, stream ports on the event loop's own transports (daphne_like).",
)

fd = FileDescriptorParser()
