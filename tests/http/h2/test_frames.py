"""RFC 9113 and RFC 7541 frame by frame: what a peer may not send, and what it gets for it.

The sections are those of the RFCs; the cases are what each sentence with MUST asks of a server.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hyperframe.frame import RstStreamFrame

from tests.support.applications import Script, body, start
from tests.support.h2_blocks import BLOCK, GET, asking, block
from tests.support.h2_codes import COMPRESSION, FLOW_CONTROL, FRAME_SIZE, PROTOCOL, STREAM_CLOSED
from tests.support.h2_frames import (
    PREFACE,
    data,
    goaway,
    ping,
    priority_update,
    raw,
    reset,
    settings,
    window,
)
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import never_answer

Serve = Callable[..., Memory]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION, UNKNOWN = 9, 0xEE
END_STREAM, END_HEADERS, PADDED, PRIO = 1, 4, 8, 32
ACK = 1


REQUEST = raw(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)
OPEN = raw(HEADERS, END_HEADERS, 1, BLOCK)


class Case(NamedTuple):
    """Return the octets sent after the preface and settings."""

    sent: tuple[bytes, ...]
    connection: int | None = None
    """The code of GOAWAY; None where the connection goes on."""
    stream: int | None = None
    """The code of RST_STREAM on stream 1; None where there is none."""


def fine(*sent: bytes) -> Case:
    return Case(sent)


def connection(code: int, *sent: bytes) -> Case:
    return Case(sent, connection=code)


def stream(code: int, *sent: bytes) -> Case:
    return Case(sent, stream=code)


CASES = {
    # 4.1 Frame format
    "4.1 unknown type": fine(raw(UNKNOWN, 0, 0, b"abc"), raw(UNKNOWN, 255, 1, b"abc")),
    "4.1 unknown flags": fine(raw(PING, 0xFE & ~ACK, 0, b"12345678")),
    "4.1 reserved bit": fine(raw(HEADERS, END_HEADERS | END_STREAM, 0x80000001, BLOCK)),
    # 4.2 Frame size
    "4.2 largest": fine(OPEN, data(1, b"a" * 16384)),
    "4.2 DATA too large": connection(FRAME_SIZE, OPEN, raw(DATA, 0, 1, b"", 16385)),
    "4.2 HEADERS too large": connection(FRAME_SIZE, raw(HEADERS, 0, 1, b"", 16385)),
    "4.2 unknown too large": connection(FRAME_SIZE, raw(UNKNOWN, 0, 0, b"", 16777215)),
    # 4.3 Field section compression
    "4.3 not to be decoded": connection(COMPRESSION, raw(HEADERS, 5, 1, b"\x40")),
    "4.3 trailers not to be decoded": connection(
        COMPRESSION, OPEN, raw(HEADERS, 5, 1, b"\xff\xff")
    ),
    "4.3 another frame inside": connection(
        PROTOCOL, raw(HEADERS, END_STREAM, 1, BLOCK), ping(), raw(CONTINUATION, 4, 1)
    ),
    "4.3 another stream inside": connection(
        PROTOCOL, raw(HEADERS, END_STREAM, 1, BLOCK), raw(HEADERS, 5, 3, BLOCK)
    ),
    "4.3 unknown frame inside": connection(
        PROTOCOL, raw(HEADERS, END_STREAM, 1, BLOCK), raw(UNKNOWN, 0, 1)
    ),
    # 5.1 Stream states
    "5.1 idle DATA": connection(PROTOCOL, data(1, b"a")),
    "5.1 idle RST_STREAM": connection(PROTOCOL, reset(1)),
    "5.1 idle WINDOW_UPDATE": connection(PROTOCOL, window(1, 100)),
    "5.1 idle CONTINUATION": connection(PROTOCOL, raw(CONTINUATION, END_HEADERS, 1, BLOCK)),
    "5.1 idle PRIORITY": fine(raw(PRIORITY, 0, 7, b"\0\0\0\0\x0f")),
    "5.1 half-closed DATA": stream(STREAM_CLOSED, REQUEST, data(1, b"a")),
    "5.1 half-closed HEADERS": stream(STREAM_CLOSED, REQUEST, REQUEST),
    "5.1 half-closed CONTINUATION": connection(PROTOCOL, REQUEST, raw(CONTINUATION, 4, 1, BLOCK)),
    "5.1 half-closed WINDOW_UPDATE": fine(REQUEST, window(1, 100)),
    "5.1 reset DATA": stream(STREAM_CLOSED, OPEN, reset(1), data(1, b"a")),
    "5.1 reset HEADERS": stream(STREAM_CLOSED, OPEN, reset(1), REQUEST),
    "5.1 reset WINDOW_UPDATE": fine(OPEN, reset(1), window(1, 1)),
    "5.1 reset RST_STREAM": fine(OPEN, reset(1), reset(1)),
    "5.1 reset PRIORITY": fine(OPEN, reset(1), raw(PRIORITY, 0, 1, b"\0\0\0\0\x0f")),
    # 5.1.1 Stream identifiers
    "5.1.1 even": connection(PROTOCOL, raw(HEADERS, 5, 2, BLOCK)),
    "5.1.1 lower": connection(PROTOCOL, raw(HEADERS, 5, 3, BLOCK), REQUEST),
    "5.1.1 zero": connection(PROTOCOL, raw(HEADERS, 5, 0, BLOCK)),
    # 5.4.1, 5.5 Extending
    "5.5 unknown setting": fine(settings({0xABCD: 7})),
    # 6.1 DATA
    "6.1 on stream 0": connection(PROTOCOL, raw(DATA, 0, 0, b"a")),
    "6.1 padding": fine(OPEN, data(1, b"a", padding=3), data(1, b"", padding=0)),
    "6.1 only padding": fine(OPEN, raw(DATA, PADDED, 1, b"\x02\0\0")),
    "6.1 padding too long": connection(PROTOCOL, OPEN, raw(DATA, PADDED, 1, b"\x05ab")),
    "6.1 padding of no octets": connection(FRAME_SIZE, OPEN, raw(DATA, PADDED, 1)),
    # 6.2 HEADERS
    "6.2 padding": fine(raw(HEADERS, 5 | PADDED, 1, b"\x02" + BLOCK + b"\0\0")),
    "6.2 padding too long": connection(
        PROTOCOL, raw(HEADERS, 5 | PADDED, 1, bytes((len(BLOCK) + 1,)) + BLOCK)
    ),
    "6.2 priority": fine(raw(HEADERS, 5 | PRIO, 1, b"\0\0\0\0\x0f" + BLOCK)),
    "6.2 priority cut short": connection(FRAME_SIZE, raw(HEADERS, 5 | PRIO, 1, b"\0\0\0")),
    # 6.3 PRIORITY
    "6.3 on stream 0": connection(PROTOCOL, raw(PRIORITY, 0, 0, b"\0\0\0\0\x0f")),
    "6.3 length": connection(FRAME_SIZE, raw(PRIORITY, 0, 1, b"\0\0\0\0")),
    # 6.4 RST_STREAM
    "6.4 on stream 0": connection(PROTOCOL, raw(RST_STREAM, 0, 0, b"\0\0\0\x08")),
    "6.4 length": connection(FRAME_SIZE, OPEN, raw(RST_STREAM, 0, 1, b"\0\0\x08")),
    "6.4 even": connection(PROTOCOL, OPEN, raw(RST_STREAM, 0, 2, b"\0\0\0\x08")),
    "6.4 unknown code": fine(OPEN, reset(1, 0xFEED)),
    # 6.5 SETTINGS
    "6.5 ACK with content": connection(FRAME_SIZE, raw(SETTINGS, ACK, 0, b"\0\3\0\0\0\1")),
    "6.5 on a stream": connection(PROTOCOL, OPEN, raw(SETTINGS, 0, 1)),
    "6.5 length": connection(FRAME_SIZE, raw(SETTINGS, 0, 0, b"\0\3\0\0\0")),
    "6.5 one ACK more": fine(settings(ack=True)),
    "6.5.2 ENABLE_PUSH": connection(PROTOCOL, settings({2: 2})),
    "6.5.2 largest window": fine(settings({4: 2**31 - 1})),
    "6.5.2 INITIAL_WINDOW_SIZE": connection(FLOW_CONTROL, settings({4: 2**31})),
    "6.5.2 MAX_FRAME_SIZE small": connection(PROTOCOL, settings({5: 16383})),
    "6.5.2 MAX_FRAME_SIZE large": connection(PROTOCOL, settings({5: 2**24})),
    "6.5.2 extremes": fine(settings({1: 0, 3: 0, 5: 2**24 - 1, 6: 0})),
    "6.5.3 the last counts": fine(raw(SETTINGS, 0, 0, b"\0\4\0\0\0\0\0\4\0\0\xff\xff")),
    # 6.6 PUSH_PROMISE
    "6.6 from a client": connection(
        PROTOCOL, OPEN, raw(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + BLOCK)
    ),
    # 6.7 PING
    "6.7 on a stream": connection(PROTOCOL, raw(PING, 0, 1, b"12345678")),
    "6.7 length": connection(FRAME_SIZE, raw(PING, 0, 0, b"1234567")),
    "6.7 ACK of nothing": fine(ping(ack=True)),
    # 6.8 GOAWAY
    "6.8 on a stream": connection(PROTOCOL, raw(GOAWAY, 0, 1, bytes(8))),
    "6.8 length": connection(FRAME_SIZE, raw(GOAWAY, 0, 0, bytes(7))),
    # 6.9 WINDOW_UPDATE
    "6.9 of nothing": connection(PROTOCOL, raw(WINDOW_UPDATE, 0, 0, bytes(4))),
    "6.9 of nothing on a stream": connection(PROTOCOL, OPEN, raw(WINDOW_UPDATE, 0, 1, bytes(4))),
    "6.9 length": connection(FRAME_SIZE, raw(WINDOW_UPDATE, 0, 0, bytes(3))),
    "6.9 reserved bit": fine(raw(WINDOW_UPDATE, 0, 0, b"\x80\0\0\1")),
    "6.9.1 beyond 2**31-1": connection(FLOW_CONTROL, window(0, 2**31 - 1)),
    "6.9.1 beyond it on a stream": stream(FLOW_CONTROL, OPEN, window(1, 2**31 - 1)),
    "6.9.1 up to it": fine(window(0, 2**31 - 1 - 65535)),
    "6.9.2 beyond it by settings": connection(
        FLOW_CONTROL, OPEN, window(1, 1), settings({4: 2**31 - 1})
    ),
    # 6.10 CONTINUATION
    "6.10 one": fine(raw(HEADERS, END_STREAM, 1, BLOCK[:3]), raw(CONTINUATION, 4, 1, BLOCK[3:])),
    "6.10 several": fine(
        raw(HEADERS, END_STREAM, 1, b""), raw(CONTINUATION, 0, 1, BLOCK), raw(CONTINUATION, 4, 1)
    ),
    "6.10 on stream 0": connection(
        PROTOCOL, raw(HEADERS, END_STREAM, 1, BLOCK), raw(CONTINUATION, 4, 0)
    ),
    "6.10 on another": connection(
        PROTOCOL, raw(HEADERS, END_STREAM, 1, BLOCK), raw(CONTINUATION, 4, 3)
    ),
    "6.10 behind the end": connection(PROTOCOL, OPEN, raw(CONTINUATION, 4, 1, BLOCK)),
    "6.10 behind DATA": connection(PROTOCOL, OPEN, data(1, b"a"), raw(CONTINUATION, 4, 1)),
    # 8.1 Messages
    "8.1 trailers": fine(OPEN, data(1, b"a"), raw(HEADERS, 5, 1, b"\0\1t\1r")),
    "8.1 trailers without an end": connection(PROTOCOL, OPEN, raw(HEADERS, 4, 1, b"\0\1t\1r")),
    "8.1 pseudo-field in trailers": stream(PROTOCOL, OPEN, raw(HEADERS, 5, 1, b"\x82")),
    "8.1 upper case in trailers": stream(PROTOCOL, OPEN, raw(HEADERS, 5, 1, b"\0\1T\1r")),
    # 8.1.1 Malformed
    "8.1.1 less than declared": stream(
        PROTOCOL, raw(HEADERS, 4, 1, block((b"content-length", b"2"))), data(1, b"a", ends=True)
    ),
    "8.1.1 more than declared": stream(
        PROTOCOL, raw(HEADERS, 4, 1, block((b"content-length", b"1"))), data(1, b"ab")
    ),
    "8.1.1 in parts": stream(
        PROTOCOL, raw(HEADERS, 4, 1, block((b"content-length", b"1"))), data(1, b"a"), data(1, b"b")
    ),
    "8.1.1 nothing of it": stream(PROTOCOL, raw(HEADERS, 5, 1, block((b"content-length", b"1")))),
    "8.1.1 less before trailers": stream(
        PROTOCOL, raw(HEADERS, 4, 1, block((b"content-length", b"2"))), data(1, b"a"),
        raw(HEADERS, 5, 1, b"\0\1t\1r"),
    ),
    "8.1.1 as declared": fine(
        raw(HEADERS, 4, 1, block((b"content-length", b"2"))), data(1, b"a", padding=9),
        data(1, b"b", ends=True),
    ),
    "8.1.1 zero": fine(raw(HEADERS, 5, 1, block((b"content-length", b"0")))),
    # RFC 7541
    "7541 2.3.3 index 0": connection(COMPRESSION, raw(HEADERS, 5, 1, b"\x80")),
    "7541 2.3.3 index beyond": connection(COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\xc6")),
    "7541 2.3.3 name beyond": connection(COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\x7f\x00\1a")),
    "7541 4.2 size at the end": connection(COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\x20")),
    "7541 4.2 size at the start": fine(raw(HEADERS, 5, 1, b"\x20" + BLOCK)),
    "7541 5.1 integer without end": connection(
        COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\xff" + b"\xff" * 1000)
    ),
    "7541 5.2 padding of 8 bits": connection(
        COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\0\x82\x1f\xff\1a")
    ),
    "7541 5.2 padding of zeros": connection(
        COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\0\x81\x18\1a")
    ),
    "7541 5.2 end of string": connection(
        COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\0\x84\xff\xff\xff\xff\1a")
    ),
    "7541 5.2 cut short": connection(COMPRESSION, raw(HEADERS, 5, 1, BLOCK + b"\0\x05ab")),
    "7541 6.3 size beyond": connection(COMPRESSION, raw(HEADERS, 5, 1, b"\x3f\xe2\x1f" + BLOCK)),
    # RFC 9218
    "9218 7.1 idle stream": fine(priority_update(5, b"u=1, i")),
    "9218 7.1 open stream": fine(OPEN, priority_update(1, b"u=1")),
    "9218 7.1 closed stream": fine(OPEN, reset(1), priority_update(1, b"u=1")),
    "9218 7.1 nonsense": fine(priority_update(1, b"\xff\0;;==")),
    "9218 7.1 on a stream": connection(PROTOCOL, OPEN, raw(0x10, 0, 1, b"\0\0\0\1u=1")),
    "9218 7.1 for stream 0": connection(PROTOCOL, priority_update(0, b"u=1")),
    "9218 7.1 length": connection(FRAME_SIZE, raw(0x10, 0, 0, b"\0\0\0")),
}  # fmt: skip

MALFORMED = {
    # 8.2 Fields
    "8.2.1 upper case": block((b"X-Y", b"z")),
    "8.2.1 space in a name": block((b"x y", b"z")),
    "8.2.1 colon in a name": block((b"x:y", b"z")),
    "8.2.1 empty name": block((b"", b"z")),
    "8.2.1 CR in a name": block((b"x\r", b"z")),
    "8.2.1 octet in a name": block((b"x\xe9", b"z")),
    "8.2.1 CR": block((b"x", b"a\rb")),
    "8.2.1 LF": block((b"x", b"a\nb")),
    "8.2.1 NUL": block((b"x", b"a\0b")),
    "8.2.1 VT": block((b"x", b"a\x0bb")),
    "8.2.1 DEL": block((b"x", b"a\x7fb")),
    "8.2.1 space before": block((b"x", b" a")),
    "8.2.1 tab behind": block((b"x", b"a\t")),
    "8.2.2 connection": block((b"connection", b"keep-alive")),
    "8.2.2 keep-alive": block((b"keep-alive", b"5")),
    "8.2.2 proxy-connection": block((b"proxy-connection", b"x")),
    "8.2.2 transfer-encoding": block((b"transfer-encoding", b"chunked")),
    "8.2.2 upgrade": block((b"upgrade", b"h2c")),
    "8.2.2 te": block((b"te", b"trailers, deflate")),
    # 8.3 Pseudo-fields
    "8.3 unknown": block(base=[*GET, (b":x", b"y")]),
    "8.3 of an answer": block(base=[(b":method", b"GET"), *GET[1:], (b":status", b"200")]),
    "8.3 behind a field": block(base=[*GET[:3], (b"a", b"b"), GET[3]]),
    "8.3.1 no method": block(base=GET[1:]),
    "8.3.1 no scheme": block(base=[GET[0], *GET[2:]]),
    "8.3.1 no path": block(base=GET[:3]),
    "8.3.1 two methods": block(base=[GET[0], *GET]),
    "8.3.1 two schemes": block(base=[GET[1], *GET]),
    "8.3.1 two paths": block(base=[GET[3], *GET]),
    "8.3.1 two authorities": block(base=[GET[2], *GET]),
    "8.3.1 empty path": block(base=asking(path=b"")),
    "8.3.1 space in the path": block(base=asking(path=b"/a b")),
    "8.3.1 octet in the path": block(base=asking(path=b"/\xe9")),
    "8.3.1 control in the path": block(base=asking(path=b"/\r\nx: y")),
    "8.3.1 absolute path": block(base=asking(path=b"http://x/y")),
    "8.3.1 no authority": block(base=[*GET[:2], GET[3]]),
    "8.3.1 another host": block((b"host", b"y")),
    "8.3.1 two hosts": block((b"host", b"x"), (b"host", b"x")),
    "8.3.1 method of two words": block(base=asking(b"GET /")),
    "8.3.1 no octet of a method": block(base=asking(b"")),
    # 8.5, RFC 8441
    "8.5 CONNECT with a path": block(base=asking(b"CONNECT")),
    "8441 4 :protocol of GET": block(base=[*GET, (b":protocol", b"websocket")]),
    "8441 4 no path": block(base=[(b":method", b"CONNECT"), *GET[1:3], (b":protocol", b"x")]),
    # RFC 9110, 8.6 (S07, S19, S21)
    "9110 8.6 sign": block((b"content-length", b"+3")),
    "9110 8.6 minus": block((b"content-length", b"-3")),
    "9110 8.6 hexadecimal": block((b"content-length", b"0x3")),
    "9110 8.6 underscore": block((b"content-length", b"1_0")),
    "9110 8.6 list": block((b"content-length", b"3, 3")),
    "9110 8.6 two": block((b"content-length", b"3"), (b"content-length", b"4")),
    "9110 8.6 thousands of digits": block((b"content-length", b"9" * 5000)),
}  # fmt: skip


def frames_in(octets: bytes) -> list[bytes]:
    """Return the written octets as frames."""
    frames = []
    while octets:
        size = 9 + int.from_bytes(octets[:3], "big")
        frames.append(octets[:size])
        octets = octets[size:]
    return frames


@pytest.fixture
def peer(serve: Serve) -> H2Peer:
    return H2Peer(serve(never_answer))


@pytest.mark.parametrize("name", CASES)
class TestFrames:
    """RFC 9113, 4 to 8; RFC 7541; RFC 9218, 7.1."""

    def test_reaction(self, peer: H2Peer, name: str) -> None:
        """The connection goes with this code, or the stream; or nothing happens at all."""
        case = CASES[name]
        peer.sends(*case.sent)
        if case.connection is not None:
            assert [code for code, _ in peer.gone] == [case.connection]
            assert peer.wire.closing
            return
        assert peer.gone == []
        assert peer.answer(1).reset == case.stream
        peer.sends(ping(b"are you?"))
        assert peer.pongs[-1] == b"are you?"

    def test_cut_anywhere(self, serve: Serve, name: str) -> None:
        """The same, whatever pieces it comes in."""
        sent = b"".join(CASES[name].sent)
        whole = H2Peer(serve(never_answer)).sends(sent)
        for step in (1, 7):
            peer = H2Peer(serve(never_answer))
            peer.sends(*(sent[at : at + step] for at in range(0, min(len(sent), 400), step)))
            peer.sends(sent[400:])
            assert peer.gone == whole.gone
            assert peer.answer(1).reset == whole.answer(1).reset


@pytest.mark.parametrize("name", MALFORMED)
class TestMalformed:
    """RFC 9113, 8.1.1: a malformed request is its stream's error; advisories S18 and S19."""

    def test_alone(self, serve: Serve, name: str) -> None:
        """It is reset, no application sees it, and the connection goes on with the next one."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope["path"])

        peer = H2Peer(serve(application))
        first = MALFORMED[name]
        parts = [first[at : at + 16000] for at in range(0, len(first), 16000)]
        peer.sends(
            raw(HEADERS, END_STREAM, 1, parts[0]) + raw(CONTINUATION, 4, 1, b"".join(parts[1:]))
        )
        assert peer.gone == []
        assert (peer.answer(1).reset, peer.answer(1).heads) == (PROTOCOL, [])
        assert scopes == []
        peer.sends(raw(HEADERS, 5, 3, BLOCK))
        assert scopes == ["/"]


CUT_OFF = {
    **{name: case for name, case in CASES.items() if case.stream is not None},
    **{
        name: stream(PROTOCOL, raw(HEADERS, END_HEADERS, 1, section))
        for name, section in MALFORMED.items()
        if len(section) <= 16384
    },
}
"""Errors of stream 1, with the code of its reset."""
BEHIND = {
    "DATA": data(1, b"a"),
    "padded DATA": data(1, b"a", padding=9),
    "the last DATA": data(1, b"a", ends=True),
    "WINDOW_UPDATE": window(1, 10),
    "too large WINDOW_UPDATE": window(1, 2**31 - 1),
    "trailers": raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\1t\1r"),
    "RST_STREAM": reset(1),
    "PRIORITY": raw(PRIORITY, 0, 1, b"\0\0\0\0\x0f"),
    "PRIORITY_UPDATE": priority_update(1, b"u=1"),
}


@pytest.mark.parametrize("name", CUT_OFF)
class TestResetOnce:
    """RFC 9113, 5.1 and 5.4.2: what was on its way behind a stream error is discarded."""

    def test_one_reset(self, peer: H2Peer, name: str) -> None:
        """One RST_STREAM, whatever frames follow; the connection goes on."""
        case = CUT_OFF[name]
        peer.sends(*case.sent)
        for octets in BEHIND.values():
            peer.sends(octets, octets)
        resets = [frame.error_code for frame in peer.frames if isinstance(frame, RstStreamFrame)]
        assert resets == [case.stream]
        assert peer.gone == []
        peer.sends(ping(b"are you?"))
        assert peer.pongs[-1] == b"are you?"


class TestWellFormed:
    """RFC 9113, 8: what looks odd and is allowed."""

    @pytest.mark.parametrize(
        ("section", "headers"),
        [
            (block((b"te", b"trailers")), [(b"host", b"x"), (b"te", b"trailers")]),
            (block((b"host", b"x")), [(b"host", b"x")]),
            (block(base=[*GET[:2], GET[3], (b"host", b"y:80")]), [(b"host", b"y:80")]),
            (block((b"a", b"1"), (b"host", b"x")), [(b"host", b"x"), (b"a", b"1")]),
            (block((b"x", b"\xe9\xff")), [(b"host", b"x"), (b"x", b"\xe9\xff")]),
            (block((b"x", b"")), [(b"host", b"x"), (b"x", b"")]),
            (
                block((b"cookie", b"a=1"), (b"z", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c")),
                [(b"host", b"x"), (b"cookie", b"a=1; b=2; c"), (b"z", b"y")],
            ),
        ],
    )  # fmt: skip
    def test_headers(self, serve: Serve, section: bytes, headers: Any) -> None:
        """H11, H16: pseudo-fields are removed, :authority is host, and crumbs are one cookie."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)

        H2Peer(serve(application)).sends(raw(HEADERS, 5, 1, section))
        assert scopes[0]["headers"] == headers

    def test_many_crumbs(self, serve: Serve) -> None:
        """RFC 9113, 8.2.3: the crumbs of one cookie are one field of `--max-fields`."""
        peer = H2Peer(serve(never_answer, max_fields=3))
        crumbs = [(b"cookie", b"%d" % number) for number in range(200)]
        peer.sends(raw(HEADERS, 5, 1, block(*crumbs)))
        assert peer.answer(1).status is None

    @pytest.mark.parametrize(
        ("section", "status"),
        [
            (block(base=[(b":method", b"CONNECT"), (b":authority", b"x:80")]), 501),
            (block(base=[*GET[:2], (b":authority", b"u@x"), GET[3]]), 400),
            (block(base=asking(path=b"*")), 400),
            (block((b"expect", b"100-continue"), (b"expect", b"100-continue")), 417),
        ],
    )
    def test_refused(self, peer: H2Peer, section: bytes, status: int) -> None:
        """A well-formed request that is not served gets a response."""
        peer.sends(raw(HEADERS, 5, 1, section))
        assert (peer.answer(1).status, peer.answer(1).ended, peer.gone) == (status, True, [])


