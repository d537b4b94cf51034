"""From octets to frames, one at a time.

What h2 would take in before it looks, or lets through, is refused here (RFC 9113, 3.4, 4.2, 6).
What comes of the frames is in h2_machine.py, what they mean to a request in h2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from h2.exceptions import (
    DenialOfServiceError,
    FrameDataMissingError,
    FrameTooLargeError,
    ProtocolError,
)
from h2.settings import SettingCodes
from hyperframe.exceptions import InvalidDataError, InvalidFrameError, InvalidPaddingError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

if TYPE_CHECKING:
    pass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = 16384
"""Octets of the largest frame, either way: the least that a peer must be allowed (4.2)."""
FRAME_HEAD = 9
MOST_CONTINUATIONS = 64
"""CONTINUATION frames of one field section: large ones fill its limit long before (S16)."""
FIRST_WINDOW = 65536
"""Octets of a body that a peer may send before the application has read any."""
NO_RFC7540_PRIORITIES = 9
"""The setting that says so (RFC 9218, 2.1)."""
ACK = END_STREAM = 0x1
END_HEADERS, PRIORITY = 0x4, 0x20
HIGHEST = 0x7FFFFFFF
KNOWN_SETTINGS = frozenset(SettingCodes)


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

    max_frame_size = FRAME  # h2 sets it

    def __init__(self, most_block: int) -> None:
        self.last: Frame | None = None
        self.highest = 0
        self.promised = 0
        self.settled = False
        self._most_block = most_block
        self._preface = PREFACE  # what is to come of it
        self._data = bytearray()
        self._block: list[Any] = []  # a field section that is not whole
        self._block_size = 0

    def add_data(self, data: Any) -> None:
        """What the peer has sent."""
        self._data += data

    @property
    def waits_for_head(self) -> bool:
        """Whether something has begun that is to be whole soon: anything but a frame of a body."""
        data = self._data
        return bool(self._block) or (
            bool(data) and (len(data) < FRAME_HEAD or data[3] != DataFrame.type)
        )

    def whole_request(self) -> tuple[int, bytes] | None:
        """The next frame, if it is all of a request: HEADERS that end a new stream of theirs.

        Returns:
            The stream's number, and the encoded field section; None leaves the frame where it is.
        """
        data = self._data
        if len(data) < FRAME_HEAD or data[3] != HeadersFrame.type or not self.settled:
            return None
        size, flags = int.from_bytes(data[:3], "big"), data[4]
        end = FRAME_HEAD + size
        number = int.from_bytes(data[5:FRAME_HEAD], "big")
        start = FRAME_HEAD
        if flags & PRIORITY:
            start += 5
        if (
            flags & ~PRIORITY != END_STREAM | END_HEADERS
            or not start < end <= len(data)
            or size > FRAME
            or self._block
            or number <= self.highest
            or not number & 1
            or number > HIGHEST
            # A stream that depends on itself is h2's to refuse (RFC 7540, 5.3.1).
            or (flags & PRIORITY and data[FRAME_HEAD : FRAME_HEAD + 4] == data[5:FRAME_HEAD])
        ):
            return None
        block = bytes(data[start:end])
        del data[:end]
        self.highest = number
        return number, block

    def next_data(self) -> tuple[int, int, bool] | None:
        """Look at the next frame, if it is DATA, whole, with octets and without padding.

        Returns:
            The stream's number, how many octets, and whether its peer's side ends with them; None
            for any other frame. Either way the frame stays where it is: see `take_data`.
        """
        data = self._data
        if len(data) < FRAME_HEAD or data[3] != DataFrame.type or not self.settled:
            return None
        size, flags = int.from_bytes(data[:3], "big"), data[4]
        if flags & ~END_STREAM or not 0 < size <= FRAME or len(data) < FRAME_HEAD + size:
            return None
        if self._block:
            return None
        return int.from_bytes(data[5:FRAME_HEAD], "big"), size, bool(flags)

    def take_data(self, size: int) -> bytes:
        """Cut off the frame that `next_data` has found; its octets."""
        data = self._data
        end = FRAME_HEAD + size
        # A slice of `data` itself would be copied twice.
        with memoryview(data) as view, view[FRAME_HEAD:end] as part:
            octets = bytes(part)
        del data[:end]
        return octets

    def __iter__(self) -> Iterator[Frame]:
        """The next frame, and no other; GOAWAY is not for h2, which would fall silent."""
        self.last = frame = self._next()
        if frame is not None and frame.__class__ is not GoAwayFrame:
            yield frame

    def _next(self) -> Frame | None:
        if self._preface and not self._preface_came():
            return None
        data = self._data
        while len(data) >= FRAME_HEAD:
            size = int.from_bytes(data[:3], "big")
            self._check_head(size, data[3], data[4])
            end = FRAME_HEAD + size
            if len(data) < end:
                return None
            if data[3] == WindowUpdateFrame.type and size:
                data[FRAME_HEAD] &= 0x7F  # reserved, to be ignored (6.9); hyperframe would not
            frame = self._parsed(bytes(data[:end]))
            del data[:end]
            whole = self._whole(frame)
            if whole is not None:
                return whole
        return None

    def _preface_came(self) -> bool:
        size = min(len(self._preface), len(self._data))
        if self._data[:size] != self._preface[:size]:
            raise ProtocolError("The preface is not HTTP/2's")
        self._preface = self._preface[size:]
        del self._data[:size]
        return not self._preface

    def _check_head(self, size: int, kind: int, flags: int) -> None:
        """Refuse a frame by its first octets, whether or not the others are there."""
        if size > self.max_frame_size:
            raise FrameTooLargeError(f"A frame of {size} octets")
        if not self.settled and (kind != SettingsFrame.type or flags & ACK):
            raise ProtocolError("The first frame is not SETTINGS")
        if kind == SettingsFrame.type and flags & ACK and size:
            raise FrameDataMissingError("An acknowledgement of settings that says something")
        if self._block:
            if kind != ContinuationFrame.type:
                raise ProtocolError("Another frame inside of a field section")
            if len(self._block) > MOST_CONTINUATIONS or self._block_size + size > self._most_block:
                raise DenialOfServiceError("A field section without end")
        elif kind == ContinuationFrame.type:
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
            self.settled = True
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
