"""Response fields, checked once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daphne_like.asgi import response_fields as fields
from daphne_like.asgi.response_fields import Line, to_field_line
from daphne_like.exceptions import ApplicationError

EVENT = "http.response.start"


class Octets(bytes):
    """A subclass, which is no byte string in the sense of ASGI."""


@pytest.fixture(autouse=True)
def own_cache() -> Iterator[None]:
    before = dict(fields.lines.entries)
    fields.lines.entries.clear()
    yield
    fields.lines.entries.clear()
    fields.lines.entries.update(before)


def refused(pair: Any, index: int = 0) -> str:
    with pytest.raises(ApplicationError) as caught:
        to_field_line(pair, index, EVENT)
    assert fields.lines.entries == {}
    return str(caught.value)


class TestLine:
    """RFC 9110, 5: Fields."""

    @pytest.mark.parametrize("pair", [(b"X-Id", b"1"), [b"X-Id", b"1"], iter((b"X-Id", b"1"))])
    def test_any_pair(self, pair: Any) -> None:
        """H20: an iterable of two byte strings, of whatever type; the name stays as it is."""
        assert to_field_line(pair, 0, EVENT) == Line(b"X-Id: 1\r\n", fields.PLAIN, b"1")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            (b"Content-Type", fields.PLAIN),
            (b"Transfer-Encoding", fields.TRANSFER_ENCODING),
            (b"TRANSFER-ENCODING", fields.TRANSFER_ENCODING),
            (b"keep-alive", fields.TRANSFER_ENCODING),
            (b"Proxy-Connection", fields.TRANSFER_ENCODING),
            (b"connection", fields.CONNECTION),
            (b"Date", fields.DATE),
            (b"server", fields.SERVER),
        ],
    )
    def test_kinds(self, name: bytes, kind: int) -> None:
        """RFC 9110, 7.6.1: what the server alone may say is told from the rest by its name."""
        assert to_field_line((name, b"a"), 0, EVENT) == Line(name + b": a\r\n", kind, b"a")

    def test_content_length_is_a_number(self) -> None:
        """RFC 9110, 8.6: digits."""
        line = to_field_line((b"Content-Length", b"013"), 0, EVENT)
        assert line == Line(b"Content-Length: 013\r\n", fields.CONTENT_LENGTH, 13)

    @pytest.mark.parametrize(
        "value", [b"", b"-1", b"+1", b"1 ", b"1_0", b"0x1", b"1, 1", "\u0661".encode(), b"1" * 19]
    )
    def test_content_length_that_is_none(self, value: bytes) -> None:
        """RFC 9110, 8.6: anything else is an error of the application."""
        assert refused((b"content-length", value)) == (
            f"{EVENT}: expected plain digits as Content-Length, got {value!r}"
        )

    def test_longest_content_length(self) -> None:
        """Eighteen digits are a number."""
        assert to_field_line((b"content-length", b"9" * 18), 0, EVENT).value == 10**18 - 1

    @pytest.mark.parametrize("name", [b"", b"a b", b"a:", b" a", b"a\n", "\u00e9".encode(), b"(a)"])
    def test_name_that_is_no_token(self, name: bytes) -> None:
        """S05, S12 (RFC 9110, 5.1): a field name is a token."""
        assert refused((name, b"1"), 2) == (
            f"{EVENT}: expected a token (RFC 9110, 5.6.2) as name of header 2, got {name!r}"
        )

    def test_pseudo_header_is_refused(self) -> None:
        """H24: names of HTTP/2's pseudo fields must not be there."""
        assert "expected a token" in refused((b":status", b"200"))

    @given(st.sampled_from([*range(9), *range(10, 32), 127]), st.binary(max_size=3))
    def test_control_octet_in_value(self, octet: int, rest: bytes) -> None:
        """S05, S12: a control octet in a value is an error, wherever it stands."""
        value = rest + bytes([octet]) + rest
        with pytest.raises(ApplicationError, match="control character in the value of header 1"):
            to_field_line((b"a", value), 1, EVENT)

    @pytest.mark.parametrize("value", [b"", b" a ", b"a\tb", b"\x80\xff", "\u00e9".encode()])
    def test_other_octets_in_value(self, value: bytes) -> None:
        """RFC 9110, 5.5: tabs and obs-text may be there, and go out as they are."""
        assert to_field_line((b"a", value), 0, EVENT).octets == b"a: " + value + b"\r\n"


class TestTypes:
    """ASGI, "Events": byte strings are `bytes`."""

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("X-Id", "str 'X-Id'"),
            (1, "int 1"),
            (None, "NoneType None"),
            (bytearray(b"a"), "bytearray bytearray(b'a')"),
            (Octets(b"a"), "Octets b'a'"),
        ],
    )
    def test_other_than_bytes(self, value: Any, said: str) -> None:
        """C16, C10: the message says where, what was expected and what came."""
        assert refused((value, b"1"), 2) == (
            f"{EVENT}: expected bytes as name of header 2, got {said}"
        )
        assert refused((b"a", value), 3) == (
            f"{EVENT}: expected bytes as value of header 3, got {said}"
        )

    def test_memoryview(self) -> None:
        """C16: not even what shows the right octets."""
        assert "got memoryview" in refused((memoryview(b"a"), b"1"))

    @pytest.mark.parametrize("pair", [None, 1, b"ab:c", (b"a",), (b"a", b"b", b"c"), object])
    def test_no_pair(self, pair: Any) -> None:
        """C10: each header is a pair."""
        assert refused(pair, 4).startswith(
            f"{EVENT}: expected a pair of byte strings as header 4, got "
        )

    def test_message_is_short(self) -> None:
        """A value of megabytes does not stand in the log."""
        assert len(refused((b"a", "x" * 1000000))) < 300


class TestCache:
    """The cache of field lines that have been checked is bounded."""

    def test_same_line_again(self) -> None:
        """The line of an equal pair is the same object."""
        assert to_field_line((b"a", b"b"), 0, EVENT) is to_field_line([b"a", b"b"], 7, EVENT)

    def test_number_is_bounded(self) -> None:
        """At most MAX_CACHED_LINES lines are kept."""
        for number in range(fields.MAX_CACHED_LINES + 5):
            to_field_line((b"a", b"%d" % number), 0, EVENT)
            assert len(fields.lines.entries) <= fields.MAX_CACHED_LINES
        assert len(fields.lines.entries) == 5

    @pytest.mark.parametrize(
        ("octets", "kept"), [(fields.MAX_CACHED_LINE, 1), (fields.MAX_CACHED_LINE + 1, 0)]
    )
    def test_size_is_bounded(self, octets: int, kept: int) -> None:
        """A long line is not kept."""
        assert len(to_field_line((b"a", b"x" * (octets - 5)), 0, EVENT).octets) == octets
        assert len(fields.lines.entries) == kept
