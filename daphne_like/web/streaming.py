"""A request of twisted.web whose body a resource may have while it arrives.

What the resource does with it is its own business; nothing here knows of ASGI.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol, cast

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import EncodingResourceWrapper, IResource
from twisted.web.server import Request

from daphne_like.http.h1.status_lines import CONTINUE


class IStreamedResource(IResource):
    """A resource that is rendered when the head of a request is there.

    Its `render` sets the request's `consumer` unless `body_is_whole`, and gives NOT_DONE_YET.
    """


class BodyConsumer(Protocol):
    """Takes a request body while it arrives."""

    def body_received(self, data: bytes) -> None:
        """A part of it, without its framing."""

    def body_complete(self) -> None:
        """That was all."""


class StreamingRequest(Request):
    """For `Site(root, requestFactory=StreamingRequest)`: streamed resources stream both ways.

    twisted.web collects a request body before it looks for the resource (twisted#4688). This one
    looks when the head is there. Where it finds none that is streamed it goes on as twisted.web
    does; where looking fails, as for a `getChild` that reads the body, it looks again when the
    body is whole.

    Attributes:
        body_is_whole: no more of it comes.
        body_length: of its octets as the head says; None for a chunked one.
        expects_continue: the peer waits for 100 (Continue); the consumer's to send.
        consumer: gets the body; set by a streamed resource.
    """

    body_is_whole = True
    body_length: int | None = 0
    expects_continue = False
    consumer: BodyConsumer | None = None
    _begun = False
    _resource: Any = None  # found, and rendered when the body is whole
    _channel_timeout: float | None = None

    # What the channel calls.

    def gotLength(self, length: int | None) -> None:
        if length == 0:
            super().gotLength(length)
            return
        self.body_is_whole = False
        self.body_length = length
        self.content = BytesIO()
        expectation = self.requestHeaders.getRawHeaders(b"expect", [b""])[0]
        if expectation.lower() == b"100-continue" and isinstance(self.channel, HTTPChannel):
            # The channel would send 100 as soon as this returns, whether anybody wants the body
            # or not. Over HTTP/2 it has its way: there this is called before all fields are here.
            self.requestHeaders.removeHeader(b"expect")
            self.expects_continue = True
        # Not now: the channel is not yet where it can take an answer.
        cast(Any, self.channel).site.reactor.callLater(0, self._begin)

    def handleContentChunk(self, data: bytes) -> None:
        self._begin()
        if self.consumer is not None:
            self.consumer.body_received(data)
        elif not self.finished:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.body_is_whole:
            super().requestReceived(command, path, version)
            return
        self._begin()
        self.body_is_whole = True
        if self.consumer is not None:
            self.consumer.body_complete()
        elif not self.finished:
            super().requestReceived(command, path, version)
        if self.finished and self.queued:
            self._give_back_channel()
            self.queued = False
            self._cleanup()

    # With the head alone.

    def _begin(self) -> None:
        if self._begun or self._disconnected:
            return
        self._begun = True
        if self.expects_continue:
            self.requestHeaders.addRawHeader(b"expect", b"100-continue")
        super().requestReceived(*_request_line(self.channel))
        if self.consumer is not None:
            if isinstance(self.channel, HTTPChannel):
                # It measures the peer's silence, also when it is us that do not read.
                self._channel_timeout = self.channel.setTimeout(None)
        elif not self.finished:
            if self.expects_continue:
                self.channel.write(CONTINUE)
            super().gotLength(self.body_length)

    def process(self) -> None:
        """Find the resource, or render the one that was found with the head."""
        if self._resource is None:
            super().process()
            return
        try:
            super().render(self._resource)
        except BaseException:  # noqa: BLE001 # as twisted.web's own, which is passed by
            self.processingFailed(Failure())

    def render(self, resrc: Any) -> None:
        """Render a streamed resource, and others with the whole body."""
        if self.body_is_whole or IStreamedResource.providedBy(_original(resrc)):
            super().render(resrc)
        else:
            self._resource = resrc

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer 500, unless another try follows when the body is whole."""
        if self.body_is_whole or self.consumer is not None:
            return cast(Failure, super().processingFailed(reason))
        return reason

    # The end.

    def finish(self) -> None:
        """Send the end of the response; the channel goes on when the request, too, is whole."""
        if self.body_is_whole:
            self._give_back_channel()
        else:
            # The channel reads this request's body still. Of a queued request `finish` sends
            # all, and leaves the channel's next request for later.
            self.queued = True
        super().finish()

    def _give_back_channel(self) -> None:
        if self._channel_timeout is not None and self.channel is not None:
            self.channel.setTimeout(self._channel_timeout)
            self._channel_timeout = None


def _original(resource: Any) -> Any:
    while isinstance(resource, EncodingResourceWrapper):
        resource = resource.original
    return resource


def _request_line(channel: Any) -> tuple[bytes, bytes, bytes]:
    """Method, target and version of the request whose head has arrived."""
    if isinstance(channel, HTTPChannel):
        # HTTPChannel tells them only with the whole request (twisted 26.10); this is the one
        # place where their private names are read. Gone when twisted#4688 is done.
        return channel._command, channel._path, channel._version
    return channel.command, channel.path, b"HTTP/2"
