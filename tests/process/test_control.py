"""The control channel: each line is checked like the input of any peer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from daphne_like.process.control import (
    FROM_SUPERVISOR,
    FROM_WORKER,
    MAX_LINE,
    MAX_TEXT,
    ControlError,
    ControlProtocol,
    Message,
    parse,
    to_line,
)


def line(**fields: Any) -> bytes:
    """Return a message of version 1 as JSON, whatever its fields are."""
    return json.dumps({"v": 1, **fields}).encode()


class TestParse:
    """`parse` returns messages of this protocol, and raises ControlError for everything else."""

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("hello", {"pid": 7, "version": "1"}),
            ("bound", {}),
            ("ready", {"seconds": 0.5}),
            ("ready", {"seconds": 1}),
            ("failed", {"sentence": "no", "detail": "", "status": 3}),
            ("replace", {"reason": "SIGTERM"}),
            ("leaving", {"reason": "SIGTERM"}),
        ],
    )
    def test_messages_of_a_worker(self, kind: str, fields: dict[str, Any]) -> None:
        """What one side writes, the other one reads; no line feed is within the line."""
        written = to_line(kind, **fields)
        assert (written.count(b"\n"), written[-1:]) == (1, b"\n")
        assert parse(written[:-1], FROM_WORKER) == {"v": 1, "type": kind, **fields}

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("configuration", {"options": {"a": [1]}, "application": "a:b", "command": "c:d"}),
            ("drain", {"kind": "restart", "seconds": 10}),
            ("force", {}),
            ("reopen", {}),
        ],
    )
    def test_messages_of_a_supervisor(self, kind: str, fields: dict[str, Any]) -> None:
        """As those of a worker."""
        found = parse(to_line(kind, **fields).strip(), FROM_SUPERVISOR)
        assert found is not None
        assert fields.items() <= found.items()

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"hello",
            b"{",
            b'{"v": 1, "type": "bound"',
            b"\xff\xfe\x00",
            b"\x00" * 50,
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"v": ' + b"9" * 5000 + b"}",
        ],
        ids=["empty", "word", "brace", "cut", "octets", "NUL", "lists", "objects", "number"],
    )
    def test_not_json(self, text: bytes) -> None:
        """Neither depth nor length of a line does more than fail; little of it is repeated."""
        with pytest.raises(ControlError) as caught:
            parse(text, FROM_WORKER)
        assert len(str(caught.value)) < 250

    @pytest.mark.parametrize(
        "text",
        [
            b"1",
            b"null",
            b'"bound"',
            b'["v", 1]',
            b"{}",
            b'{"type": "bound"}',
            b'{"v": 2, "type": "bound"}',
            b'{"v": "1", "type": "bound"}',
            b'{"v": true, "type": "bound"}',
            b'{"v": 1.0, "type": "bound"}',
            b'{"v": [1], "type": "bound"}',
        ],
    )
    def test_another_version(self, text: bytes) -> None:
        """A message is an object that has the number of this version."""
        with pytest.raises(ControlError, match="not a message of version 1"):
            parse(text, FROM_WORKER)

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"type": "hello", "version": "1"}, "pid"),
            ({"type": "hello", "pid": "7", "version": "1"}, "pid"),
            ({"type": "hello", "pid": True, "version": "1"}, "pid"),
            ({"type": "hello", "pid": 7.0, "version": "1"}, "pid"),
            ({"type": "hello", "pid": None, "version": "1"}, "pid"),
            ({"type": "hello", "pid": 7, "version": 1}, "version"),
            ({"type": "hello", "pid": 7, "version": ["1"]}, "version"),
            ({"type": "ready"}, "seconds"),
            ({"type": "ready", "seconds": False}, "seconds"),
            ({"type": "ready", "seconds": "1"}, "seconds"),
            ({"type": "ready", "seconds": float("nan")}, "seconds"),
            ({"type": "ready", "seconds": float("inf")}, "seconds"),
            ({"type": "failed", "sentence": "no", "status": 3}, "detail"),
            ({"type": "replace", "reason": {}}, "reason"),
        ],
    )
    def test_a_wrong_field(self, fields: dict[str, Any], name: str) -> None:
        """A field is missing, or its value has another type; a truth value is no number."""
        with pytest.raises(ControlError, match=f"^{fields['type']}: no valid field '{name}'$"):
            parse(line(**fields), FROM_WORKER)

    def test_a_number_beyond_all_numbers(self) -> None:
        """JSON's 1e999 becomes an infinite number, which no deadline can be."""
        with pytest.raises(ControlError, match="seconds"):
            parse(b'{"v": 1, "type": "ready", "seconds": 1e999}', FROM_WORKER)

    @pytest.mark.parametrize("kind", ["later", "", "configuration", None, 1, ["hello"], {}])
    def test_an_unknown_kind(self, kind: Any) -> None:
        """A later version may have more kinds; a kind of the other side is unknown, too."""
        assert parse(line(type=kind), FROM_WORKER) is None

    def test_more_fields(self) -> None:
        """A later version may have more fields."""
        assert parse(line(type="bound", port=80), FROM_WORKER) is not None

    def test_long_texts_are_cut(self) -> None:
        """A text of a worker takes bounded memory in the supervisor's log."""
        found = parse(line(type="replace", reason="x" * (MAX_TEXT + 1)), FROM_WORKER)
        assert found is not None
        assert found["reason"] == "x" * MAX_TEXT

    @pytest.mark.parametrize("character", ["x", "\x00", "é", "\U0001f600", "\ud800"])
    def test_long_texts_fit_into_a_line(self, character: str) -> None:
        """A long traceback reaches the supervisor whichever characters it has."""
        text = character * 10 * MAX_TEXT
        written = to_line("failed", sentence=text, detail=text, status=2)
        assert len(written) <= MAX_LINE
        found = parse(written.strip(), FROM_WORKER)
        assert found is not None
        assert found["detail"] == text[:MAX_TEXT]


