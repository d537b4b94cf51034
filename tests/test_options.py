"""Options: one dataclass from which the command line is derived."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentTypeError
from types import SimpleNamespace
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.arguments import make_parser, with_dashes
from daphne_like.launch.command import server_arguments, to_settings
from daphne_like.launch.configuration import load
from daphne_like.options import Options, seconds, size, whole_seconds
from daphne_like.server import Server
from daphne_like.websocket.session import Session
from tests.support.peers import answer_at_once as hello

EXPECTED_ORIGIN = "--websocket-origin: expected an origin as browsers send it"


def parse(*arguments: str) -> Options:
    parsed = make_parser("", "daphne-like").parse_args(with_dashes(list(arguments)))
    return load(vars(parsed), {}).options


def another(field: dataclasses.Field[Any]) -> str:
    """A value, as text, that is not the field's default."""
    if field.default is True:
        return "off"
    if field.name == "unix_mode":
        return "600"
    if field.name == "websocket_origins":
        return "https://example.org"
    if field.name == "workers":
        return "2"
    if field.metadata["kind"] not in (int, seconds, size, whole_seconds):
        return "/x"
    return str(min(4711, field.metadata.get("most") or 4711))


class TestOptions:
    """Each default stands once; Daphne's command line."""

    def test_an_empty_command_line_gives_the_defaults(self) -> None:
        """No default is written a second time for the command line."""
        assert parse() == Options()

    def test_every_option_with_a_flag_arrives_in_its_field(self) -> None:
        """No option is parsed and ignored: each flag changes its own field and no other."""
        for field in dataclasses.fields(Options):
            metadata = field.metadata
            if not metadata["flags"]:
                continue
            before = Options()
            if field.default is False:
                arguments = [metadata["flags"][-1]]
            elif metadata.get("choices"):
                other = next(c for c in metadata["choices"] if c != field.default)
                arguments = [metadata["flags"][-1], str(other)]
            else:
                arguments = [metadata["flags"][-1], another(field)]
            if field.name.startswith("proxy_headers_"):
                arguments.append("--proxy-headers")
                before = dataclasses.replace(before, proxy_headers=True)
            if field.name == "root_path_stripped":
                arguments.append("--proxy-headers")
                before = dataclasses.replace(before, proxy_headers=True)
            if field.name.startswith("tls_") and field.name != "tls_certificate":
                arguments += ["--tls-certificate", "/x"]
                before = dataclasses.replace(before, tls_certificate=("/x",))
            if field.name == "tls_client_verify":
                arguments += ["--tls-client-ca", "/x"]
                before = dataclasses.replace(before, tls_client_ca="/x")
            after = parse(*arguments)
            changed = {
                other.name
                for other in dataclasses.fields(Options)
                if getattr(after, other.name) != getattr(before, other.name)
            }
            assert changed == {field.name}

    @pytest.mark.parametrize(
        "spelling",
        ["--websocket_timeout", "--websocket-timeout"],
    )
    def test_underscores_in_names_are_dashes(self, spelling: str) -> None:
        """Daphne spells some options with underscores; values keep theirs."""
        assert parse(spelling, "7", "-u", "/a_b").websocket_timeout == 7
        assert parse(f"{spelling}=7", "-u", "/a_b").unix_socket == "/a_b"

    def test_minus_one_and_zero_are_no_limit_where_there_may_be_none(self) -> None:
        """-1 becomes None on the command line; the dataclass knows None only."""
        assert parse("--websocket_timeout", "-1").websocket_timeout is None
        assert parse("--ping-timeout", "0").ping_timeout is None
        assert parse("--max-body-size", "0").max_body_size is None

    def test_descriptor_0_is_a_descriptor(self) -> None:
        """Presence is `is not None`: 0 is valid for --fd and -p."""
        assert parse("--fd", "0").file_descriptor == 0
        assert parse("-p", "0").port == 0

    def test_no_server_name_is_none(self) -> None:
        """--no-server-name, and the last of the two counts."""
        assert parse("--no-server-name").server_name is None
        assert parse("--no-server-name", "-s", "x").server_name == "x"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"port": 65536}, "--port: expected 0 to 65535, got 65536"),
            ({"port": -1}, "--port: expected 0 to 65535, got -1"),
            ({"server_name": "a\r\nb"}, r"--server-name: expected printable ASCII, got 'a\r\nb'"),
            ({"max_fields": 0}, "--max-fields: expected 1 or more, got 0"),
            ({"lifespan": "perhaps"}, "--lifespan: expected one of auto, on, off, got 'perhaps'"),
            ({"max_fields": "10"}, "--max-fields: expected a whole number, got '10'"),
            ({"header_timeout": "10"}, "--header-timeout: expected a number of seconds, got '10'"),
            (
                {"header_timeout": float("inf")},
                "--header-timeout: expected a number of seconds, got inf",
            ),
            ({"header_timeout": 0}, "--header-timeout: expected more than 0, got 0"),
            ({"graceful_timeout": -0.5}, "--graceful-timeout: expected 0 or more, got -0.5"),
            ({"stall_warning": 1.5}, "--stall-warning: expected a whole number, got 1.5"),
            ({"http_timeout": 0}, "--http-timeout: expected more than 0, got 0"),
            ({"websocket_timeout": -1}, "--websocket-timeout: expected more than 0, got -1"),
            ({"tls_key": ("k",)}, "--tls-key needs --tls-certificate"),
            ({"tls_client_ca": "c"}, "--tls-client-ca needs --tls-certificate"),
            (
                {"tls_certificate": ("c",), "tls_key": ("k", "k")},
                "--tls-key: there are more keys than certificates",
            ),
            (
                {"tls_certificate": ("c",), "tls_client_verify": "required"},
                "--tls-client-verify needs --tls-client-ca",
            ),
            (
                {"root_path": "app"},
                "--root-path: expected a path that begins with /, for example /app, got 'app'",
            ),
            *(
                (
                    {"websocket_origins": (origin,)},
                    f"{EXPECTED_ORIGIN}, got {origin!r}; {hint}",
                )
                for origin, hint in (
                    ("example.org", "did you mean https://example.org?"),
                    ("https://example.org/", "did you mean https://example.org?"),
                    ("https://Example.org", "did you mean https://example.org?"),
                    ("https://example.org:443", "did you mean https://example.org?"),
                    ("http://localhost:80", "did you mean http://localhost?"),
                    ("localhost:3000", "did you mean https://localhost:3000?"),
                    ("*", "every origin is served without the option"),
                    ("https://*.example.org", "for example https://example.org"),
                    ("", "for example https://example.org"),
                )
            ),
            (
                {"proxy_headers_host": "X-Real-IP"},
                "--proxy-headers-host needs --proxy-headers",
            ),
            (
                {"proxy_headers_prefix": "X-Forwarded-Prefix"},
                "--proxy-headers-prefix needs --proxy-headers",
            ),
            (
                {"proxy_headers": "forwarded", "proxy_headers_authority": "X-Forwarded-Host"},
                "--proxy-headers-authority has no effect with --proxy-headers forwarded",
            ),
            (
                {"proxy_headers": "forwarded", "proxy_forwarded_proto_header": "X-Scheme"},
                "proxy_forwarded_..._header has no effect with --proxy-headers forwarded",
            ),
            (
                {"proxy_headers": "X-Forwarded-For"},
                "--proxy-headers: expected on, off or forwarded, got 'X-Forwarded-For'",
            ),
            (
                {"root_path_stripped": True},
                "--root-path-stripped needs --root-path or --proxy-headers",
            ),
        ],
    )
    def test_a_senseless_value_is_refused_with_a_sentence(
        self, values: dict[str, object], message: str
    ) -> None:
        """The message says the option, what is expected and what it got."""
        with pytest.raises(ConfigurationError) as refused:
            Options(**values)  # type: ignore[arg-type]
        assert str(refused.value) == message
        assert refused.value.exit_status == 2

    @pytest.mark.parametrize(
        "origin",
        ["https://example.org", "http://localhost:3000", "null", "chrome-extension://abc",
         "https://example.org:8443", "http://[::1]:8000"],
    )  # fmt: skip
    def test_an_origin_that_browsers_send(self, origin: str) -> None:
        """RFC 6454, 6.2: it is taken; one alone needs no tuple around it."""
        assert Options(websocket_origins=origin).websocket_origins == (origin,)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("given", "path"),
        [("/app", "/app"), ("/app/", "/app"), ("/", ""), ("", ""), ("/a%20b", "/a%20b")],
    )
    def test_root_path(self, given: str, path: str) -> None:
        """A slash at its end is no part of it: a path is appended that begins with one."""
        assert Options(root_path=given).root_path == path

    @pytest.mark.parametrize("value", ["9", "-1"])
    def test_the_handshakes_time_given_twice(self, value: str) -> None:
        """Daphne's command feeds one option to two keywords: the limit of a session is the same."""
        options = parse("--websocket_connect_timeout", value)
        servers = Server(hello, options=options), Server(hello, **to_settings(options))
        limits = [
            Session.time_limit.fget(SimpleNamespace(context=server.context))  # type: ignore[attr-defined]
            for server in servers
        ]
        assert limits == [options.websocket_connect_timeout] * 2

    @pytest.mark.parametrize("kind", [Server, type("Told", (Server,), {"log_action": print})])
    def test_a_server_takes_the_object(self, kind: type[Server]) -> None:
        """Options are given as one object to Server and to classes that share its constructor."""
        options = parse("-t", "7")
        assert server_arguments(kind, options) == {"options": options}

    def test_a_constructor_of_its_own_takes_keywords(self) -> None:
        """A class with its own constructor gets each option by its name, as by Daphne's command."""

        class Counting(Server):
            def __init__(self, application: Any, **keywords: Any) -> None:
                self.keywords = keywords
                super().__init__(application, **keywords)

        server = Counting(hello, **server_arguments(Counting, parse("-t", "7")))
        assert server.keywords["http_timeout"] == server.http_timeout == 7

    def test_times_may_be_fractions(self) -> None:
        """Of a second; a whole number stays one."""
        assert repr(parse("-t", "0.5", "--ping-interval", "5").http_timeout) == "0.5"
        assert repr(parse("-t", "0.5", "--ping-interval", "5").ping_interval) == "5"
        assert Options(graceful_timeout=0).graceful_timeout == 0

    def test_both_ends_of_a_range_are_good(self) -> None:
        """0 and 65535 are ports."""
        assert Options(port=0).port == 0
        assert Options(port=65535).port == 65535


