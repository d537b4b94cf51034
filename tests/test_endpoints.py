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

    def test_tls_is_for_all_kinds(self) -> None:
        """What is given for TLS stands behind each of them."""
        tls = {"tls": "certificate=/c"}
        assert build(host="a", port=0, unix_socket="/x", file_descriptor=0, **tls) == [  # type: ignore[arg-type]
            "https:tcp:port=0:interface=a:certificate=/c",
            "https:unix:/x:certificate=/c",
            "https:fd:fileno=0:certificate=/c",
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


class TestTLS:
    """The options for TLS, as arguments of `https:`."""

    def test_all_of_them(self) -> None:
        """Lists by commas, colons escaped; what is not given is left out."""
        options = Options(
            port=5, tls_certificate=("a", "b"), tls_key=("k", ""), tls_key_password="env:P"
        )
        expected = (
            "https:tcp:port=5:interface=127.0.0.1:backlog=2048:certificate=a,b:key=k,"
            r":keyPassword=env\:P:minimumVersion=1.2:handshakeTimeout=10"
        )
        assert endpoint_strings(options) == [expected]

    def test_one_path_without_a_tuple(self) -> None:
        """A str counts as one path."""
        assert Options(tls_certificate="a").tls_certificate == ("a",)  # type: ignore[arg-type]

    def test_only_an_endpoint_string(self) -> None:
        """Nothing that the certificate could be for."""
        with pytest.raises(ConfigurationError, match="is for -b, -p, -u and --fd"):
            endpoint_strings(Options(endpoints=("tcp:1",), tls_certificate=("a",)))

    def test_a_password_is_not_shown(self) -> None:
        """Neither in an error nor in the log."""
        string = r"https:tcp:1:keyPassword=pass\:a\:b\\c:certificate=/nope"
        with pytest.raises(ConfigurationError, match=r"pass.{1,3}:\*\*\*:certificate") as refused:
            endpoints_from([string], None)
        assert "a" + chr(92) not in str(refused.value)


class TestParsing:
    """A bad endpoint string is found before anything listens."""

    @pytest.mark.parametrize("string", ["", "foo:1", "tcp:x", "ssl:443:privateKey=/nope", "tcp"])
    def test_a_bad_string_is_one_sentence(self, string: str) -> None:
        """The sentence has the string as it was given."""
        from twisted.internet.testing import MemoryReactor

        with pytest.raises(ConfigurationError, match="^The endpoint "):
            endpoints_from([string], MemoryReactor())