class End:
    """One end of a channel on a transport in memory."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.closed: list[str] = []
        self.protocol = ControlProtocol(FROM_WORKER, self.messages.append, self.closed.append)
        self.transport = StringTransport()

    def connect(self) -> ControlProtocol:
        """Return the protocol, connected."""
        self.protocol.makeConnection(self.transport)
        return self.protocol

    def lose(self) -> None:
        """Let the other side close."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class TestProtocol:
    """`ControlProtocol` on a transport."""

    def test_messages_in_pieces(self) -> None:
        """Lines are put together however the octets arrive; an unknown kind is passed over."""
        end = End()
        protocol = end.connect()
        octets = to_line("bound") + to_line("later", x=1) + to_line("replace", reason="é")
        for position in range(len(octets)):
            protocol.dataReceived(octets[position : position + 1])
        assert [each["type"] for each in end.messages] == ["bound", "replace"]

    def test_sending(self) -> None:
        """Nothing is written before the channel is there."""
        end = End()
        end.protocol.send("reopen")
        end.connect().send("force")
        assert end.transport.value() == to_line("force")

    @pytest.mark.parametrize(
        ("octets", "sentence"),
        [
            (b"hello\n", "a line that is not JSON: b'hello'"),
            (to_line("hello", pid="x", version=""), "hello: no valid field 'pid'"),
            (b"x" * (MAX_LINE + 1), f"a line of more than {MAX_LINE} bytes"),
            (b"x" * (MAX_LINE + 1) + b"\n", f"a line of more than {MAX_LINE} bytes"),
        ],
        ids=["no JSON", "field", "no end", "long"],
    )
    def test_a_broken_rule_ends_the_channel(self, octets: bytes, sentence: str) -> None:
        """At once, even if the other side reads nothing; later lines are not looked at."""
        end = End()
        protocol = end.connect()
        protocol.dataReceived(octets + to_line("bound"))
        assert end.transport.disconnected
        end.lose()
        assert (end.messages, end.closed) == ([], [sentence])

    def test_an_ordinary_end(self) -> None:
        """The other side has closed the channel, and kept to the protocol."""
        end = End()
        end.connect()
        end.lose()
        assert end.closed == [""]
