"""What Twisted finds of daphne_like: instances only."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from daphne_like.listening.fd import FileDescriptorParser
from daphne_like.listening.https import SecureParser

reactor = Reactor(
    "daphne-like",
    "daphne_like.reactor",
    "asyncio on uvloop, stream ports on the event loop's own transports (daphne_like).",
)

server = ServiceMaker(
    "daphne-like",
    "daphne_like.launch.twistd",
    "An ASGI server: Django, Channels, Starlette, FastAPI and every other application.",
    "daphne-like",
)

fd = FileDescriptorParser()
https = SecureParser()
