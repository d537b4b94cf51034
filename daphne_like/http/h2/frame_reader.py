"""Splits the octets of an HTTP/2 connection into frames, one at a time.

This module refuses input that h2 would buffer before it checks, or accept (RFC 9113, 3.4, 4.2, 6).
state_machine.py processes the frames, and connection.py applies their events to requests.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from h2.exceptions import (
    DenialOfServiceError,
    FrameDataMissingError,
    FrameTooLargeError,
    ProtocolError,
)
from h2.settings import SettingCodes
from hyperframe.exceptions import InvalidDataError, InvalidFrameError, InvalidPaddingError
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from daphne_like.http.preface import PREFACE

MAX_FRAME_SIZE = 16384
"""Maximum octets of a frame in both directions: the minimum that every peer may send (4.2)."""
FRAME_HEAD = 9
MAX_CONTINUATIONS = 64
"""Maximum CONTINUATION frames of one field section; full frames reach its limit earlier (S16)."""
DATA, HEADERS, WINDOW_UPDATE, CONTINUATION = 0x0, 0x1, 0x8, 0x9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HIGHEST = 0x7FFFFFFF
KNOWN_SETTINGS = frozenset(SettingCodes)
LAYOUT = struct.Struct(">BHBBI")
"""Layout of a frame's head: upper octet and lower two octets of the length, type, flags, stream
(4.1)."""
pack_frame_head = LAYOUT.pack
unpack_frame_head = LAYOUT.unpack_from


class FrameReader:
    """Splits received octets into frames; replaces h2's FrameBuffer.

    h2's FrameBuffer waits for a complete frame before it checks the length, and returns all
    available frames before the first one has had an effect.

    Args:
        most_block: maximum octets of an encoded field section.

    Attributes:
        last: the latest frame, or None when there is no complete frame.
        highest: the highest number of a stream that the peer has opened.
        promised: the highest number of a stream that was promised to the peer.
        settings_received: the peer's first SETTINGS frame has arrived.
    """

    max_frame_size = MAX_FRAME_SIZE  # set by h2

    def __init__(self, most_block: int) -> None:
        self.last: Frame | None = None
        self.highest = 0
        self.promised = 0
        self.settings_received = False
        self._most_block = most_block
        self._preface = PREFACE  # the octets still to arrive
        self._data = b""
        self._at = 0  # index of the first octet that is not processed
        self._block: list[Any] = []  # the frames of an incomplete field section
        self._block_size = 0

    def add_data(self, data: bytes) -> None:
        """Append octets received from the peer."""
        if data:
            left = self._data[self._at :]
            self._data = left + data if left else data
            self._at = 0

    @property
    def waits_for_head(self) -> bool:
        """True while a frame other than DATA, or a field section, is incomplete."""
        data, at = self._data, self._at
        left = len(data) - at
        return bool(self._block) or (left > 0 and (left < FRAME_HEAD or data[at + 3] != DATA))

    def take_request(self) -> tuple[int, bytes] | None:
        """Take the next frame if it is a complete request: HEADERS that end a new stream.

        Returns:
            The stream's number and the encoded field section; None if the frame was not taken.
        """
        data, at = self._data, self._at
        start = at + FRAME_HEAD
        if len(data) < start:
            return None
        upper, size, kind, flags, number = unpack_frame_head(data, at)
        if kind != HEADERS:
            return None
        end = start + size
        if flags != END_STREAM | END_HEADERS:
            if flags != END_STREAM | END_HEADERS | PRIORITY:
                return None
            # h2 refuses a stream that depends on itself (RFC 7540, 5.3.1).
            if data[start : start + 4] == data[at + 5 : start]:
                return None
            start += 5
        if (
            not start < end <= len(data)
            or upper
            or size > MAX_FRAME_SIZE
            or not self.highest < number <= HIGHEST
            or not number & 1
            or self._block
            or not self.settings_received
        ):
            return None
        self._at = end
        self.highest = number
        return number, data[start:end]

    def next_data(self) -> tuple[int, bytes, bool, int] | None:
        """Take the next frame if it is a complete DATA frame with content besides its padding.

        `put_back` undoes this.

        Returns:
            The stream's number, the octets, whether the frame has END_STREAM, and its size in the
            flow-control windows; None if the frame was not taken.
        """
        data, at = self._data, self._at
        start = at + FRAME_HEAD
        if len(data) < start:
            return None
        upper, size, kind, flags, number = unpack_frame_head(data, at)
        end = start + size
        if (
            kind != DATA
            or flags & ~(END_STREAM | PADDED)
            or upper
            or not 0 < size <= MAX_FRAME_SIZE
            or len(data) < end
            or self._block
            or not self.settings_received
        ):
            return None
        if flags & PADDED:
            padding = data[start]
            if padding + 1 >= size:  # only padding, or an error: not for the fast path
                return None
            self._at = end
            return number, data[start + 1 : end - padding], flags & END_STREAM == END_STREAM, size
        self._at = end
        return number, data[start:end], flags == END_STREAM, size

    def put_back(self, size: int) -> None:
        """Put back the frame that `next_data` has just taken."""
        self._at -= FRAME_HEAD + size

    @property
    def has_more(self) -> bool:
        """True while there are unprocessed octets."""
        return self._at < len(self._data)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the next frame only; not GOAWAY, after which h2 would send nothing more."""
        self.last = frame = self._next()
        if frame is not None and frame.__class__ is not GoAwayFrame:
            yield frame

    def _next(self) -> Frame | None:
        if self._preface and not self._preface_came():
            return None
        while len(self._data) - self._at >= FRAME_HEAD:
            data, at = self._data, self._at
            upper, lower, kind, flags, _ = unpack_frame_head(data, at)
            size = (upper << 16) + lower
            self._check_head(size, kind, flags)
            end = at + FRAME_HEAD + size
            if len(data) < end:
                break
            octets = data[at:end]
            if kind == WINDOW_UPDATE and size:
                # The reserved bit must be ignored (6.9), but hyperframe does not ignore it.
                first = bytes((octets[FRAME_HEAD] & 0x7F,))
                octets = octets[:FRAME_HEAD] + first + octets[FRAME_HEAD + 1 :]
            frame = self._parsed(octets)
            self._at = end
            whole = self._whole(frame)
            if whole is not None:
                return whole
        # Release the processed octets; keep only the incomplete frame.
        self._data, self._at = self._data[self._at :], 0
        return None

    def _preface_came(self) -> bool:
        at = self._at
        size = min(len(self._preface), len(self._data) - at)
        if self._data[at : at + size] != self._preface[:size]:
            raise ProtocolError("The preface is not HTTP/2's")
        self._preface = self._preface[size:]
        self._at = at + size
        return not self._preface

    def _check_head(self, size: int, kind: int, flags: int) -> None:
        """Refuse an invalid frame by its head, before the rest has arrived."""
        if size > self.max_frame_size:
            raise FrameTooLargeError(f"A frame of {size} octets")
        if not self.settings_received and (kind != SettingsFrame.type or flags & ACK):
            raise ProtocolError("The first frame is not SETTINGS")
        if kind == SettingsFrame.type and flags & ACK and size:
            raise FrameDataMissingError("An acknowledgement of settings that says something")
        if self._block:
            if kind != CONTINUATION:
                raise ProtocolError("Another frame inside of a field section")
            if len(self._block) > MAX_CONTINUATIONS or self._block_size + size > self._most_block:
                raise DenialOfServiceError("A field section without end")
        elif kind == CONTINUATION:
            raise ProtocolError("CONTINUATION continues nothing")

    def _parsed(self, octets: bytes) -> Frame:
        view = memoryview(octets)
        try:
            frame, _ = Frame.parse_frame_header(view[:FRAME_HEAD])
            frame.parse_body(view[FRAME_HEAD:])
        except (InvalidDataError, InvalidPaddingError) as error:
            raise ProtocolError(str(error)) from error
        except InvalidFrameError as error:
            raise FrameDataMissingError(str(error)) from error
        return frame

    def _whole(self, frame: Any) -> Frame | None:
        """Return the frame, joined with its CONTINUATION frames; None while they are incomplete."""
        kind = frame.__class__
        block = self._block
        if block:
            if frame.stream_id != block[0].stream_id:
                raise ProtocolError("CONTINUATION of another stream")
            block.append(frame)
            self._block_size += len(frame.data)
            if "END_HEADERS" not in frame.flags:
                return None
            first: HeadersFrame = block[0]
            first.flags.add("END_HEADERS")
            first.data = b"".join(part.data for part in block)
            self._block = []
            frame, kind = first, HeadersFrame
        elif kind is HeadersFrame and "END_HEADERS" not in frame.flags:
            self._block = [frame]
            self._block_size = len(frame.data)
            return None
        if kind is HeadersFrame:
            if frame.stream_id & 1 and frame.stream_id > self.highest:
                self.highest = frame.stream_id
        elif kind is SettingsFrame:
            self.settings_received = True
            # h2 stores every setting, and there are 65536 possible identifiers.
            frame.settings = {
                name: value for name, value in frame.settings.items() if name in KNOWN_SETTINGS
            }
        elif kind is RstStreamFrame and frame.stream_id > (
            self.highest if frame.stream_id & 1 else self.promised
        ):
            raise ProtocolError("RST_STREAM for a stream that is idle")  # 6.4
        whole: Frame = frame
        return whole
