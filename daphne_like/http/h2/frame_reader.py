"""From octets to frames, one at a time.

What h2 would take in before it looks, or lets through, is refused here (RFC 9113, 3.4, 4.2, 6).
What comes of the frames is in h2/state_machine.py, what they mean to a request in h2.py.
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
"""Octets of the largest frame, either way: the least that a peer must be allowed (4.2)."""
FRAME_HEAD = 9
MAX_CONTINUATIONS = 64
"""CONTINUATION frames of one field section: large ones fill its limit long before (S16)."""
DATA, HEADERS, WINDOW_UPDATE, CONTINUATION = 0x0, 0x1, 0x8, 0x9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HIGHEST = 0x7FFFFFFF
KNOWN_SETTINGS = frozenset(SettingCodes)
LAYOUT = struct.Struct(">BHBBI")
"""A frame's head: the length's upper octet and lower two, type, flags, stream (4.1)."""
frame_head = LAYOUT.pack
parts_of_head = LAYOUT.unpack_from


class FrameReader:
    """Cuts what comes into frames; stands in the place of h2's FrameBuffer.

    h2's own waits for the whole of a frame before it looks at its length, and hands out all that
    are there before one of them can have had an effect.

    Args:
        most_block: octets of a field section, encoded.

    Attributes:
        last: the frame that was cut off last, or None when there is no whole one.
        highest: the highest number of a stream that the peer has opened.
        promised: the highest number of a stream that was promised to it.
        settled: the peer's first SETTINGS have come.
    """

    max_frame_size = MAX_FRAME_SIZE  # h2 sets it

    def __init__(self, most_block: int) -> None:
        self.last: Frame | None = None
        self.highest = 0
        self.promised = 0
        self.settings_received = False
        self._most_block = most_block
        self._preface = PREFACE  # what is to come of it
        self._data = b""
        self._at = 0  # what stands before it is cut off already
        self._block: list[Any] = []  # a field section that is not whole
        self._block_size = 0

    def add_data(self, data: bytes) -> None:
        """What the peer has sent."""
        if data:
            left = self._data[self._at :]
            self._data = left + data if left else data
            self._at = 0

    @property
    def waits_for_head(self) -> bool:
        """Whether something has begun that is to be whole soon: anything but a frame of a body."""
        data, at = self._data, self._at
        left = len(data) - at
        return bool(self._block) or (left > 0 and (left < FRAME_HEAD or data[at + 3] != DATA))

    def take_request(self) -> tuple[int, bytes] | None:
        """The next frame, if it is all of a request: HEADERS that end a new stream of theirs.

        Returns:
            The stream's number, and the encoded field section; None leaves the frame where it is.
        """
        data, at = self._data, self._at
        start = at + FRAME_HEAD
        if len(data) < start:
            return None
        upper, size, kind, flags, number = parts_of_head(data, at)
        if kind != HEADERS:
            return None
        end = start + size
        if flags != END_STREAM | END_HEADERS:
            if flags != END_STREAM | END_HEADERS | PRIORITY:
                return None
            # A stream that depends on itself is h2's to refuse (RFC 7540, 5.3.1).
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
        """Cut off the next frame, if it is DATA, whole, and with octets beside its padding.

        Returns:
            The stream's number, the octets, whether its peer's side ends with them, and what they
            count in the windows; None leaves the frame where it is, and so does `put_back`
            afterwards.
        """
        data, at = self._data, self._at
        start = at + FRAME_HEAD
        if len(data) < start:
            return None
        upper, size, kind, flags, number = parts_of_head(data, at)
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
            if padding + 1 >= size:  # nothing else, or an error: not the usual way
                return None
            self._at = end
            return number, data[start + 1 : end - padding], flags & END_STREAM == END_STREAM, size
        self._at = end
        return number, data[start:end], flags == END_STREAM, size

    def put_back(self, size: int) -> None:
        """Leave the frame that `next_data` has just cut off to whoever comes next."""
        self._at -= FRAME_HEAD + size

    @property
    def has_more(self) -> bool:
        """Whether there are octets that were not cut into frames."""
        return self._at < len(self._data)

    def __iter__(self) -> Iterator[Frame]:
        """The next frame, and no other; GOAWAY is not for h2, which would fall silent."""
        self.last = frame = self._next()
        if frame is not None and frame.__class__ is not GoAwayFrame:
            yield frame

    def _next(self) -> Frame | None:
        if self._preface and not self._preface_came():
            return None
        while len(self._data) - self._at >= FRAME_HEAD:
            data, at = self._data, self._at
            upper, lower, kind, flags, _ = parts_of_head(data, at)
            size = (upper << 16) + lower
            self._check_head(size, kind, flags)
            end = at + FRAME_HEAD + size
            if len(data) < end:
                break
            octets = data[at:end]
            if kind == WINDOW_UPDATE and size:
                # Reserved, to be ignored (6.9); hyperframe would not.
                first = bytes((octets[FRAME_HEAD] & 0x7F,))
                octets = octets[:FRAME_HEAD] + first + octets[FRAME_HEAD + 1 :]
            frame = self._parsed(octets)
            self._at = end
            whole = self._whole(frame)
            if whole is not None:
                return whole
        # Nothing is held on to but what waits for its rest.
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
        """Refuse a frame by its first octets, whether or not the others are there."""
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
        """The frame, or the field section of which it is the last part; None for another part."""
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
            # h2 keeps values of all 65536 there could be.
            frame.settings = {
                name: value for name, value in frame.settings.items() if name in KNOWN_SETTINGS
            }
        elif kind is RstStreamFrame and frame.stream_id > (
            self.highest if frame.stream_id & 1 else self.promised
        ):
            raise ProtocolError("RST_STREAM for a stream that is idle")  # 6.4
        whole: Frame = frame
        return whole
