"""From options to endpoint strings."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import endpoints as twisted_endpoints
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock

import twisted
from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.errors import cannot_listen
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import build_endpoint_description_strings as build
from daphne_like.listening.strings import endpoint_strings
from daphne_like.options import Options
from tests.support.certificates import Authority

HAS_TLS_STRINGS = (twisted.version.major, twisted.version.minor) >= (26, 4)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PEM file with a certificate and its key."""
    folder = tmp_path_factory.mktemp("certificates")
    return Authority().issue("localhost").write_both(folder / "site.pem")


def listened(string: str, **options: Any) -> Any:
    """A reactor on which the endpoint listens, with a `--backlog` of 2000."""
    reactor = MemoryReactorClock()
    (endpoint,) = endpoints_from([string], reactor, Options(backlog=2000, **options))
    endpoint.listen(Factory())  # type: ignore[attr-defined]
    return reactor


class OtherParser:
    """A plug-in as a third party writes one; `kind` is the call of the reactor that it ends in."""

    prefix = "other"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def parseStreamServer(self, reactor: Any, port: str, backlog: str = "50") -> Any:
        number = int(backlog)
        if self.kind == "TCP":
            return twisted_endpoints.TCP4ServerEndpoint(reactor, int(port), number)
        if self.kind == "UNIX":
            return twisted_endpoints.UNIXServerEndpoint(reactor, "/s", number)
        context = CertificateOptions()
        return twisted_endpoints.SSL4ServerEndpoint(reactor, int(port), context, number)


def kernel_backlog(listening: socket.socket) -> int:
    """The backlog that Linux has for a listening TCP socket: tcpi_sacked of its TCP_INFO."""
    information = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    backlog: int = struct.unpack_from("I", information, 28)[0]
    return backlog


class TestBuild:
    """Daphne's build_endpoint_description_strings."""

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