class TestUnits:
    """Times and sizes, as the command line, a file and the environment take them."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("30", 30), ("0.5", 0.5), ("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("5m", 300),
            ("0.5M", 30), ("1h", 3600), ("1D", 86400), (".25", 0.25), ("2000ms", 2), ("-1", -1),
        ],
    )  # fmt: skip
    def test_times(self, text: str, value: float) -> None:
        """Seconds, or a number with a unit; whole seconds are an int."""
        assert repr(seconds(text)) == repr(value)

    @pytest.mark.parametrize("text", ["", "s", "1 s", "1x", "1e3", "inf", "nan", "\u0661", "1m30s"])
    def test_no_time(self, text: str) -> None:
        """The message says what is expected."""
        with pytest.raises(ArgumentTypeError) as refused:
            seconds(text)
        assert str(refused.value) == (
            f"expected seconds, or a time such as 500ms, 30s, 5m, 1h or 1d, got {text!r}"
        )

    def test_whole_seconds(self) -> None:
        """Options without fractions take units too."""
        assert parse("--stall-warning", "1m").stall_warning == 60
        assert parse("--stall-warning", "0s").stall_warning is None
        assert whole_seconds("3000ms") == 3
        with pytest.raises(ArgumentTypeError, match="expected whole seconds"):
            whole_seconds("500ms")

    @pytest.mark.parametrize(
        ("text", "value"),
        [("0", 0), ("512", 512), ("64K", 65536), ("64k", 65536), ("512M", 512 << 20),
         ("1g", 1 << 30), ("-1", -1)],
    )  # fmt: skip
    def test_sizes(self, text: str, value: int) -> None:
        """Bytes, or a number with a unit, in powers of 1024."""
        assert size(text) == value

    @pytest.mark.parametrize("text", ["", "K", "1.5M", "1 M", "1MB", "1T", "0x10", "1_000"])
    def test_no_size(self, text: str) -> None:
        """The message says what is expected."""
        with pytest.raises(ArgumentTypeError) as refused:
            size(text)
        assert str(refused.value) == (
            f"expected bytes, or a size such as 64K, 512M or 1G, got {text!r}"
        )

    def test_every_time_and_size_takes_units(self) -> None:
        """Whatever a help text counts in seconds or bytes has the kind with units."""
        for field in dataclasses.fields(Options):
            if not field.metadata["flags"]:
                continue
            kind, unit = field.metadata["kind"], field.metadata["help"].split()[0]
            assert (unit == "bytes") == (kind is size), field.name
            if kind is int or unit == "seconds":
                assert (unit == "seconds") == (kind is not int), field.name