class TestPreface:
    """RFC 9113, 3.4."""

    def test_settings(self, serve: Serve) -> None:
        """The server's first frame is SETTINGS; it says what is bounded."""
        peer = H2Peer(serve(never_answer, h2_max_streams=7))
        assert peer.settings == {
            1: 4096, 2: 0, 3: 7, 4: 65536, 5: 16384, 6: 65536 + 16384, 8: 1, 9: 1
        }  # fmt: skip
        assert type(peer.frames[0]).__name__ == "SettingsFrame"

    @pytest.mark.parametrize("cut", range(1, 24))
    def test_cut_anywhere(self, serve: Serve, cut: int) -> None:
        """The preface may come in parts, on HTTP/1.1's connection or ours alone."""
        for http in ("auto", "2"):
            memory = serve(never_answer, http=http)
            wire = memory.connect()
            wire.sends(PREFACE[:cut], PREFACE[cut:] + settings(), ping())
            assert wire.written.endswith(ping(ack=True))
            assert not wire.closing

    @pytest.mark.parametrize("first", [ping(), settings(ack=True), OPEN, window(0, 1), goaway()])
    def test_first_frame(self, serve: Serve, first: bytes) -> None:
        """3.4: it is SETTINGS, or the connection is at fault."""
        memory = serve(never_answer)
        wire = memory.connect().sends(PREFACE + first)
        assert wire.written.endswith(goaway(PROTOCOL))
        assert wire.closing

    @pytest.mark.parametrize(
        "first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b"PRI *X"]
    )
    def test_no_preface(self, serve: Serve, first: bytes) -> None:
        """--http 2: what speaks anything else is told so and closed."""
        wire = serve(never_answer, http="2").connect().sends(first)
        assert wire.written.endswith(goaway(PROTOCOL))
        assert wire.closing

    @pytest.mark.parametrize(
        ("http", "sent"),
        [
            ("2", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("2", PREFACE + ping()),
            ("auto", PREFACE + ping()),
            ("auto", PREFACE + raw(SETTINGS, 0, 0, b"", 16385)),
        ],
    )
    def test_settings_before_goaway(self, serve: Serve, http: str, sent: bytes) -> None:
        """3.4: SETTINGS is the server's first frame, also where GOAWAY is all that follows it."""
        wire = serve(never_answer, http=http).connect().sends(sent)
        kinds = [frame[3] for frame in frames_in(wire.written)]
        assert (kinds[0], kinds[-1]) == (SETTINGS, GOAWAY)
        assert kinds.count(GOAWAY) == 1

    def test_answers_before_goaway(self, serve: Serve) -> None:
        """5.4.1: an answer that is whole goes out though the next frame is an error."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks()

        async def answers_and_reads() -> None:
            await script.send(start())
            await script.send(body(b"whole"))
            peer.wire.protocol.dataReceived(raw(DATA, 0, 0, b"a"))

        memory.loop.run_until_complete(answers_and_reads())
        memory.settle()
        peer.read()
        assert (peer.answer(1).body, peer.answer(1).ended) == (b"whole", True)
        assert [code for code, _ in peer.gone] == [PROTOCOL]

    def test_http_1_alone(self, serve: Serve) -> None:
        """--http 1: the preface is a request of a version that is not served."""
        wire = serve(never_answer, http="1").connect().sends(PREFACE + settings())
        assert wire.written.startswith(b"HTTP/1.1 400 ")
        assert wire.closing

    def test_not_behind_a_request(self, serve: Serve) -> None:
        """A connection that speaks HTTP/1.1 does not change in between."""
        wire = serve(never_answer).connect()
        wire.sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + PREFACE + settings())
        assert b"\0\0" not in wire.written


class TestAgain:
    """A field section that comes again, octet for octet: its request is known already."""

    SECTION = block((b"x", b"y"))

    def scopes(self, serve: Serve, *flags: int, **settings: Any) -> tuple[H2Peer, list[Any]]:
        """The same section on streams 1, 3, 5, ... with these flags, and the scopes it makes."""
        scopes: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(copy.deepcopy(scope))
            scope["headers"].append((b"more", b""))
            scope["headers"][0] = (b"host", b"other")
            scope["extensions"].clear()
            scope["path"] = "/other"
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        peer = H2Peer(serve(application, **settings))
        for index, flag in enumerate(flags):
            peer.sends(raw(HEADERS, END_HEADERS | flag, 2 * index + 1, self.SECTION))
        return peer, scopes

    def test_scopes_are_equal(self, serve: Serve) -> None:
        """And each application has its own (C18)."""
        peer, scopes = self.scopes(serve, *(END_STREAM,) * 4)
        assert scopes == scopes[:1] * 4
        assert scopes[0]["headers"][-1] == (b"x", b"y")
        assert [peer.answer(number).status for number in (1, 3, 5, 7)] == [200] * 4

    def test_with_a_body_or_without(self, serve: Serve) -> None:
        """A body does not change the section."""
        peer, scopes = self.scopes(serve, END_STREAM, 0, END_STREAM)
        assert scopes == scopes[:1] * 3
        assert peer.answer(3).status == 200

    def test_refused_each_time(self, serve: Serve) -> None:
        """A section that is refused is refused the second time, too."""
        peer, scopes = self.scopes(serve, *(END_STREAM,) * 3, max_fields=1)
        assert scopes == []
        assert [peer.answer(number).status for number in (1, 3, 5)] == [431] * 3
