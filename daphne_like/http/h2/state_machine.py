"""h2's state machine, with a fast path for most requests and responses.

The fast path handles four cases: a request in one HEADERS frame with END_STREAM; DATA frames of any
other request; window updates for them; a response of HEADERS and DATA frames. h2 handles everything
else. Both share the same state, and tests compare their results. h2 alone takes more than twice as
long for a small request and for an upload (measured, docs/discussion/speed.rst), because it formats
each frame in hexadecimal for a log that does not exist. A stream that ends on the fast path is
removed at once, where h2 would do so later, and its object is reused for the next stream.
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
    pack_frame_head,
)
from daphne_like.http.h2.hpack_cache import CachedDecoder, StatelessEncoder, encoded_section

if TYPE_CHECKING:
    from daphne_like.options import Options

FIRST_WINDOW = 65536
"""Octets of a body that a peer may send before the application has read any."""
NO_RFC7540_PRIORITIES = 9
"""The identifier of SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218, 2.1)."""
SENT_END = StreamClosedBy.SEND_END_STREAM
OPEN, CLOSED = StreamState.OPEN, StreamState.CLOSED
HALF_CLOSED, HALF_CLOSED_LOCAL = StreamState.HALF_CLOSED_REMOTE, StreamState.HALF_CLOSED_LOCAL
PROMISED = StreamState.RESERVED_LOCAL
SENDING = (HALF_CLOSED, OPEN)
"""States in which the server may send DATA."""
RECEIVING = (OPEN, HALF_CLOSED_LOCAL)
"""States in which the peer may send DATA."""
SERVER_OPEN = ConnectionState.SERVER_OPEN
remember = OrderedDict.__setitem__
"""Stores an item in h2's dict without its size check, which is written in Python."""

CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # h2/hpack_cache.py checks all fields and makes a malformed request an error of its stream.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Stream(H2Stream):
    """h2's stream, without its check of Content-Length.

    h2 (4.4) closes the whole connection on a mismatch, and has no option against it. RFC 9113,
    8.1.1, makes the mismatch an error of the stream, and h2/stream.py handles it.
    """

    def _initialize_content_length(self, headers: Iterable[Any]) -> None:
        pass

    def _track_content_length(self, length: int, end_stream: bool) -> None:
        pass


class ReusableStream(Stream):
    """A stream whose request was one frame; its object can be reused after its end."""


class StateMachine(H2Connection):
    """The state machine of one connection of a server.

    Args:
        options: provides the limits that are announced to the peer.
        budget: the flood budget of the peer.
    """

    MAX_CLOSED_STREAMS = 1024
    """Number of closed streams whose end is remembered; h2's 65536 take 8 MB per connection."""

    decoder: CachedDecoder
    encoder: StatelessEncoder  # type: ignore[assignment] # has what h2 calls

    def __init__(self, options: Options, budget: Budget) -> None:
        super().__init__(CONFIG)
        self._out: list[bytes | memoryview] = []
        self._first_window = self.remote_settings.initial_window_size
        self._stream_pool: list[ReusableStream] = []
        self._resets_sent: dict[int, None] = {}  # numbers of the latest streams that were reset
        self.encoder = StatelessEncoder()
        # Twice the limit, because a section up to twice the limit gets a 431 response.
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

        connection.py sends GOAWAY, because h2 does not find all errors. It first sends everything
        that is queued: the first SETTINGS (RFC 9113, 3.4) and complete responses.
        """
        self.state_machine.process_input(ConnectionInputs.SEND_GOAWAY)

    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        """Queue frames, but only the first RST_STREAM of each stream.

        h2 (4.4) sends another RST_STREAM for every frame on a stream that was reset. A peer may
        send such frames until it has received the first RST_STREAM (RFC 9113, 5.1).
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
        """Always 0, which disables h2's limit of streams.

        h2 would close the connection for a stream too many, although that is an error of the
        stream (RFC 9113, 5.1.2), which connection.py refuses. h2 would also visit every open
        stream for each new one.
        """
        if len(self.streams) > self._many_streams:
            self._open_streams(1)  # removes closed streams
        return 0

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = Stream
        return stream

    def _flow_control_change_from_settings(self, old_value: int | None, new_value: int) -> None:
        super()._flow_control_change_from_settings(old_value, new_value)
        self._first_window = new_value

    # The fast path.

    def take_request(self) -> tuple[int, Fields] | None:
        """Take the next frame if it is a complete request.

        Returns:
            The stream's number and the fields; None if `receive_data` must process the frame.
        Raises:
            ProtocolError: the fields cannot be decoded.
        """
        if self.state_machine.state is not SERVER_OPEN:  # before the first request
            return None
        found = self.frames.take_request()
        if found is None:
            return None
        number, block = found
        try:
            fields: Any = self.decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise DenialOfServiceError(f"Oversized field section: {error}") from error
        except (HPACKError, IndexError, TypeError, UnicodeDecodeError) as error:  # h2's list
            raise ProtocolError(f"A field section that cannot be decoded: {error}") from error
        if len(self.streams) > self._many_streams:
            self._open_streams(1)  # removes streams that ended in h2's own code
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
        """Take the next frame if it is DATA that its stream and both windows allow.

        Returns:
            The stream's number, the octets, whether the frame has END_STREAM, and its size in the
            flow-control windows; None if `receive_data` must process the frame.
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
        """Send the head of a response.

        Args:
            number: the number of a stream on which no head was sent.
            block: the encoded field section.
            ends: the head is the complete response.
        Raises:
            ProtocolError: the server's side of the stream is closed.
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

    def send_response(self, number: int, block: bytes, body: bytes) -> bool:
        """Send a complete short response to a complete request, if the peer's windows have room.

        Args:
            number: the number of a stream on which nothing was sent.
            block: the encoded field section.
            body: the complete body.
        Returns:
            True if the response was sent; False if nothing was done.
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
                pack_frame_head(0, len(block), HEADERS, END_HEADERS, number),
                block,
                pack_frame_head(0, size, DATA, END_STREAM, number),
                body,
            )
            self.outbound_flow_control_window = window - size
        else:
            self._out += (
                pack_frame_head(0, len(block), HEADERS, END_HEADERS | END_STREAM, number),
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
        """Promise a request to the peer, on the stream of one of the peer's requests.

        Returns:
            The number of the stream that will carry the response.
        Raises:
            ProtocolError: the stream is closed, or the peer has disabled push.
        """
        promised = self.get_next_available_stream_id()
        self.push_stream(number, promised, fields)
        self.frames.promised = promised
        return promised

    def _end(self, stream: H2Stream, half_closed: StreamState, by: StreamClosedBy) -> None:
        """End one side of a stream; an open stream changes to the state `half_closed`."""
        machine = stream.state_machine
        if machine.state is OPEN:
            machine.state = half_closed
            return
        self._release(stream, by)

    def _release(self, stream: H2Stream, by: StreamClosedBy) -> None:
        """Remove a stream that both sides have ended; h2 only needs to know how it ended."""
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
        out.append(pack_frame_head(0, size, kind, flags, number))
        out.append(payload)

    def parts_to_send(self) -> list[bytes | memoryview]:
        """Return the data to send in parts; see `data_to_send`."""
        out, self._out = self._out, []
        if self._data_to_send:
            out.append(super().data_to_send())
        return out

    def data_to_send(self, amount: int | None = None) -> bytes:
        return b"".join(self.parts_to_send())

    def clear_outbound_data_buffer(self) -> None:
        self._out.clear()
        super().clear_outbound_data_buffer()
