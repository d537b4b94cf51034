"""A request of twisted.web whose body a resource can read while it arrives.

This module is independent of ASGI.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol, cast

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import EncodingResourceWrapper, IResource
from twisted.web.server import Request

from daphne_like.http.request_body import CONTINUE


class IStreamedResource(IResource):
    """A resource that is rendered when the head of a request has arrived.

    Its `render` sets the request's `consumer` unless `body_is_whole`, and returns NOT_DONE_YET.
    """


class BodyConsumer(Protocol):
    """Takes a request body while it arrives."""

    def body_received(self, data: bytes) -> None:
        """Take a part of the body, without its framing."""

    def body_complete(self) -> None:
        """Take the end of the body."""


class StreamingRequest(Request):
    """The request class for `Site(root, requestFactory=StreamingRequest)`.

    twisted.web collects a request body before it looks for the resource (twisted#4688). This class
    looks for the resource when the head has arrived. If the resource does not stream, everything
    goes on as in twisted.web. If the look-up fails, as with a `getChild` that reads the body, it is
    repeated when the body is complete.

    Attributes:
        body_is_whole: the whole body has arrived.
        body_length: length of the body in octets; None for a chunked body.
        expects_continue: the peer waits for 100 (Continue), which the consumer sends.
        consumer: receives the body; a streamed resource sets it.
    """

    body_is_whole = True
    body_length: int | None = 0
    expects_continue = False
    consumer: BodyConsumer | None = None
    _begun = False
    _resource: Any = None  # was found, and is rendered when the body is complete
    _channel_timeout: float | None = None

    # Called by the channel.

    def gotLength(self, length: int | None) -> None:
        if length == 0:
            super().gotLength(length)
            return
        self.body_is_whole = False
        self.body_length = length
        self.content = BytesIO()
        expectation = self.requestHeaders.getRawHeaders(b"expect", [b""])[0]
        if expectation.lower() == b"100-continue" and isinstance(self.channel, HTTPChannel):
            # The channel would send 100 as soon as this returns, even if nobody reads the body.
            # Over HTTP/2 it still does, because there not all fields have arrived at this point.
            self.requestHeaders.removeHeader(b"expect")
            self.expects_continue = True
        # In the next turn, because the channel cannot take a response yet.
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
                # The channel's timeout also runs while this side does not read.
                self._channel_timeout = self.channel.setTimeout(None)
        elif not self.finished:
            if self.expects_continue:
                self.channel.write(CONTINUE)
            super().gotLength(self.body_length)

    def process(self) -> None:
        """Find the resource, or render the resource that was found after the head."""
        if self._resource is None:
            super().process()
            return
        try:
            super().render(self._resource)
        except BaseException:  # noqa: BLE001 # as in the method of twisted.web
            self.processingFailed(Failure())

    def render(self, resrc: Any) -> None:
        """Render a streamed resource at once, and any other when the body is complete."""
        if self.body_is_whole or IStreamedResource.providedBy(_original(resrc)):
            super().render(resrc)
        else:
            self._resource = resrc

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer 500, unless the look-up is repeated when the body is complete."""
        if self.body_is_whole or self.consumer is not None:
            return cast(Failure, super().processingFailed(reason))
        return reason

    # The end.

    def finish(self) -> None:
        """Send the end of the response; the channel continues when the request is complete too."""
        if self.body_is_whole:
            self._give_back_channel()
        else:
            # The channel is still reading this request's body. For a queued request `finish` sends
            # the rest of the response and does not start the channel's next request.
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
    """Return method, target and version of the request whose head has arrived."""
    if isinstance(channel, HTTPChannel):
        # HTTPChannel passes these on only with the complete request (twisted 26.10); their private
        # names are read only here. Remove this when twisted#4688 is done.
        return channel._command, channel._path, channel._version
    return channel.command, channel.path, b"HTTP/2"
