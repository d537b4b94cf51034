"""Runs a WSGI application as an ASGI 3 application, in threads, through a2wsgi (ASGI G01 to G04).

a2wsgi moves messages between the thread and the event loop and fills most of the environ. This
module adds what PEP 3333 requires beyond that, and makes sure that no thread waits for ever. So
everything that leaves the application, exceptions included, passes through `Call`. asgiref's
WsgiToAsgi is not used: it reads the whole body before it calls the application, and has one
thread for all requests.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from daphne_like.asgi.forked import end_if_forked
from daphne_like.exceptions import ConfigurationError, ConnectionClosed

log = logging.getLogger("daphne_like.server")

Environ = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_BUFFERED = 262144
"""Octets of a response queued between thread and event loop, beyond which the thread waits."""
MESSAGE_OVERHEAD = 64
"""Octets that each message counts in addition to its body, because empty messages take memory."""
MAX_WAITING = 128
"""Threads that may wait for their clients, in addition to the running ones (`--wsgi-threads`)."""

_current: ContextVar[Call] = ContextVar("call")  # a2wsgi runs the thread in its caller's context


class WSGIApplication:
    """An ASGI 3 application that runs a WSGI application.

    Args:
        application: WSGI (PEP 3333).
        threads: number of requests that run at the same time; others wait.
    Raises:
        ConfigurationError: a2wsgi is not installed.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], threads: int) -> None:
        try:
            from a2wsgi import wsgi
        except ImportError:
            raise ConfigurationError(
                "A WSGI application needs a2wsgi: pip install 'daphne-like[wsgi]'"
            )
        self._application = application
        self._responder: Any = wsgi.WSGIResponder  # a2wsgi's types do not match these
        # Slots bound the running threads; the other threads only wait for clients.
        self._executor = ThreadPoolExecutor(threads + MAX_WAITING, "WSGI")
        self._slots = Slots(threads)
        self._running: set[asyncio.Task[None]] = set()  # the event loop's references are weak

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve an http scope, refuse a WebSocket with 403, and do not support lifespan."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"WSGI knows no {scope['type']}")
        call = Call(self._application, scope, receive, send, self._slots)
        task = asyncio.get_running_loop().create_task(self._adapt(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            # If a2wsgi's task were cancelled, its thread would wait for ever.
            await asyncio.shield(task)
        except asyncio.CancelledError:
            call.abandon()
            raise
        if call.failure is not None:
            raise call.failure

    async def _adapt(self, call: Call) -> None:
        _current.set(call)
        await call.slot.take()
        try:
            responder = self._responder(_run_current, self._executor, 0)
            responder.send_queue = ResponseQueue(call.slot)
            await responder(call.scope, call.receive, call.send)
        finally:
            call.slot.release()
            call.thread_returned()


def _run_current(environ: Environ, start_response: Any) -> Call:
    return _current.get().run(environ, start_response)


class Slots:
    """The slots of requests that may run in threads at the same time; used on the event loop only.

    Args:
        count: number of slots.
    Attributes:
        waiting: number of threads that wait for their clients without a slot.
    """

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.waiting = 0


class Slot:
    """The slot of one request: held while its thread runs, lent while the thread waits.

    Args:
        slots: the application's slots.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._is_taken = False

    async def take(self) -> None:
        """Wait for a free slot."""
        await self._slots.free.acquire()
        self._is_taken = True

    def release(self) -> None:
        """Release the slot for another request; do nothing if it was released before."""
        if self._is_taken:
            self._is_taken = False
            self._slots.free.release()

    async def lend_while(self, waiting: Awaitable[None]) -> None:
        """Release the slot, wait for the client, then take a slot again.

        At most MAX_WAITING threads may do so at the same time; further threads keep their slots.
        """
        slots = self._slots
        if not self._is_taken or slots.waiting >= MAX_WAITING:
            await waiting
            return
        slots.waiting += 1
        self.release()
        try:
            await waiting
        finally:
            try:
                await self.take()
            finally:  # cancelled, too: otherwise the bound would shrink for ever
                slots.waiting -= 1


class ResponseQueue(asyncio.Queue):  # type: ignore[type-arg] # Queue[...] is no base class in 3.10
    """Messages of a response on their way from the thread to the client; bounded in octets.

    Args:
        slot: the request's slot, lent while its thread waits for room in this queue.
    """

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self._slot = slot
        self._octets = 0

    def full(self) -> bool:
        """Tell whether the thread must wait: it writes faster than its client reads."""
        return self._octets >= MAX_BUFFERED

    async def put(self, item: Any) -> None:
        """Add a message on behalf of the thread, which waits until this returns."""
        if self.full():
            await self._slot.lend_while(super().put(item))
        else:
            self.put_nowait(item)

    def _put(self, item: Any) -> None:
        self._octets += _count_octets(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._octets -= _count_octets(item)
        return item


def _count_octets(message: dict[str, Any] | None) -> int:
    return len(message.get("body", b"")) + MESSAGE_OVERHEAD if message else 0


class Call:
    """One request to a WSGI application.

    Attributes:
        scope: the request's scope.
        slot: allows the request's thread to run.
        gone: the peer has gone (`send` or a read of the body found out), or the request was
            cancelled. From then on output is dropped, and the iteration ends. The server does not
            wait for http.disconnect, which also comes when a peer has closed its sending side
            and still reads.
        failure: the exception that the application raised, SystemExit included: raised from
            a2wsgi's task it would stop the event loop.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        slots: Slots,
    ) -> None:
        self.scope = scope
        self.slot = Slot(slots)
        self.gone = False
        self.failure: BaseException | None = None
        self._application = application
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Future[Any] | None = None
        self._abandoned = False
        self._environ: Environ
        self._response: _Response
        self._chunks: Iterable[bytes] = ()
        self._has_body = _has_body(scope)

    # On the event loop.

    def abandon(self) -> None:
        """Give the request up: the thread returns at its next read or chunk."""
        self.gone = self._abandoned = True
        if self._reading is not None:
            self._reading.cancel()

    def thread_returned(self) -> None:
        """Log the exception of an abandoned request, when its thread has returned."""
        if self._abandoned and self.failure is not None:
            log.error("A WSGI application raised after its request was cancelled",
                      exc_info=self.failure)  # fmt: skip

    async def receive(self) -> dict[str, Any]:
        """Return the next event for the input; http.disconnect once the request is given up."""
        if self.gone:
            return {"type": "http.disconnect"}
        self._reading = asyncio.ensure_future(self._receive())
        try:
            event: dict[str, Any] = await self._reading
            return event
        except asyncio.CancelledError:
            return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message of a2wsgi; never raise, because the thread would then wait for ever."""
        if self.gone or self.failure is not None:
            return
        try:
            await self._send(message)
        except ConnectionClosed:
            self.gone = True
        except Exception as error:  # noqa: BLE001 # from the server: the application broke a rule
            self.failure = error

    # In the thread.

    def run(self, environ: Environ, start_response: Callable[..., Any]) -> Call:
        """Return the object that a2wsgi iterates over and then closes: this call."""
        self._environ, self._response = environ, _Response(start_response)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Run the application and yield its chunks, without the empty ones."""
        if self.gone:
            return
        self._complete(self._environ)
        try:
            self._chunks = self._application(self._environ, self._response.start)
            yield from self._begun_by_its_chunks(self._chunks, self._response)
        except BaseException as error:  # noqa: BLE001 # __call__ raises it
            end_if_forked(error)
            self.failure = self.failure or error

    def _begun_by_its_chunks(self, chunks: Iterable[bytes], response: _Response) -> Iterator[bytes]:
        only = _is_one(chunks)
        for chunk in chunks:
            if self.gone or self.failure is not None:
                return
            if not isinstance(chunk, bytes):
                raise TypeError(f"WSGI: expected bytes, got {type(chunk).__name__}")
            if chunk:
                response.begin(len(chunk) if only else None)
                yield chunk
        response.begin(0 if only else None)

    def close(self) -> None:
        """Close the application's iterable, however its iteration has ended (PEP 3333)."""
        # The thread needs the slot no longer; the rest of the response may still be queued.
        self._loop.call_soon_threadsafe(self.slot.release)
        try:
            getattr(self._chunks, "close", _nothing)()
        except BaseException as error:  # noqa: BLE001 # __call__ raises it
            end_if_forked(error)
            self.failure = self.failure or error

    def _complete(self, environ: Environ) -> None:
        """Correct and complete the environ that a2wsgi has built."""
        scope = self.scope
        root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
        if path == root or path.startswith(root + "/"):
            path = path[len(root) :]
        environ["SCRIPT_NAME"] = root.encode().decode("latin-1")  # G03
        environ["PATH_INFO"] = path.encode().decode("latin-1")
        # A field named Proxy would become HTTP_PROXY, which HTTP clients obey (CVE-2016-5385).
        environ.pop("HTTP_PROXY", None)
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        if len(cookies) > 1:
            environ["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.input_terminated"] = True  # then werkzeug reads a chunked body to its end
        environ["wsgi.input"] = io.BufferedReader(_Input(self)) if self._has_body else io.BytesIO()

    def read(self) -> bytes:
        """Wait for the next part of the body and return it; return b"" at the end.

        Raises:
            ConnectionClosed: the peer has gone.
        """
        while True:
            event = asyncio.run_coroutine_threadsafe(self.receive(), self._loop).result()
            if event["type"] == "http.disconnect":
                self.gone = True
                raise ConnectionClosed("the peer has gone before its request was complete")
            if not event.get("more_body", False):
                self._has_body = False
            if event.get("body") or not self._has_body:
                return bytes(event.get("body", b""))

    @property
    def at_end(self) -> bool:
        """True when the whole body has been received."""
        return not self._has_body


class _Input(io.RawIOBase):
    """The raw stream below `wsgi.input`: waits only if no octet is available."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._call.at_end:
            self._rest = memoryview(self._call.read())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Response:
    """The start_response of PEP 3333: the head is sent with the first octet of the body."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._begun = False
        self._out: Callable[[bytes], None]

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Store the head; a later call with exc_info replaces it."""
        try:
            if exc_info and self._begun:
                raise exc_info[1].with_traceback(exc_info[2])
            if self._head is not None and not exc_info:
                raise AssertionError("start_response was called a second time without exc_info")
        finally:
            exc_info = None  # avoids a reference cycle
        # a2wsgi expects a reason phrase, which is never sent (G04).
        self._head = (status if " " in status else f"{status} ", list(headers))
        return self._write

    def begin(self, length: int | None) -> None:
        """Send the head unless it was sent before.

        Args:
            length: length of the whole body, or None if it is not known.
        """
        if self._begun:
            return
        if self._head is None:
            raise AssertionError("The WSGI application did not call start_response")
        status, headers = self._head
        if length is not None and not any(name.lower() == "content-length" for name, _ in headers):
            headers = [*headers, ("Content-Length", str(length))]
        self._begun = True
        self._out = self._start_response(status, headers)

    def _write(self, chunk: bytes) -> None:
        self.begin(None)
        if chunk:
            self._out(chunk)


def _has_body(scope: dict[str, Any]) -> bool:
    """Tell whether a request may have a body; over HTTP/2 only the end of the stream shows it."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return True
    fields = dict(scope["headers"])
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"


def _nothing() -> None:
    pass


def _is_one(chunks: Iterable[bytes]) -> bool:
    """Tell whether the first chunk is the whole body, so that Content-Length is known."""
    try:
        return len(chunks) == 1  # type: ignore[arg-type] # an iterable without a length raises
    except TypeError:
        return False
