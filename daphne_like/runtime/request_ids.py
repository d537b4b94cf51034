"""Gives each request its ids before its application starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from daphne_like.observe.request_identity import (
    REQUEST_ID,
    Identity,
    current,
    make_identity,
    new_request_id,
    parse_traceparent,
)
from daphne_like.options import Options
from daphne_like.runtime.applications import Applications
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.trusted_proxies import TrustedProxies

FIELD = b"x-request-id"
STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class RequestIds:
    """Gives each request its ids: in its scope, in its context and, if wanted, in its response.

    It stands before two functions of the context, so that without it a request costs the same.

    Args:
        options: `request_id` is "response" for an X-Request-ID in each response.
        context: of the server; its `create_application` is replaced.
        applications: their `handle_reply` is replaced for "response".
    """

    def __init__(
        self, options: Options, context: ServerContext, applications: Applications
    ) -> None:
        self._trusted = TrustedProxies(options.trusted_proxies)
        self._create = context.create_application
        self._applications = applications
        self._reply = applications.handle_reply
        self._in_response = options.request_id == "response"
        context.create_application = self.create_application
        if self._in_response:
            applications.handle_reply = self.handle_reply

    def create_application(self, owner: Any, scope: dict[str, Any], *more: Any) -> Any:
        """Set the ids of an exchange or session and run its application."""
        owner.identity = identity = self.identify(owner, scope["headers"])
        if self._in_response:
            owner.sends_request_id = True
        scope["state"]["request_id"] = identity.request_id
        self._applications.set_in_context(current, identity)
        return self._create(owner, scope, *more)

    def identify(self, owner: Any, fields: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Return the ids of a request with these fields."""
        request_id = trace_id = span_id = ""
        for name, value in fields:
            if name == b"traceparent":
                trace_id, span_id = parse_traceparent(value) or ("", "")
            elif name == FIELD and not request_id and self._is_trusted(owner):
                request_id = value.decode("ascii") if REQUEST_ID.fullmatch(value) else ""
        return make_identity((request_id or new_request_id(), trace_id, span_id))

    def _is_trusted(self, owner: Any) -> bool:
        peer = owner.carrier.client  # not the client that the peer names
        return self._trusted.trusts(peer[0] if peer else None)

    def handle_reply(self, owner: Any, message: Any) -> Awaitable[None]:
        """Add the id to the message that begins a response; see Applications.reply."""
        if message.__class__ is dict and message.get("type") in STARTS and owner.sends_request_id:
            message = with_field(message, owner.identity.request_id)
        reply: Callable[..., Awaitable[None]] = self._reply
        return reply(owner, message)


def with_field(message: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Return a message with X-Request-ID among its headers, unless the application has set one."""
    headers = message.get("headers", ())
    if not isinstance(headers, Iterable):
        return message  # refused later
    fields = list(headers)
    for pair in fields:
        name = pair[0] if isinstance(pair, (tuple, list)) and pair else b""
        if isinstance(name, bytes) and name.lower() == FIELD:
            return {**message, "headers": fields}
    return {**message, "headers": [*fields, (FIELD, request_id.encode("ascii"))]}
