"""A client of HTTP/2 that sends frames on a wire in memory, and reads answers strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.h2_blocks import Pairs, asking
from tests.support.h2_frames import PREFACE, data, settings, window
from tests.support.memory import Memory, Wire


class Answer:
    """What has come on one stream.

    Attributes:
        heads: field sections: informational ones, the final one, trailers.
        octets: of the body, as they came.
        parts: sizes of the DATA frames, empty ones too.
        ended: END_STREAM has come.
        reset: code of RST_STREAM, or None.
    """

    def __init__(self) -> None:
        self.heads: list[Pairs] = []
        self.octets: list[bytes] = []
        self.parts: list[int] = []
        self.ended = False
        self.reset: int | None = None

    @property
    def body(self) -> bytes:
        """As far as it has come."""
        return b"".join(self.octets)

    @property
    def final(self) -> Pairs:
        """The final head."""
        return next(head for head in self.heads if not head[0][1].startswith(b"1"))

    @property
    def status(self) -> int | None:
        """Of the final head, if it has come."""
        for head in self.heads:
            if not head[0][1].startswith(b"1"):
                return int(head[0][1])
        return None

    @property
    def fields(self) -> Pairs:
        """Of the final head, without :status, Date and Server."""
        return [field for field in self.final[1:] if field[0] not in (b"date", b"server")]


class H2Peer:
    """A client on one connection.

    Args:
        memory: the server.
        values: of its SETTINGS.
        reads: it opens its windows by what it has read.
        prior: the first octets it sends.

    Attributes:
        answers: by number of the stream.
        frames: of the connection and of streams, all that came, HEADERS' CONTINUATIONs apart.
        gone: code and last stream of each GOAWAY.
        settings: of the server.
        windows: what the server lets it send, by stream, and by 0 for all.
    """

    def __init__(
        self,
        memory: Memory,
        values: dict[int, int] | None = None,
        *,
        reads: bool = False,
        prior: bytes = PREFACE,
    ) -> None:
        self.memory = memory
        self.wire: Wire = memory.connect()
        self.reads = reads
        self.answers: dict[int, Answer] = {}
        self.frames: list[Any] = []
        self.gone: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.windows: dict[int, int] = {0: 65535}
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.next = 1
        self.encoder = Encoder()
        self._decoder = Decoder(1 << 20)
        self._octets = b""
        self._block: list[Any] = []
        self.sends(prior + settings(values), settings(ack=True))

    # Sending.

    def sends(self, *parts: bytes) -> H2Peer:
        """Octets, each part by itself; then everything that can happen happens."""
        for part in parts:
            if not self.wire.lost:
                self.wire.protocol.dataReceived(part)
            self.memory.settle()
            self.read()
        return self

    def head(
        self, number: int, fields: Iterable[tuple[bytes, bytes]], *, ends: bool = True
    ) -> bytes:
        """HEADERS; octets, because encoding changes the table: send them in this order."""
        flags = ["END_HEADERS", *(["END_STREAM"] if ends else [])]
        return HeadersFrame(number, self.encoder.encode(list(fields)), flags=flags).serialize()

    def asks(
        self,
        method: bytes = b"GET",
        path: bytes = b"/",
        *fields: tuple[bytes, bytes],
        body: bytes | None = None,
        ends: bool = True,
    ) -> int:
        """Send a request, with (a part of) its body; the number of its stream."""
        number, self.next = self.next, self.next + 2
        section = asking(method, path, *fields)
        octets = self.head(number, section, ends=ends and body is None)
        if body is not None:
            octets += data(number, body, ends=ends)
        self.sends(octets)
        return number

    def answer(self, number: int) -> Answer:
        """What has come on a stream."""
        return self.answers.setdefault(number, Answer())

    def all_sent(self, number: int, size: int) -> bool:
        """Whether the windows let it send so much; takes it from them."""
        if min(self.windows[0], self.window_of(number)) < size:
            return False
        self.windows[0] -= size
        self.windows[number] = self.window_of(number) - size
        return True

    def window_of(self, number: int) -> int:
        """Octets that the server lets it send on a stream."""
        return self.windows.setdefault(number, self.settings.get(4, 65535))

    # Reading.

    def read(self) -> None:
        """Take in what the server has written."""
        self._octets += self.wire.take()
        back = b""
        while len(self._octets) >= 9:
            frame, size = Frame.parse_frame_header(memoryview(self._octets[:9]))
            assert size <= 16384, "larger than was allowed"
            if len(self._octets) < 9 + size:
                break
            frame.parse_body(memoryview(self._octets[9 : 9 + size]))
            self._octets = self._octets[9 + size :]
            back += self._take(frame)
        if back and not self.wire.closing:
            self.wire.protocol.dataReceived(back)
            self.memory.settle()
            self.read()

    def _take(self, frame: Any) -> bytes:
        number = frame.stream_id
        kind = type(frame)
        if self._block:
            assert kind is ContinuationFrame
            assert number == self._block[0].stream_id
        self.frames.append(frame)
        if kind in (HeadersFrame, ContinuationFrame):
            self._block.append(frame)
            if "END_HEADERS" in frame.flags:
                self._take_head()
        elif kind is DataFrame:
            answer = self.answers[number]
            assert answer.heads
            assert not answer.ended
            assert answer.reset is None, "DATA behind a reset"
            answer.octets.append(frame.data)
            answer.parts.append(len(frame.data))
            answer.ended = "END_STREAM" in frame.flags
            if self.reads and frame.data:
                size = len(frame.data)
                return window(0, size) + (b"" if answer.ended else window(number, size))
        elif kind is RstStreamFrame:
            answer = self.answer(number)
            if answer.reset is None:
                answer.reset = frame.error_code
        elif kind is SettingsFrame and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
        elif kind is GoAwayFrame:
            self.gone.append((frame.error_code, frame.last_stream_id))
        elif kind is WindowUpdateFrame:
            self.windows[number] = frame.window_increment + (
                self.windows[0] if not number else self.window_of(number)
            )
        elif kind is PingFrame:
            (self.pongs if "ACK" in frame.flags else self.pings).append(frame.opaque_data)
        else:
            assert not isinstance(frame, ExtensionFrame)
        return b""

    def _take_head(self) -> None:
        block, self._block = self._block, []
        answer = self.answer(block[0].stream_id)
        assert not answer.ended
        assert answer.reset is None, "HEADERS behind a reset"
        fields = [
            (bytes(name), bytes(value))
            for name, value in self._decoder.decode(b"".join(f.data for f in block), raw=True)
        ]
        assert fields[0][0] == b":status"
        assert all(name == name.lower() and name[:1] != b":" for name, _ in fields[1:])
        answer.heads.append(fields)
        answer.ended = "END_STREAM" in block[0].flags
