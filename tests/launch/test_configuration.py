"""Options from the command line, the environment, a file and the defaults."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.arguments import make_parser
from daphne_like.launch.configuration import DEMO, Configuration, load
from daphne_like.launch.printing import to_toml
from daphne_like.launch.settings import SETTINGS, Setting
from daphne_like.options import Options, check_workers

EVERYTHING = {
    "host": "::1",
    "unix_mode": 0o660,
    "endpoints": ("tcp:1", "unix:/x"),
    "tls_certificate": ("a", "b"),
    "tls_key": ("c",),
    "tls_key_password": "env:X",
    "workers": 4,
    "access_log": 'quotes " and \\ and \x7f',
    "websocket_origins": ("https://a.example", "https://b.example"),
    "websocket_deflate": False,
}
"""Values of the options whose values cannot be derived from their kind."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, without a file of options."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "daphne-like.toml") -> str:
    (folder / name).write_text(text)
    return name


def configure(*arguments: str, **environ: str) -> Configuration:
    return load(vars(make_parser("").parse_args(arguments)), environ)


def sentence(*arguments: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        configure(*arguments, **environ)
    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


def another(field: dataclasses.Field[Any]) -> Any:
    """A value that is not the default."""
    if field.name in EVERYTHING:
        return EVERYTHING[field.name]
    if field.default is False:
        return True
    for choice in field.metadata.get("choices") or ():
        if choice != field.default:
            return choice
    if field.metadata["kind"] is None:
        return ("/x",) if field.metadata.get("repeated") else "/x"
    return min(4711, field.metadata.get("most") or 4711)


def everything() -> Options:
    """Options of which each has a value that is not the default."""
    return Options(
        **{
            field.name: another(field)
            for field in dataclasses.fields(Options)
            if field.metadata["flags"]
        }
    )


class TestPrecedence:
    """Flag, variable, file, default."""

    def test_each_wins_over_those_below(self, folder: Path) -> None:
        """The value and the origin are those of the highest source."""
        expected = [
            (60, "default"), (50, "file daphne-like.toml"),
            (40, "variable DAPHNE_LIKE_WRITE_TIMEOUT"), (30, "flag --write-timeout"),
        ]  # fmt: skip
        found = [configure()]
        write(folder, "write-timeout = 50")
        found.append(configure())
        found.append(configure(DAPHNE_LIKE_WRITE_TIMEOUT="40"))
        found.append(configure("--write-timeout", "30", DAPHNE_LIKE_WRITE_TIMEOUT="40"))
        assert expected == [
            (each.options.write_timeout, str(each.origin("write_timeout"))) for each in found
        ]

    def test_application(self, folder: Path) -> None:
        """The application has the same sources."""
        assert configure().application == DEMO
        write(folder, 'application = "file:app"')
        assert configure().application == "file:app"
        assert configure(DAPHNE_LIKE_APPLICATION="variable:app").application == "variable:app"
        last = configure("argument:app", DAPHNE_LIKE_APPLICATION="variable:app")
        assert (last.application, str(last.origin("application"))) == ("argument:app", "argument")

    def test_second_variable(self, folder: Path) -> None:
        """WEB_CONCURRENCY is below DAPHNE_LIKE_WORKERS and above the file."""
        write(folder, "workers = 1")
        assert configure().options.workers == 1
        found = configure(WEB_CONCURRENCY="2")
        assert (found.options.workers, found.origin("workers").name) == (2, "WEB_CONCURRENCY")
        both = configure(WEB_CONCURRENCY="2", DAPHNE_LIKE_WORKERS="auto")
        assert both.options.workers == "auto"

    def test_reload_beside_the_options_of_production(self, folder: Path) -> None:
        """--reload wins over workers of a lower source, and over WEB_CONCURRENCY of any."""
        write(folder, "workers = 4\nmax-requests = 9\nmax-requests-jitter = 1\nbacklog = 7")
        assert configure("--reload").options == Options(reload=True, backlog=7)
        assert configure(DAPHNE_LIKE_RELOAD="on").options == Options(reload=True, backlog=7)
        assert configure("--reload", DAPHNE_LIKE_WORKERS="2").options.workers is None
        write(folder, "reload = true")
        assert configure(WEB_CONCURRENCY="2").options == Options(reload=True)
        for contradictory in ({"DAPHNE_LIKE_WORKERS": "2"}, {"DAPHNE_LIKE_MAX_REQUESTS": "2"}):
            with pytest.raises(ConfigurationError, match="with --reload|--reload runs one worker"):
                check_workers(configure(**contradictory).options)

    def test_flag_that_removes_a_value(self, folder: Path) -> None:
        """--no-server-name is a value of the command line."""
        write(folder, 'server-name = "x"')
        assert configure("--no-server-name").options.server_name is None
        write(folder, "no-server-name = true")
        assert configure().options.server_name is None
        assert configure("-s", "y").options.server_name == "y"
        assert configure(DAPHNE_LIKE_SERVER_NAME="z").options.server_name == "z"
        write(folder, 'server-name = "x"\nno-server-name = false')
        assert configure(DAPHNE_LIKE_NO_SERVER_NAME="on").options.server_name is None

    def test_lists_replace_each_other(self, folder: Path) -> None:
        """The endpoints of the command line do not add to those of the file."""
        write(folder, 'endpoint = ["tcp:1", "tcp:2"]')
        assert configure("-e", "tcp:3").options.endpoints == ("tcp:3",)

    def test_other_defaults(self, folder: Path) -> None:
        """A front door's own defaults are below the file; options may be for flags alone."""
        write(folder, "graceful-timeout = 3\nport = 1")
        defaults = {"graceful_timeout": 1, "root_path": "/x"}
        found = load({"host": "::1"}, {}, defaults=defaults, unless_flags={"host", "port"})
        options = found.options
        assert (options.graceful_timeout, options.root_path) == (3, "/x")
        assert (options.host, options.port) == ("::1", None)

    def test_again(self, folder: Path) -> None:
        """A second call reads the file and the environment again."""
        given, environ = vars(make_parser("").parse_args([])), {"DAPHNE_LIKE_PORT": "1"}
        write(folder, "backlog = 1")
        assert load(given, environ).options == Options(port=1, backlog=1)
        write(folder, "backlog = 2")
        environ["DAPHNE_LIKE_PORT"] = "2"
        assert load(given, environ).options == Options(port=2, backlog=2)


class TestFindingTheFile:
    """--config, DAPHNE_LIKE_CONFIG, daphne-like.toml."""

    def test_order(self, folder: Path) -> None:
        """The first one counts; files are not merged."""
        write(folder, "port = 1\nbacklog = 7")
        write(folder, "port = 2", "b.toml")
        write(folder, "port = 3", "c.toml")
        assert configure().options == Options(port=1, backlog=7)
        assert configure(DAPHNE_LIKE_CONFIG="b.toml").options == Options(port=2)
        found = configure("--config", "c.toml", DAPHNE_LIKE_CONFIG="b.toml")
        assert found.options == Options(port=3)
        assert found.file == str(folder / "c.toml")

    def test_pyproject(self, folder: Path) -> None:
        """Its table is read if it is named, and only then."""
        name = write(
            folder, '[tool.daphne-like]\nport = 1\ntls.certificate = ["x"]', "pyproject.toml"
        )
        assert configure().options == Options()
        assert configure("--config", name).options == Options(port=1, tls_certificate=("x",))
        write(folder, "[project]\nport = 1", "pyproject.toml")
        expected = "pyproject.toml: there is no table [tool.daphne-like]"
        assert sentence("--config", name) == expected

    def test_no_file(self) -> None:
        """A file that is named must exist; /dev/null is an empty one."""
        where = "The configuration file nowhere.toml: No such file or directory"
        assert sentence("--config", "nowhere.toml") == where
        assert sentence(DAPHNE_LIKE_CONFIG="nowhere.toml") == where
        assert configure("--config", "/dev/null").options == Options()

    def test_no_toml(self, folder: Path) -> None:
        """Line and column are named."""
        write(folder, "port = x")
        assert sentence() == "daphne-like.toml: Invalid value (at line 1, column 8)"
        (folder / "daphne-like.toml").write_bytes(b"\xff = 1")
        assert sentence() == "daphne-like.toml: expected TOML in UTF-8, found other bytes"


class TestKeys:
    """Names of options in a file and in the environment."""

    @pytest.mark.parametrize(
        "text",
        ["tls-key = 'k'\ntls-certificate = 'c'", "tls_key = 'k'\ntls_certificate = 'c'",
         "[tls]\nkey = 'k'\ncertificate = 'c'", "tls.key = ['k']\ntls.certificate = ['c']"],
    )  # fmt: skip
    def test_spellings(self, folder: Path, text: str) -> None:
        """Dashes, underscores, and a table for a common beginning."""
        write(folder, text)
        assert configure().options == Options(tls_key=("k",), tls_certificate=("c",))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("prot = 1", "there is no option 'prot'; did you mean port?"),
            ("host = 'x'", "there is no option 'host'; did you mean bind?"),
            ("file_descriptor = 3", "there is no option 'file_descriptor'; did you mean fd?"),
            ("uds = 'x'", "there is no option 'uds': -u PATH"),
            ("[tls]\ncertficate = 'x'",
             "there is no option 'tls.certficate'; did you mean tls-certificate?"),
            ("[nothing]", "there is no option 'nothing'"),
            ("config = 'x'", "there is no option 'config'; did you mean log-config?"),
            ("tls-key = 'a'\ntls.key = 'b'",
             "tls-key and tls.key set the same option; leave one out"),
            ("server-name = 'a'\nno-server-name = true",
             "server-name and no-server-name set the same option; leave one out"),
        ],
    )  # fmt: skip
    def test_unknown_key(self, folder: Path, text: str, expected: str) -> None:
        """The sentence names the file, the key and the nearest option."""
        write(folder, text)
        assert sentence() == f"daphne-like.toml: {expected}"

    def test_empty_table(self, folder: Path) -> None:
        """A table whose keys are all commented out is no mistake."""
        write(folder, "[tls]\n# certificate = 'x'\n[websocket]")
        assert configure().options == Options()

    @pytest.mark.parametrize(
        ("name", "hint"),
        [("DAPHNE_LIKE_PROT", "; did you mean DAPHNE_LIKE_PORT?"),
         ("DAPHNE_LIKE_HOST", "; did you mean DAPHNE_LIKE_BIND?"),
         ("DAPHNE_LIKE_ENDPOINTS", "; did you mean DAPHNE_LIKE_ENDPOINT?"),
         ("DAPHNE_LIKE_", ""), ("DAPHNE_LIKE_SLEEP", "")],
    )  # fmt: skip
    def test_unknown_variable(self, name: str, hint: str) -> None:
        """The sentence names the variable and the nearest one, even if the variable is empty."""
        for value in ("x", ""):
            assert sentence(**{name: value}) == f"{name}: no option has this variable{hint}"

    def test_foreign_variables(self) -> None:
        """Variables of other programs do not matter."""
        assert configure(PORT="1", DAPHNE_LIKEPORT="1", UVICORN_PORT="1").options == Options()

    def test_names_are_unique(self) -> None:
        """No two settings share a key or a variable."""
        keys = [setting.key for setting in SETTINGS]
        variables = [name for setting in SETTINGS for name in setting.variables]
        assert len(keys) == len(set(keys)) > 60
        assert len(variables) == len(set(variables)) > 60


