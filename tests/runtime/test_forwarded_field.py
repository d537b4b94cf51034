"""Forwarded, read from the right."""

from __future__ import annotations

import time

import pytest

from daphne_like.runtime.forwarded_field import MAX_COMMAS, read_elements


class TestElements:
    """RFC 7239, 4."""

    def test_order(self) -> None:
        """The last element first, an empty one included."""
        assert list(read_elements(b"for=a;by=b,, For=c")) == [{b"for": b"c"}, {}, {
            b"for": b"a", b"by": b"b",
        }]  # fmt: skip

    def test_quoted(self) -> None:
        """Quotes and their backslashes are taken off."""
        assert list(read_elements(b'a="x, \\"y\\" \\\\", b=""')) == [
            {b"b": b""}, {b"a": b'x, "y" \\'},
        ]  # fmt: skip

    def test_commas(self) -> None:
        """A quoted string may have MAX_COMMAS commas."""
        for commas, count in ((MAX_COMMAS, 1), (MAX_COMMAS + 1, 0)):
            (parameters,) = read_elements(b'a="%b"' % (b"," * commas))
            assert len(parameters) == count

    @pytest.mark.parametrize(
        "part", [b"; ", b';a="', b' ;a=b', b',a="', b'a=b;"', b'\\"', b"=", b" ", b",", b"a=b,"]
    )  # fmt: skip
    def test_time(self, part: bytes) -> None:
        """64 KiB of anything take well below a second."""
        value = part * (65536 // len(part))
        started = time.process_time()
        for octets in (value, value + b'"', b'a="' + value, b"a=b" + value + b"\x7f"):
            for _ in read_elements(octets):
                if time.process_time() - started > 5:
                    break
        assert time.process_time() - started < 2
