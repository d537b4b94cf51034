"""h2's state machine as we need it, with a short path for what most requests and answers are.

Short is a request in one HEADERS frame that ends its stream, DATA frames of any other, the windows
opened for them, and an answer in one HEADERS frame and DATA frames after that. Everything else
takes h2's own way; both keep the same state, and tests hold their results against each other. h2
alone takes more than twice as long for a small request, and for an upload (measured,
docs/discussion/speed.rst): it writes out each frame in hexadecimal for a log it lacks. A stream
that the short path has seen to its end is forgotten at once, as h2 does it later with the others;
the next one takes its place in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hyperframe.frame import Frame, RstStreamFrame

from daphne_like.http.fields import Fields
from daphne_like.http.h2.flood_budget import Budget
from daphne_like.http.h2.frame_reader import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME_SIZE,
    WINDOW_UPDATE,
    FrameReader,
    frame_head,
)
from daphne_like.http.h2.hpack_cache import CachedDecoder, StatelessEncoder, encoded_section

if TYPE_CHECKING:
    from daphne_like.options import Options

FIRST_WINDOW = 65536
"""Octets of a body that a peer may send before the application has read any."""
NO_RFC7540_PRIORITIES = 9
"""The setting that says so (RFC 9218, 2.1)."""
SENT_END = StreamClosedBy.SEND_END_STREAM
OPEN, CLOSED = StreamState.OPEN, StreamState.CLOSED
HALF_CLOSED, HALF_CLOSED_LOCAL = StreamState.HALF_CLOSED_REMOTE, StreamState.HALF_CLOSED_LOCAL
PROMISED = StreamState.RESERVED_LOCAL
SENDING = (HALF_CLOSED, OPEN)
"""Our side is open."""
RECEIVING = (OPEN, HALF_CLOSED_LOCAL)
"""The peer's is."""
SERVER_OPEN = ConnectionState.SERVER_OPEN
remember = OrderedDict.__setitem__
"""Without the check of the size that h2's own dict makes, in Python, each time."""

CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # All of it is checked in h2/hpack_cache.py, where a malformed request is its stream's error.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Stream(H2Stream):
    """h2's stream, without its check of Content-Length.

    h2 (4.4) takes the whole connection down for it, and cannot be told not to; RFC 9113, 8.1.1,
    makes it an error of the stream, which h2/stream.py treats it as.
    """

    def _initialize_content_length(self, headers: Iterable[Any]) -> None:
        pass

    def _track_content_length(self, length: int, end_stream: bool) -> None:
        pass


class ReusableStream(Stream):
    """A stream that began with all of its request: it is fit to be used again when it is over."""


