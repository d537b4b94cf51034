"""The formats of the access log."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.observe.access_entry import Entry
from daphne_like.observe.access_formats import (
    COMBINED_FORMAT,
    compile_format,
    needs_fields,
    needs_identity,
)
from daphne_like.observe.access_json import json_line
from daphne_like.observe.structured import ECS, JSON

ENTRY = Entry(
    time=1796000000.0625,
    client=["192.0.2.7", 40310],
    method="GET",
    target=b"/a%20b?c=1",
    status=200,
    size=81920,
    seconds=2.3514567,
    is_cut=False,
    version="1.1",
    scheme="https",
    fields=((b"host", b"x"), (b"user-agent", b'curl "8"'), (b"referer", b"https://e.org/\x1b\n\\")),
    lines=[b"X-Cache: hit\r\n", b"content-length: 81920\r\n"],
    identity=("0af7", "", ""),
    queue_time=0.25,
)
BARE = Entry(1796000000.5, None, "POST", b"/", None, None, None, True)


class TestAtoms:
    """gunicorn's atoms."""

    @pytest.mark.parametrize(
        ("atom", "value", "bare"),
        [
            ("h", "192.0.2.7", "-"),
            ("l", "-", "-"),
            ("u", "-", "-"),
            ("r", "GET /a%20b?c=1 HTTP/1.1", "POST / -"),
            ("m", "GET", "POST"),
            ("U", "/a%20b", "/"),
            ("q", "c=1", ""),
            ("H", "HTTP/1.1", "-"),
            ("s", "200", "-"),
            ("B", "81920", "0"),
            ("b", "81920", "-"),
            ("f", r"https://e.org/\x1b\n\\", "-"),
            ("a", r"curl \"8\"", "-"),
            ("T", "2", "0"),
            ("M", "2351", "0"),
            ("D", "2351456", "0"),
            ("L", "2.351457", "0.000000"),
            ("queue_time", "0.250000", "-"),
            ("request_id", "0af7", "-"),
            ("trace_id", "-", "-"),
            ("span_id", "-", "-"),
            ("{host}i", "x", "-"),
            ("{Referer}i", r"https://e.org/\x1b\n\\", "-"),
            ("{x-cache}o", "hit", "-"),
            ("{Content-Length}o", "81920", "-"),
            ("{nothing}o", "-", "-"),
            ("{NOT_SET_HERE}e", "-", "-"),
        ],
    )
    def test_value(self, atom: str, value: str, bare: str) -> None:
        """Each atom of a whole entry, and of one of which little is known."""
        line = compile_format(f"%({atom})s")
        assert (line(ENTRY), line(BARE)) == (value, bare)

    def test_process(self) -> None:
        """The process id, between the signs that gunicorn writes."""
        assert compile_format("%(p)s")(ENTRY) == f"<{os.getpid()}>"

    def test_time(self) -> None:
        """The date of the Common Log Format, with the offset from UTC."""
        shown = compile_format("%(t)s")(ENTRY)
        assert re.fullmatch(r"\[\d\d/\w{3}/2026:\d\d:\d\d:\d\d [+-]\d{4}\]", shown)

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """{x}e is a variable of the environment."""
        monkeypatch.setenv("ZONE", "b")
        assert compile_format("%({ZONE}e)s")(ENTRY) == "b"

    def test_numbers_and_widths(self) -> None:
        """What Python's % takes: d for numbers, a width for all; %% is one sign."""
        assert compile_format("%(D)d|%(s)5s|%(m)-5s|100%%")(ENTRY) == "2351456|  200|GET  |100%"

    def test_combined(self) -> None:
        """What reads the combined format of Apache and nginx finds its nine fields."""
        line = compile_format(COMBINED_FORMAT)(ENTRY)
        quoted = r'"((?:[^"\\]|\\.)*)"'
        found = re.fullmatch(
            rf"(\S+) (\S+) (\S+) \[([^]]+)\] {quoted} (\d+|-) (\d+|-) {quoted} {quoted}", line
        )
        assert found is not None
        assert found.group(1, 5, 6, 7, 9) == (
            "192.0.2.7", "GET /a%20b?c=1 HTTP/1.1", "200", "81920", r"curl \"8\""
        )  # fmt: skip

    def test_address_as_text(self) -> None:
        """From an action logger the client is host and port as text."""
        assert compile_format("%(h)s")(ENTRY._replace(client="::1:80")) == "::1"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("%(x)s", "there is no atom %(x)s; there are h l u t "),
            ("%(h)", "expected an atom such as %(h)s or %({referer}i)s, got '%(h)'"),
            ("%h", "expected an atom such as %(h)s or %({referer}i)s, got '%h'"),
            ("%(m)d", "%(m)d is text, so it ends with s instead of d"),
            ("%({host}i)d", "%({host}i)d is text, so it ends with s instead of d"),
            ("%({Cookie}i)s", "%({Cookie}i)s would write a secret into the log"),
            ("%({authorization}i)s", "%({authorization}i)s would write a secret into the log"),
            ("%({Set-Cookie}o)s", "%({Set-Cookie}o)s would write a secret into the log"),
        ],
    )
    def test_mistake(self, text: str, sentence: str) -> None:
        """A format that is wrong, or would write a secret, is one sentence at the start."""
        with pytest.raises(ConfigurationError) as raised:
            compile_format(f"%(m)s {text}")
        assert str(raised.value).startswith(f"--access-log-format: {sentence}")

    def test_what_a_format_needs(self) -> None:
        """Fields and ids are kept only for formats that show them."""
        assert [needs_fields(text) for text in ("%(h)s", "%(a)s", "%({x}o)s")] == [
            False, True, True
        ]  # fmt: skip
        assert [needs_identity(text) for text in ("%(h)s", "%(span_id)s")] == [False, True]