class TestBacklog:
    """`--backlog` applies to every endpoint string that does not say its own."""

    @pytest.mark.parametrize(
        ("string", "backlog"),
        [
            ("tcp:8000", 2000),
            ("tcp:8000:backlog=50", 50),
            ("tcp:8000:backlog=7", 7),
            ("tcp:backlog=7:port=8000", 7),
            ("tcp:8000:127.0.0.1:50", 50),
            ("tcp6:8000", 2000),
            ("tcp6:8000:50", 50),
            ("haproxy:tcp:8000", 2000),
            ("haproxy:tcp:8000:backlog=50", 50),
            ("https:tcp:8000:certificate=SITE", 2000),
            ("https:tcp:8000:certificate=SITE:backlog=50", 50),
            ("https:haproxy:tcp:8000:certificate=SITE", 2000),
            ("haproxy:https:tcp:8000:certificate=SITE", 2000),
        ],
    )
    def test_tcp(self, string: str, backlog: int, site: str) -> None:
        """By name or by position, 50 too, which is Twisted's default."""
        assert listened(string.replace("SITE", site)).tcpServers[0][2] == backlog

    @pytest.mark.parametrize(("string", "backlog"), [("ssl:443", 2000), ("ssl:443:backlog=50", 50)])
    def test_ssl(self, string: str, backlog: int, site: str) -> None:
        """Twisted's TLS."""
        string += f":privateKey={site}:certKey={site}"
        assert listened(string).sslServers[0][3] == backlog

    @pytest.mark.skipif(not HAS_TLS_STRINGS, reason="needs Twisted 26.4 or newer, for tls: strings")
    @pytest.mark.parametrize(
        ("string", "backlog"), [("tls:FOLDER", 2000), ("tls:FOLDER:443:50", 50)]
    )
    def test_tls(self, string: str, backlog: int, tmp_path: Path) -> None:
        """Twisted's TLS with a directory of certificates."""
        string = string.replace("FOLDER", str(tmp_path))
        assert listened(string).tcpServers[0][2] == backlog

    @pytest.mark.parametrize(
        ("string", "mode", "backlog"),
        [
            ("unix:/s", 0o666, 2000),
            ("unix:/s:mode=600", 0o600, 2000),
            ("unix:/s:600", 0o600, 2000),
            ("unix:/s:600:50", 0o600, 50),
            ("unix:/s:backlog=50", 0o666, 50),
            ("unix:@name", 0o666, 2000),
            ("haproxy:unix:/s", 0o666, 2000),
        ],
    )
    def test_unix(self, string: str, mode: int, backlog: int) -> None:
        """The mode of a string counts as before."""
        assert listened(string).unixServers[0][2:4] == (backlog, mode)

    @pytest.mark.parametrize(
        ("string", "backlog"),
        [("unix:/s", 2000), ("unix:/s:600", 2000), ("unix:/s:600:50", 50)],
    )
    def test_unix_with_mode_option(self, string: str, backlog: int) -> None:
        """Beside `--unix-mode`, which gives way to the string in the same way."""
        listening = listened(string, unix_mode=0o640).unixServers[0]
        assert listening[2:4] == (backlog, 0o640 if string == "unix:/s" else 0o600)

    @pytest.mark.parametrize(
        ("string", "backlog"),
        [
            ("other:8000", 2000),
            ("haproxy:other:8000", 2000),
            ("other:8000:backlog=50", 50),
            ("other:8000:backlog=7", 7),
        ],
    )
    @pytest.mark.parametrize("kind", ["TCP", "UNIX", "SSL"])
    def test_third_party(
        self, string: str, backlog: int, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A parser that knows nothing of `--backlog`, and passes on Twisted's default."""
        monkeypatch.setattr(twisted_endpoints, "getPlugins", lambda *_: [OtherParser(kind)])
        reactor = listened(string)
        (listening,) = reactor.tcpServers + reactor.unixServers + reactor.sslServers
        assert backlog in listening[2:4]

    @pytest.mark.skipif(sys.platform != "linux", reason="reads the backlog as Linux tells it")
    def test_adopted_socket(self) -> None:
        """A socket that was passed on gets it, too: it listens anew."""
        with socket.create_server(("127.0.0.1", 0), backlog=3) as passed_on:
            assert kernel_backlog(passed_on) == 3
            listened(f"fd:{os.dup(passed_on.fileno())}")  # the endpoint closes it
            assert kernel_backlog(passed_on) == 2000


class TestParsing:
    """A bad endpoint string is found before anything listens."""

    @pytest.mark.parametrize("string", ["", "foo:1", "tcp:x", "ssl:443:privateKey=/nope", "tcp"])
    def test_a_bad_string_is_one_sentence(self, string: str) -> None:
        """The sentence has the string as it was given."""
        with pytest.raises(ConfigurationError, match="^The endpoint "):
            endpoints_from([string], MemoryReactorClock())


class TestTrustedProxies:
    """--trusted-proxies is for those who read what proxies say."""

    @pytest.mark.parametrize(
        "more",
        [
            {"proxy_headers": True},
            {"proxy_forwarded_address_header": "X-Real-IP"},
            {"endpoints": ("haproxy:tcp:0",)},
            {"endpoints": ("https:haproxy:tcp:0:certificate=c",)},
        ],
    )
    def test_something_reads_it(self, more: dict[str, Any]) -> None:
        """Fields of proxies, or PROXY headers."""
        assert endpoint_strings(Options(trusted_proxies="10.0.0.0/8", **more))

    def test_nothing_reads_it(self) -> None:
        """Without either it would have no effect: one sentence."""
        with pytest.raises(ConfigurationError, match="--trusted-proxies needs --proxy-headers, or"):
            endpoint_strings(Options(trusted_proxies="10.0.0.0/8"))

    def test_the_default_needs_nothing(self) -> None:
        """Nobody has given it."""
        assert endpoint_strings(Options())


TLS = {"tls_certificate": ("/c",)}


class TestWords:
    """An endpoint that cannot be had is named as it was given."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "127.0.0.1:8000"),
            ({"port": 80}, "127.0.0.1:80"),
            ({"host": "[::1]", "port": 80}, "[::1]:80"),
            ({"host": "::1", "port": 80, **TLS}, "[::1]:80"),
            ({"unix_socket": "/run/a:b"}, "-u /run/a:b"),
            ({"unix_socket": "/run/s", **TLS}, "-u /run/s"),
            ({"file_descriptor": 3}, "--fd 3"),
            ({"endpoints": ("tcp:80",)}, "tcp:80"),
            ({"endpoints": ("unix:/run/s",)}, "unix:/run/s"),
        ],
    )
    def test_given_as(self, options: dict[str, Any], words: str) -> None:
        """Not as the string that is made of the options."""
        chosen = Options(**options)
        (string,) = endpoint_strings(chosen)
        error = OSError(errno.EADDRINUSE, "in use")
        assert cannot_listen(string, chosen, error) == f"Cannot listen on {words}: in use"

    @pytest.mark.parametrize(
        "options", [{"port": 80}, {"port": 443, **TLS}, {"endpoints": ("tcp:80",)}]
    )
    def test_privileged_port(self, options: dict[str, Any]) -> None:
        """Who may not listen below 1024 is told what to do."""
        chosen = Options(**options)
        (string,) = endpoint_strings(chosen)
        said = cannot_listen(string, chosen, OSError(errno.EACCES, "Permission denied"))
        assert (
            "Permission denied; ports below 1024 are for root: choose another one with -p" in said
        )

    @pytest.mark.parametrize(
        "options", [{"port": 8000}, {"unix_socket": "/80"}, {"unix_socket": "/run/s"}]
    )
    def test_no_privileged_port(self, options: dict[str, Any]) -> None:
        """The hint is for ports."""
        chosen = Options(**options)
        (string,) = endpoint_strings(chosen)
        said = cannot_listen(string, chosen, OSError(errno.EACCES, "Permission denied"))
        assert said.endswith(": Permission denied")