class TestValues:
    """The same kinds and checks as on the command line."""

    @pytest.mark.parametrize("text", ['max-body-size = "512M"', "max-body-size = 536870912"])
    def test_sizes(self, folder: Path, text: str) -> None:
        """A number of bytes, or text with a unit."""
        write(folder, text)
        assert configure().options.max_body_size == 512 << 20
        assert configure(DAPHNE_LIKE_MAX_BODY_SIZE="1g").options.max_body_size == 1 << 30

    @pytest.mark.parametrize("value", ['"1500ms"', "1.5", '"1.5"'])
    def test_times(self, folder: Path, value: str) -> None:
        """A number of seconds, or text with a unit."""
        write(folder, f"header-timeout = {value}")
        assert configure().options.header_timeout == 1.5
        assert configure(DAPHNE_LIKE_HEADER_TIMEOUT="2m").options.header_timeout == 120

    @pytest.mark.parametrize("value", ["0", "-1", '"0"'])
    def test_no_limit(self, folder: Path, value: str) -> None:
        """0 and -1 mean no limit, as on the command line."""
        write(folder, f"websocket-timeout = {value}")
        assert configure().options.websocket_timeout is None
        environ = {"DAPHNE_LIKE_WEBSOCKET_TIMEOUT": value.strip('"')}
        assert configure("--config", "/dev/null", **environ).options.websocket_timeout is None

    @pytest.mark.parametrize("text", ["on", "true", "YES", "1", " on "])
    def test_switch_on(self, text: str) -> None:
        """A variable of a switch."""
        assert configure(DAPHNE_LIKE_PROXY_HEADERS=text).options.proxy_headers is True

    def test_switch_off(self, folder: Path) -> None:
        """A variable can turn off what the file turns on."""
        write(folder, "proxy-headers = true")
        assert configure().options.proxy_headers is True
        assert configure(DAPHNE_LIKE_PROXY_HEADERS="off").options.proxy_headers is False

    @pytest.mark.parametrize(
        ("arguments", "value", "application"),
        [
            (["--proxy-headers", "main:app"], True, "main:app"),
            (["main:app", "--proxy-headers"], True, "main:app"),
            (["--proxy-headers", "-v", "2", "main:app"], True, "main:app"),
            (["--proxy-headers", "forwarded", "main:app"], "forwarded", "main:app"),
            (["--proxy-headers=forwarded", "main:app"], "forwarded", "main:app"),
            (["--proxy-headers=on", "forwarded"], True, "forwarded"),
            (["--proxy-headers", "off", "main:app"], False, "main:app"),
            (["--proxy-headers", "--proxy-headers", "off"], False, DEMO),
            (["--proxy-headers", "--", "forwarded"], True, "forwarded"),
        ],
    )
    def test_switch_with_a_word(
        self, arguments: list[str], value: object, application: str
    ) -> None:
        """A switch takes its words as a value, but never the application."""
        found = configure(*arguments)
        assert (found.options.proxy_headers, found.application) == (value, application)

    def test_switch_with_a_word_elsewhere(self, folder: Path) -> None:
        """The file has true, false or the word; a variable has the word, too."""
        write(folder, 'proxy-headers = "forwarded"')
        assert configure().options.proxy_headers == "forwarded"
        assert configure(DAPHNE_LIKE_PROXY_HEADERS="on").options.proxy_headers is True
        write(folder, "proxy-headers = true")
        assert configure(DAPHNE_LIKE_PROXY_HEADERS="forwarded").options.proxy_headers == "forwarded"

    def test_list_in_a_variable(self) -> None:
        """Values are separated by white space; commas and colons belong to endpoint strings."""
        string = "https:tcp:443:certificate=a,b"
        found = configure(DAPHNE_LIKE_ENDPOINT=f" tcp:80  {string}\n")
        assert found.options.endpoints == ("tcp:80", string)

    def test_empty_variable(self, folder: Path) -> None:
        """An empty variable counts as one that is not set."""
        write(folder, "port = 1")
        assert configure(DAPHNE_LIKE_PORT="", DAPHNE_LIKE_CONFIG="").options.port == 1

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("port = true", "port: expected a whole number, got true"),
            ("port = 1.5", "port: expected a whole number, got 1.5"),
            ("port = 'x'", "port: expected a whole number, got 'x'"),
            ("port = 70000", "port: expected 0 to 65535, got 70000"),
            ("port = {}", "port: expected a whole number, got a table"),
            ("max-body-size = 1.5",
             "max-body-size: expected a number, or a string with a unit, got 1.5"),
            ("max-body-size = '1T'",
             "max-body-size: expected bytes, or a size such as 64K, 512M or 1G, got '1T'"),
            ("header-timeout = 0", "header-timeout: expected more than 0, got 0"),
            ("header-timeout = inf", "header-timeout: expected a number of seconds, got inf"),
            ("header-timeout = [1]",
             "header-timeout: expected a number, or a string with a unit, got [1]"),
            ("stall-warning = 1.5",
             "stall-warning: expected a number, or a string with a unit, got 1.5"),
            ("workers = 1.5", "workers: expected a number or a string, got 1.5"),
            (
                "proxy-headers = 'x'",
                "proxy-headers: expected on, off or forwarded, got 'x'",
            ),
            (
                "proxy-headers = 1",
                'proxy-headers: expected true, false or "forwarded", got 1',
            ),
            ("factory = 'on'", "factory: expected true or false, got 'on'"),
            ("ws-per-message-deflate = 1", "ws-per-message-deflate: expected true or false, got 1"),
            ("ws-per-message-deflate = 'x'",
             "ws-per-message-deflate: expected on or off, got 'x'"),
            ("unix-mode = 660",
             "unix-mode: expected a string of three octal digits, for example \"660\", got 660"),
            ("http = 2", "http: expected one of 'auto', '1', '2', got 2"),
            ("http = '3'", "http: expected one of auto, 1, 2, got '3'"),
            ("root-path = 5", "root-path: expected a string, got 5"),
            ("application = 5", "application: expected a string, got 5"),
            ("endpoint = 5", "endpoint: expected a list of strings, got 5"),
            ("endpoint = ['tcp:1', 5]",
             "endpoint: expected a list of strings, got ['tcp:1', 5]"),
            ("tls-key-password = 1234", "tls-key-password: expected a string"),
        ],
    )  # fmt: skip
    def test_wrong_value(self, folder: Path, text: str, expected: str) -> None:
        """The sentence names file and key, what is expected, and what was found."""
        write(folder, text)
        assert sentence() == f"daphne-like.toml: {expected}"

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("PORT", "x", "expected a whole number, got 'x'"),
            ("PORT", "70000", "expected 0 to 65535, got 70000"),
            ("FACTORY", "maybe", "expected on or off, got 'maybe'"),
            ("HTTP", "3", "expected one of auto, 1, 2, got '3'"),
            ("WORKERS", "x", "expected a number of processes or auto, got 'x'"),
        ],
    )
    def test_wrong_variable(self, name: str, value: str, expected: str) -> None:
        """The sentence names the variable, what is expected, and what was found."""
        variable = f"DAPHNE_LIKE_{name}"
        assert sentence(**{variable: value}) == f"{variable}: {expected}"

    def test_options_that_contradict(self, folder: Path) -> None:
        """The sentence says where the options are set that are not on the command line."""
        write(folder, "tls-key = 'x'")
        assert sentence() == (
            "--tls-key needs --tls-certificate (--tls-key is set by the file daphne-like.toml)"
        )
        assert sentence("--config", "/dev/null", DAPHNE_LIKE_ROOT_PATH="x").endswith(
            ", got 'x' (--root-path is set by the variable DAPHNE_LIKE_ROOT_PATH)"
        )
        assert sentence("--config", "/dev/null", "--tls-key", "x").endswith("--tls-certificate")