class TestJSON:
    """The access log as JSON."""

    def test_otel(self) -> None:
        """Flat keys with OpenTelemetry's names."""
        assert json.loads(json_line(JSON)(ENTRY)) == {
            "timestamp": "2026-11-30T00:53:20.062Z",
            "level": "INFO",
            "logger": "daphne_like.access",
            "message": "GET /a%20b 200",
            "http.request.method": "GET",
            "url.path": "/a%20b",
            "url.query": "c=1",
            "url.scheme": "https",
            "http.response.status_code": 200,
            "http.response.body.size": 81920,
            "http.server.request.duration": 2.351,
            "client.address": "192.0.2.7",
            "client.port": 40310,
            "network.protocol.version": "1.1",
            "user_agent.original": 'curl "8"',
            "daphne_like.queue_time": 0.25,
            "request_id": "0af7",
        }

    def test_ecs(self) -> None:
        """The names, units and version of the Elastic Common Schema."""
        values = json.loads(json_line(ECS, "worker 1")(ENTRY))
        assert values["@timestamp"] == "2026-11-30T00:53:20.062Z"
        assert values["event.duration"] == 2351456700
        assert values["http.response.body.bytes"] == 81920
        assert values["http.version"] == "1.1"
        assert values["http.request.id"] == "0af7"
        assert (values["ecs.version"], values["daphne_like.process"]) == ("8.11.0", "worker 1")

    def test_little_is_known(self) -> None:
        """What is not known has no key; an incomplete response says so."""
        assert json.loads(json_line(JSON)(BARE)) == {
            "timestamp": "2026-11-30T00:53:20.500Z",
            "level": "INFO",
            "logger": "daphne_like.access",
            "message": "POST / -",
            "http.request.method": "POST",
            "url.path": "/",
            "daphne_like.cut": True,
        }

    @pytest.mark.parametrize("target", [b'/"a\\', b"/\x1b[31m", b"/\xff\n", "/é"])
    def test_escaping(self, target: Any) -> None:
        """S06: whatever a target is made of, the line is one object of printable ASCII."""
        line = json_line(JSON)(ENTRY._replace(target=target))
        assert line.isascii()
        assert line.isprintable()
        text = target if isinstance(target, str) else target.decode("ascii", "backslashreplace")
        assert json.loads(line)["url.path"] == text
