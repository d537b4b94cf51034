"""Runs a WSGI application as an ASGI 3 one, in threads, through a2wsgi (ASGI G01 to G04).

a2wsgi moves messages between thread and event loop, and fills most of the environ. What PEP 3333
asks beyond it, and what keeps a thread from waiting for ever, is here; so everything that leaves
the application, exceptions too, passes `Call.run`. asgiref's WsgiToAsgi reads the whole body
before it calls the application, and has one thread for all of them.
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
"""Octets of a response between thread and event loop; a thread with more waits for its client."""
MESSAGE_OVERHEAD = 64
"""Octets that a message counts beside its body: empty ones fill memory, too."""
MAX_WAITING = 128
"""Threads that wait for their clients beside those that `--wsgi-threads` allows to run."""

_current: ContextVar[Call] = ContextVar("call")  # a2wsgi runs the thread in its caller's context


class WSGIApplication:
    """An ASGI 3 application made of a WSGI one.

    Args:
        application: WSGI (PEP 3333).
        threads: requests that run at the same time; others wait.
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
        self._responder: Any = wsgi.WSGIResponder  # its own types are those of other libraries
        # Slots bound the threads that run; further ones only wait for clients.
        self._executor = ThreadPoolExecutor(threads + MAX_WAITING, "WSGI")
        self._slots = Slots(threads)
        self._running: set[asyncio.Task[None]] = set()  # the event loop's references are weak

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve an http scope; refuse a WebSocket with 403; know no lifespan."""
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
            # A cancelled task of a2wsgi would leave its thread waiting for ever.
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
            call.slot.leave()
            call.over()


def _run_current(environ: Environ, start_response: Any) -> Call:
    return _current.get().run(environ, start_response)


class Slots:
    """Requests that may run in threads at the same time. Used on the event loop alone.

    Args:
        count: of them.
    Attributes:
        waiting: threads that wait for their clients, without a slot.
    """

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.waiting = 0


class Slot:
    """The slot of one request: taken while its thread runs, lent while that waits for the client.

    Args:
        slots: of the application.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._is_taken = False

    async def take(self) -> None:
        """Wait for a free slot."""
        await self._slots.free.acquire()
        self._is_taken = True

    def leave(self) -> None:
        """Give the slot to another request; nothing if it was given before."""
        if self._is_taken:
            self._is_taken = False
            self._slots.free.release()

    async def lend_while(self, waiting: Awaitable[None]) -> None:
        """Wait for the client while another request has the slot, then take one again.

        As many threads as MAX_WAITING may do so; further ones keep theirs.
        """
        slots = self._slots
        if not self._is_taken or slots.waiting >= MAX_WAITING:
            await waiting
            return
        slots.waiting += 1
        self.leave()
        try:
            await waiting
        finally:
            await self.take()
            slots.waiting -= 1