def as_toml(setting: Setting, value: Any) -> Any:
    """A value as a TOML parser returns it."""
    if isinstance(value, tuple):
        return list(value)
    return f"{value:o}" if setting.name == "unix_mode" else value


def as_variable(setting: Setting, value: Any) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(value) if isinstance(value, tuple) else str(as_toml(setting, value))


class TestEveryOption:
    """No option is left out."""

    def test_from_the_environment(self) -> None:
        """Each option has a variable."""
        options = everything()
        environ = {
            setting.variables[0]: as_variable(setting, getattr(options, setting.name))
            for setting in SETTINGS
            if setting.field is not None and not setting.off
        }
        found = configure(**environ)
        assert found.options == options
        assert {str(found.origin(s.name)) for s in SETTINGS if s.variables[0] in environ} == {
            f"variable {name}" for name in environ
        }

    def test_from_a_file(self) -> None:
        """Each option has a key."""
        options = everything()
        for setting in SETTINGS:
            if setting.field is not None and not setting.off:
                value = getattr(options, setting.name)
                assert setting.parse_toml(as_toml(setting, value), "here") == value

    @pytest.mark.parametrize("options", [Options(), everything(), Options(server_name=None)])
    def test_printed_and_read(self, folder: Path, options: Options) -> None:
        """--print-config prints a file that means the same."""
        write(folder, to_toml(Configuration(options, "main:app")))
        found = configure()
        assert found.options == options
        assert found.application == "main:app"


