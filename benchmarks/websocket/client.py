"""A blocking WebSocket client, for checks and idle connections, not for load."""

from __future__ import annotations

import socket
from types import TracebackType

from benchmarks.checks import WrongAnswerError
from benchmarks.websocket import frames
from benchmarks.websocket.frames import Frame, Inflater, Opcode

TIMEOUT_SECONDS = 10.0
END_OF_HEAD = b"\r\n\r\n"
READ_OCTETS = 1 << 16


class Client:
    """One connection; its opening handshake is checked.

    Raises:
        WrongAnswerError: the server refuses the handshake or the extension.
        OSError: the connection failed, or the response was too slow.
    """

    def __init__(
        self, port: int, target: str, deflate: bool, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._octets = b""
        self._inflater = Inflater()
        self._deflate = deflate
        self._socket = socket.create_connection((frames.HOST, port), timeout=timeout)
        # The figure must not include a delay by the client.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(frames.opening(target, port, deflate))
            check_opening(self._head(), deflate)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.disconnect()

    def send(self, content: str | bytes) -> None:
        """Send a message."""
        self._socket.sendall(frames.encoded(frames.message(content, self._deflate)))

    def receive(self) -> str | bytes:
        """Return the next message, and answer pings before it.

        Raises:
            WrongAnswerError: a close frame arrived, the connection ended, or the message is not
                compressed although it should be.
        """
        while (frame := self._frame()).opcode is Opcode.PING:
            self._socket.sendall(frames.encoded(Frame(Opcode.PONG, frame.payload)))
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY):
            raise WrongAnswerError(f"frame: expected a message, got {frame.opcode.name}")
        if frame.rsv1 is not self._deflate:
            raise WrongAnswerError(f"compressed: expected {self._deflate}, got {frame.rsv1}")
        return self._inflater.content(frame)

    def close(self) -> None:
        """Close with a closing handshake, and wait until the server has closed the connection.

        Raises:
            WrongAnswerError: the server did not answer with a close frame, or did not close.
        """
        self._socket.sendall(frames.encoded(Frame(Opcode.CLOSE, frames.NORMAL_CLOSURE)))
        frame = self._frame()
        if frame.opcode is not Opcode.CLOSE:
            raise WrongAnswerError(f"frame: expected CLOSE, got {frame.opcode.name}")
        try:
            rest = self._octets + self._socket.recv(READ_OCTETS)
        except TimeoutError:
            raise WrongAnswerError("the closing handshake leaves the connection open") from None
        if rest:
            raise WrongAnswerError(f"{len(rest)} octets after the close frame")

    def disconnect(self) -> None:
        """Close the connection without a closing handshake."""
        self._socket.close()

    def is_closed(self) -> bool:
        """Tell whether the server has closed the connection; unread pings do not count."""
        self._socket.setblocking(False)
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _frame(self) -> Frame:
        try:
            while (found := frames.decoded(self._octets)) is None:
                self._read()
        except ValueError as error:
            raise WrongAnswerError(str(error)) from error
        frame, length = found
        self._octets = self._octets[length:]
        return frame

    def _head(self) -> bytes:
        while END_OF_HEAD not in self._octets:
            self._read()
        head, _, self._octets = self._octets.partition(END_OF_HEAD)
        return head

    def _read(self) -> None:
        octets = self._socket.recv(READ_OCTETS)
        if not octets:
            raise WrongAnswerError(f"closed after {self._octets[:60]!r}")
        self._octets += octets


def check_opening(head: bytes, deflate: bool) -> None:
    """Check the response to an opening handshake.

    Raises:
        WrongAnswerError: the response is not 101 with the right accept value and the extension.
    """
    status, fields = frames.response_fields(head)
    if status.split(" ")[1:2] != ["101"]:
        raise WrongAnswerError(f"status: expected 101, got {status}")
    if fields.get("sec-websocket-accept") != frames.ACCEPT:
        raise WrongAnswerError("Sec-WebSocket-Accept: not the value owed")
    extension = fields.get("sec-websocket-extensions", "").partition(";")[0].strip()
    if deflate and extension != frames.DEFLATE:
        raise WrongAnswerError(f"{frames.DEFLATE} is not taken")
    if not deflate and extension:
        raise WrongAnswerError(f"extension: none was offered, got {extension}")