class StateMachine(H2Connection):
    """h2's state machine of a server's connection.

    Args:
        options: for the limits that the peer is told of.
        budget: of the peer.
    """

    MAX_CLOSED_STREAMS = 1024
    """Of which h2 knows how they ended; its own 65536 take 8 MB of each connection."""

    decoder: CachedDecoder
    encoder: StatelessEncoder  # type: ignore[assignment] # has what h2 calls

    def __init__(self, options: Options, budget: Budget) -> None:
        super().__init__(CONFIG)
        self._out: list[bytes | memoryview] = []
        self._first_window = self.remote_settings.initial_window_size
        self._stream_pool: list[ReusableStream] = []
        self._resets_sent: dict[int, None] = {}  # numbers of streams, the latest ones
        self.encoder = StatelessEncoder()
        # Twice: a section between one and two times the limit is answered with 431.
        most_decoded = 2 * options.max_head
        self.decoder = CachedDecoder(most_decoded, budget)
        self.frames = FrameReader(max(most_decoded, 2 * MAX_FRAME_SIZE))
        self.incoming_buffer = self.frames  # type: ignore[assignment] # has what h2 calls
        self._many_streams = 2 * options.h2_max_streams
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: options.h2_max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: FIRST_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_SIZE,
                SettingCodes.MAX_HEADER_LIST_SIZE: options.max_head,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
                NO_RFC7540_PRIORITIES: 1,  # type: ignore[dict-item] # h2 takes any number
            },
        )

    def _terminate_connection(self, error_code: ErrorCodes) -> None:
        """Close the state machine after an error, without h2's own GOAWAY.

        h2.py sends that frame, because not all errors are found by h2, and sends everything that
        was queued before it: the first SETTINGS (RFC 9113, 3.4), answers that are whole.
        """
        self.state_machine.process_input(ConnectionInputs.SEND_GOAWAY)

    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        """Queue frames; of RST_STREAM only the first on each stream.

        h2 (4.4) answers every frame on a stream that was reset with another RST_STREAM. A peer
        that has not seen the first one yet is entitled to send them (RFC 9113, 5.1).
        """
        if any(frame.__class__ is RstStreamFrame for frame in frames):
            frames = [frame for frame in frames if not self._is_repeated_reset(frame)]
        super()._prepare_for_sending(frames)

    def _is_repeated_reset(self, frame: Frame) -> bool:
        if frame.__class__ is not RstStreamFrame:
            return False
        resets, number = self._resets_sent, frame.stream_id
        if number in resets:
            return True
        if len(resets) >= self.MAX_CLOSED_STREAMS:
            del resets[next(iter(resets))]
        resets[number] = None
        return False

    @property
    def open_inbound_streams(self) -> int:
        """None, as far as h2 needs to know.

        It would end the connection over one stream too many, which is that stream's error (RFC
        9113, 5.1.2) and h2.py's to refuse, and would look at every stream for each new one.
        """
        if len(self.streams) > self._many_streams:
            self._open_streams(1)  # forgets the closed ones
        return 0

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = Stream
        return stream

    def _flow_control_change_from_settings(self, old_value: int | None, new_value: int) -> None:
        super()._flow_control_change_from_settings(old_value, new_value)
        self._first_window = new_value

    # The short path.

    def take_request(self) -> tuple[int, Fields] | None:
        """Take the next frame, if it is all of a request.

        Returns:
            The stream's number and the fields; None where the next frame is for `receive_data`.
        Raises:
            ProtocolError: its fields cannot be decoded.
        """
        if self.state_machine.state is not SERVER_OPEN:  # as it is after the first one
            return None
        found = self.frames.take_request()
        if found is None:
            return None
        number, block = found
        try:
            fields: Any = self.decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise DenialOfServiceError(f"Oversized field section: {error}") from error
        except (HPACKError, IndexError, TypeError, UnicodeDecodeError) as error:  # as h2 has it
            raise ProtocolError(f"A field section that cannot be decoded: {error}") from error
        if len(self.streams) > self._many_streams:
            self._open_streams(1)  # forgets those that ended on h2's own way
        if self._stream_pool:
            stream = self._stream_pool.pop()
            machine = stream.state_machine
            machine.stream_id = stream.stream_id = number
            machine.headers_sent = machine.stream_closed_by = None
        else:
            stream = ReusableStream(
                number,
                config=CONFIG,
                inbound_window_size=self.local_settings.initial_window_size,
                outbound_window_size=0,
            )
            machine = stream.state_machine
            machine.client = False
            machine.headers_received = True
        machine.state = HALF_CLOSED
        stream.outbound_flow_control_window = self._first_window
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        self.streams[number] = stream
        self.highest_inbound_stream_id = number
        return number, fields

    def take_data(self) -> tuple[int, bytes, bool, int] | None:
        """Take the next frame, if it is DATA with octets that its stream and both windows allow.

        Returns:
            The stream's number, the octets, whether the peer ends its side with them, and what
            they count in the windows; None where the next frame is for `receive_data`.
        """
        found = self.frames.next_data()
        if found is None:
            return None
        number, _, ends, size = found
        stream = self.streams.get(number)
        shared = self._inbound_flow_control_window_manager
        if (
            stream is None
            or stream.state_machine.state not in RECEIVING
            or self.state_machine.state is not SERVER_OPEN
            or size > shared.current_window_size
        ):
            self.frames.put_back(size)
            return None
        window = stream._inbound_window_manager
        if size > window.current_window_size:
            self.frames.put_back(size)
            return None
        window.current_window_size -= size
        shared.current_window_size -= size
        if ends:
            self._end(stream, HALF_CLOSED, StreamClosedBy.RECV_END_STREAM)
        return found

    def increment_flow_control_window(self, increment: int, stream_id: int | None = None) -> None:
        stream = self.streams.get(stream_id or 0)
        if (
            self.state_machine.state is not SERVER_OPEN
            or not 0 < increment <= self.MAX_WINDOW_INCREMENT
            or (stream_id is not None and stream is None)
            or (stream is not None and stream.state_machine.state not in RECEIVING)
        ):
            super().increment_flow_control_window(increment, stream_id)
            return
        if stream is None:
            window = self._inbound_flow_control_window_manager
        else:
            window = stream._inbound_window_manager
        window.window_opened(increment)
        self._send(WINDOW_UPDATE, 0, stream_id or 0, increment.to_bytes(4, "big"))

    def send_headers(  # type: ignore[override] # a server sends no priorities
        self, stream_id: int, headers: Any, end_stream: bool = False
    ) -> None:
        stream = self.streams.get(stream_id)
        if (
            stream is None
            or stream.state_machine.state not in SENDING
            or stream.state_machine.headers_sent
            or headers[0][1][:1] == b"1"  # informational
            or self.state_machine.state is not SERVER_OPEN
        ):
            super().send_headers(stream_id, headers, end_stream)
        else:
            self.send_head(stream_id, encoded_section(headers), end_stream)

    def send_head(self, number: int, block: bytes, ends: bool) -> None:
        """The head of an answer.

        Args:
            number: of the stream, on which none was sent yet.
            block: the field section, encoded.
            ends: it is the whole answer.
        Raises:
            ProtocolError: our side of the stream is closed.
        """
        stream = self.streams.get(number)
        if stream is None or stream.state_machine.state is CLOSED:
            raise StreamClosedError(number)
        machine = stream.state_machine
        block = self.encoder.first + block
        self.encoder.first = b""
        flags = END_STREAM if ends else 0
        if len(block) <= MAX_FRAME_SIZE:
            self._send(HEADERS, END_HEADERS | flags, number, block)
        else:
            self._send(HEADERS, flags, number, block[:MAX_FRAME_SIZE])
            for start in range(MAX_FRAME_SIZE, len(block), MAX_FRAME_SIZE):
                last = END_HEADERS if start + MAX_FRAME_SIZE >= len(block) else 0
                self._send(CONTINUATION, last, number, block[start : start + MAX_FRAME_SIZE])
        machine.headers_sent = True
        if machine.state is PROMISED:
            machine.state = HALF_CLOSED
        if ends:
            self._end(stream, HALF_CLOSED_LOCAL, SENT_END)

    def send_answer(self, number: int, block: bytes, body: bytes) -> bool:
        """A whole answer to a whole request, if it is short and the peer's windows have room.

        Args:
            number: of the stream, on which nothing was sent yet.
            block: its field section, encoded.
            body: all of it.
        Returns:
            Whether it is so; else nothing is done.
        """
        stream = self.streams.get(number)
        size, window = len(body), self.outbound_flow_control_window
        if (
            stream is None
            or stream.state_machine.state is not HALF_CLOSED
            or self._data_to_send
            or self.encoder.first
            or len(block) > MAX_FRAME_SIZE
            or size > MAX_FRAME_SIZE
            or size > stream.outbound_flow_control_window
            or size > window
        ):
            return False
        if size:
            self._out += (
                frame_head(0, len(block), HEADERS, END_HEADERS, number),
                block,
                frame_head(0, size, DATA, END_STREAM, number),
                body,
            )
            self.outbound_flow_control_window = window - size
        else:
            self._out += (
                frame_head(0, len(block), HEADERS, END_HEADERS | END_STREAM, number),
                block,
            )
        self._release(stream, SENT_END)
        return True

    def local_flow_control_window(self, stream_id: int) -> int:
        stream = self.streams.get(stream_id)
        if stream is None:
            return super().local_flow_control_window(stream_id)
        return min(stream.outbound_flow_control_window, self.outbound_flow_control_window)

    def send_data(
        self, stream_id: int, data: Any, end_stream: bool = False, pad_length: Any = None
    ) -> None:
        stream = self.streams.get(stream_id)
        size = len(data)
        last = (
            max(0, size - 1) // MAX_FRAME_SIZE * MAX_FRAME_SIZE
        )  # where the last of its frames begins
        if (
            stream is None
            or stream.state_machine.state not in SENDING
            or not stream.state_machine.headers_sent
            or size > stream.outbound_flow_control_window
            or size > self.outbound_flow_control_window
            or pad_length is not None
            or self.state_machine.state is not SERVER_OPEN
        ):
            for start in range(0, last, MAX_FRAME_SIZE):
                super().send_data(stream_id, bytes(data[start : start + MAX_FRAME_SIZE]))
            super().send_data(stream_id, bytes(data[last:]), end_stream, pad_length)
            return
        for start in range(0, last, MAX_FRAME_SIZE):
            self._send(DATA, 0, stream_id, data[start : start + MAX_FRAME_SIZE])
        self._send(DATA, END_STREAM if end_stream else 0, stream_id, data[last:])
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        if end_stream:
            self._end(stream, HALF_CLOSED_LOCAL, SENT_END)

    def promise(self, number: int, fields: Fields) -> int:
        """Promise a request to the peer, on the stream of one of its own; h2's own way.

        Returns:
            The number of the stream that its answer will be on.
        Raises:
            ProtocolError: the stream is closed, or the peer takes no promises.
        """
        promised = self.get_next_available_stream_id()
        self.push_stream(number, promised, fields)
        self.frames.promised = promised
        return promised

    def _end(self, stream: H2Stream, half_closed: StreamState, by: StreamClosedBy) -> None:
        """One side has ended; `half_closed` is what an open stream is then."""
        machine = stream.state_machine
        if machine.state is OPEN:
            machine.state = half_closed
            return
        self._release(stream, by)

    def _release(self, stream: H2Stream, by: StreamClosedBy) -> None:
        """Both sides have ended; later h2 is to know no more than how."""
        number = stream.stream_id
        del self.streams[number]
        closed: Any = self._closed_streams
        remember(closed, number, by)
        if len(closed) > self.MAX_CLOSED_STREAMS:
            closed.popitem(last=False)
        if stream.__class__ is ReusableStream:
            self._stream_pool.append(stream)

    def _send(self, kind: int, flags: int, number: int, payload: Any) -> None:
        out = self._out
        if self._data_to_send:
            out.append(super().data_to_send())
        size = len(payload)
        out.append(frame_head(0, size, kind, flags, number))
        out.append(payload)

    def parts_to_send(self) -> list[bytes | memoryview]:
        """As data_to_send, in parts."""
        out, self._out = self._out, []
        if self._data_to_send:
            out.append(super().data_to_send())
        return out

    def data_to_send(self, amount: int | None = None) -> bytes:
        return b"".join(self.parts_to_send())

    def clear_outbound_data_buffer(self) -> None:
        self._out.clear()
        super().clear_outbound_data_buffer()
