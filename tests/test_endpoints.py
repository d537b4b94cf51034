"""From options to endpoint strings."""

from __future__ import annotations

import pytest

from daphne_like.endpoints import (
    build_endpoint_description_strings as build,
)
from daphne_like.endpoints import (
    endpoint_strings,
    endpoints_from,
)
from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options


class TestBuild:
    """Daphne's build_endpoint_description_strings (reference/daphne.md, 5.3)."""

    def test_nothing_gives_nothing(self) -> None:
        """Without arguments there is no endpoint."""
        assert build() == []

    def test_host_and_port(self) -> None:
        """A TCP endpoint; IPv6 loses its brackets and has its colons escaped."""
        assert build(host="10.0.0.1", port=5) == ["tcp:port=5:interface=10.0.0.1"]
        assert build(host="[::1]", port=5) == [r"tcp:port=5:interface=\:\:1"]

    @pytest.mark.parametrize("half", [{"host": "a"}, {"port": 1}])
    def test_one_of_host_and_port_is_refused(self, half: dict[str, object]) -> None:
        """TCP needs both."""
        with pytest.raises(ValueError, match="both port and host"):
            build(**half)  # type: ignore[arg-type]

    def test_all_kinds_at_once(self) -> None:
        """TCP, UNIX and descriptor, in this order; descriptor 0 counts."""
        assert build(host="a", port=0, unix_socket="/x:y", file_descriptor=0) == [
            "tcp:port=0:interface=a",
            r"unix:/x\:y",
            "fd:fileno=0",
        ]


class TestDefaults:
    """Daphne's defaults where little is given."""

    @pytest.mark.parametrize(
        ("options", "strings"),
        [
            (Options(), ["tcp:port=8000:interface=127.0.0.1:backlog=2048"]),
            (Options(port=5), ["tcp:port=5:interface=127.0.0.1:backlog=2048"]),
            (Options(host="a"), ["tcp:port=8000:interface=a:backlog=2048"]),
            (Options(host="a", port=0), ["tcp:port=0:interface=a:backlog=2048"]),
            (Options(unix_socket="/s", backlog=7), ["unix:/s:backlog=7"]),
            (Options(file_descriptor=0), ["fd:fileno=0"]),
            (Options(endpoints=("tcp:9", "ssl:8")), ["ssl:8", "tcp:9"]),
        ],
    )
    def test_endpoint_strings(self, options: Options, strings: list[str]) -> None:
        """Host alone gets port 8000, port alone 127.0.0.1, nothing both; sorted."""
        assert endpoint_strings(options) == strings


class TestParsing:
    """A bad endpoint string is found before anything listens."""

    @pytest.mark.parametrize("string", ["", "foo:1", "tcp:x", "ssl:443:privateKey=/nope", "tcp"])
    def test_a_bad_string_is_one_sentence(self, string: str) -> None:
        """The sentence has the string as it was given."""
        from twisted.internet.testing import MemoryReactor

        with pytest.raises(ConfigurationError, match="^The endpoint "):
            endpoints_from([string], MemoryReactor())