class ResponseQueue(asyncio.Queue):  # type: ignore[type-arg] # Queue[...] is no base class in 3.10
    """Messages of a response, on their way from the thread; bounded in octets.

    Args:
        slot: of the request, lent while its thread waits for room here.
    """

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self._slot = slot
        self._octets = 0

    def full(self) -> bool:
        """Whether the thread must wait: its client reads more slowly than it writes."""
        return self._octets >= MAX_BUFFERED

    async def put(self, item: Any) -> None:
        """Add a message; called for the thread, which waits as long."""
        if self.full():
            await self._slot.lend_while(super().put(item))
        else:
            self.put_nowait(item)

    def _put(self, item: Any) -> None:
        self._octets += _octets_of(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._octets -= _octets_of(item)
        return item


def _octets_of(message: dict[str, Any] | None) -> int:
    return len(message.get("body", b"")) + MESSAGE_OVERHEAD if message else 0


class Call:
    """One request to a WSGI application.

    Attributes:
        scope: of the request.
        slot: allows its thread to run.
        gone: the peer, as `send` or the reading of the body has told, or whoever awaits this;
            from then on output is dropped, and the iteration ends. An http.disconnect is not
            waited for: it comes too when a peer has closed its own side alone, and reads on.
        failure: what the application raised, SystemExit included: out of a2wsgi's task that
            would stop the event loop.
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
        """Nobody waits for this any more: the thread comes back at its next read or chunk."""
        self.gone = self._abandoned = True
        if self._reading is not None:
            self._reading.cancel()

    def over(self) -> None:
        """The thread has come back."""
        if self._abandoned and self.failure is not None:
            log.error("A WSGI application raised after its request was cancelled",
                      exc_info=self.failure)  # fmt: skip

    async def receive(self) -> dict[str, Any]:
        """The next event, for the input."""
        if self.gone:
            return {"type": "http.disconnect"}
        self._reading = asyncio.ensure_future(self._receive())
        try:
            event: dict[str, Any] = await self._reading
            return event
        except asyncio.CancelledError:
            return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of a2wsgi's; never raises, as the thread would wait for ever."""
        if self.gone or self.failure is not None:
            return
        try:
            await self._send(message)
        except ConnectionClosed:
            self.gone = True
        except Exception as error:  # noqa: BLE001 # ours: the application broke a rule of HTTP
            self.failure = error

    # In the thread.

    def run(self, environ: Environ, start_response: Callable[..., Any]) -> Call:
        """What a2wsgi iterates over, then sends the end, then closes: this, for one request."""
        self._environ, self._response = environ, _Response(start_response)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Run the application; its chunks, without the empty ones."""
        if self.gone:
            return
        self._complete(self._environ)
        try:
            self._chunks = self._application(self._environ, self._response.start)
            yield from self._begun_by_its_chunks(self._chunks, self._response)
        except BaseException as error:  # noqa: BLE001 # told by whoever awaits
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
        """Close what the application returned, however its iteration has ended (PEP 3333)."""
        # The thread is free, or almost; the rest of the response may still wait for the client.
        self._loop.call_soon_threadsafe(self.slot.leave)
        try:
            getattr(self._chunks, "close", _nothing)()
        except BaseException as error:  # noqa: BLE001 # told by whoever awaits
            end_if_forked(error)
            self.failure = self.failure or error

    def _complete(self, environ: Environ) -> None:
        """Put right what a2wsgi leaves out of the environ, or has otherwise."""
        scope = self.scope
        root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
        if path == root or path.startswith(root + "/"):
            path = path[len(root) :]
        environ["SCRIPT_NAME"] = root.encode().decode("latin-1")  # G03
        environ["PATH_INFO"] = path.encode().decode("latin-1")
        # The field Proxy would be the variable that HTTP clients obey (CVE-2016-5385).
        environ.pop("HTTP_PROXY", None)
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        if len(cookies) > 1:
            environ["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.input_terminated"] = True  # werkzeug reads a chunked body to its end then
        environ["wsgi.input"] = io.BufferedReader(_Input(self)) if self._has_body else io.BytesIO()

    def read(self) -> bytes:
        """Wait for the next part of the body; b"" at its end.

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
        """Whether all of the body has been received."""
        return not self._has_body


class _Input(io.RawIOBase):
    """`wsgi.input` below its buffer: gives what is there, waits only where nothing is."""

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
    """start_response as PEP 3333 has it: the head goes out with the first octet of the body."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._begun = False
        self._out: Callable[[bytes], None]

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Keep the head; a later one with exc_info takes its place."""
        try:
            if exc_info and self._begun:
                raise exc_info[1].with_traceback(exc_info[2])
            if self._head is not None and not exc_info:
                raise AssertionError("start_response was called a second time without exc_info")
        finally:
            exc_info = None  # a reference cycle otherwise
        # a2wsgi wants the reason phrase, which goes nowhere (G04).
        self._head = (status if " " in status else f"{status} ", list(headers))
        return self._write

    def begin(self, length: int | None) -> None:
        """Send the head, unless it is out.

        Args:
            length: of the whole body, where it is known.
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
    """Whether a request has a body; over HTTP/2 only its end says that it has none."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return True
    fields = dict(scope["headers"])
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"


def _nothing() -> None:
    pass


def _is_one(chunks: Iterable[bytes]) -> bool:
    """Whether the first chunk is the whole body, so that its length can be told."""
    try:
        return len(chunks) == 1  # type: ignore[arg-type] # asked, not assumed
    except TypeError:
        return False