class TestPrinting:
    """--print-config."""

    def test_origins(self, folder: Path) -> None:
        """Each line ends with the origin of its value; what is not set is a comment."""
        write(folder, 'bind = "::1"')
        lines = to_toml(configure("-p", "0", "main:app", WEB_CONCURRENCY="2")).splitlines()
        for line in (
            'application = "main:app"  # argument',
            'bind = "::1"  # file daphne-like.toml',
            "port = 0  # flag --port",
            "workers = 2  # variable WEB_CONCURRENCY",
            "max-body-size = 0  # default",
            "# unix-socket is not set  # default",
            'server-name = "daphne-like"  # default',
            "endpoint = []  # default",
        ):
            assert line in lines
        assert "# where to listen" in lines
        assert not [line for line in lines if line.startswith("no-server-name")]

    def test_secrets(self) -> None:
        """Passwords are hidden; a variable's or a file's name is not secret."""
        endpoint = r"https:tcp:443:certificate=a:keyPassword=pass\:secret:key=b"
        text = to_toml(
            configure("--tls-key-password", "pass:secret", "--tls-certificate", "x", "-e", endpoint)
        )
        assert "secret" not in text
        assert 'tls-key-password = "pass:***"' in text
        assert r"keyPassword=pass\\:***:key=b" in text
        named = to_toml(configure("--tls-key-password", "env:NAME", "--tls-certificate", "x"))
        assert 'tls-key-password = "env:NAME"' in named
