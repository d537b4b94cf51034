"""What users of Daphne rely on, beyond its options: the seams of its command, TLS, threads."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daphne_like.launch.arguments import make_parser
from tests.support import needed
from tests.support.real_server import DEADLINE, PROJECTS, Running

Command = Callable[..., "subprocess.CompletedProcess[str]"]

# Command line, keyword of the Server, its value.
KEYWORDS: list[tuple[list[str], str, Any]] = [
    ([], "application", "loaded site:app"),
    ([], "endpoints", ["tcp:port=8000:interface=127.0.0.1:backlog=2048"]),
    (["-p", "123"], "endpoints", ["tcp:port=123:interface=127.0.0.1:backlog=2048"]),
    (["-b", "10.0.0.1"], "endpoints", ["tcp:port=8000:interface=10.0.0.1:backlog=2048"]),
    (["-b", "::1", "-p", "5"], "endpoints", [r"tcp:port=5:interface=\:\:1:backlog=2048"]),
    (["-u", "/run/s"], "endpoints", ["unix:/run/s:backlog=2048"]),
    (["--fd", "5"], "endpoints", ["fd:fileno=5"]),
    (["-e", "ssl:443:privateKey=k"], "endpoints", ["ssl:443:privateKey=k"]),
    (
        ["-e", "tcp:1", "--endpoint", "fd:fileno=7", "-u", "/s"],
        "endpoints",
        ["fd:fileno=7", "tcp:1", "unix:/s:backlog=2048"],
    ),
    ([], "http_timeout", None),
    (["-t", "5"], "http_timeout", 5),
    (["--http-timeout", "5"], "http_timeout", 5),
    ([], "websocket_timeout", 86400),
    (["--websocket_timeout", "9"], "websocket_timeout", 9),
    (["--websocket_timeout", "-1"], "websocket_timeout", None),
    ([], "websocket_connect_timeout", 5),
    (["--websocket_connect_timeout", "9"], "websocket_connect_timeout", 9),
    ([], "websocket_handshake_timeout", 5),
    (["--websocket_connect_timeout", "9"], "websocket_handshake_timeout", 9),
    (["--websocket_connect_timeout", "-1"], "websocket_handshake_timeout", None),
    ([], "ping_interval", 20),
    (["--ping-interval", "9"], "ping_interval", 9),
    ([], "ping_timeout", 30),
    (["--ping-timeout", "9"], "ping_timeout", 9),
    (["--ping-timeout", "0"], "ping_timeout", None),
    ([], "websocket_max_message_size", 1048576),
    (["--websocket-max-message-size", "0"], "websocket_max_message_size", None),
    (["--websocket-max-frame-size", "9"], "websocket_max_frame_size", 9),
    ([], "application_close_timeout", 10),
    (["--application-close-timeout", "9"], "application_close_timeout", 9),
    ([], "root_path", ""),
    (["--root-path", "/a%20b"], "root_path", "/a%20b"),
    ([], "verbosity", 1),
    (["-v", "2"], "verbosity", 2),
    ([], "proxy_forwarded_address_header", None),
    (["--proxy-headers"], "proxy_forwarded_address_header", "X-Forwarded-For"),
    (["--proxy-headers"], "proxy_forwarded_port_header", "X-Forwarded-Port"),
    (["--proxy-headers"], "proxy_forwarded_proto_header", "X-Forwarded-Proto"),
    (
        ["--proxy-headers", "--proxy-headers-host", "X-A"],
        "proxy_forwarded_address_header",
        "X-A",
    ),
    (["--proxy-headers", "--proxy-headers-port", "X-P"], "proxy_forwarded_port_header", "X-P"),
    ([], "server_name", "daphne-like"),
    (["-s", "a"], "server_name", "a"),
    (["--no-server-name"], "server_name", None),
]


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    """What the subclass in projects/seams.py saw, for each line of KEYWORDS."""
    lines = "".join(json.dumps([*given, "site:app"]) + "\n" for given, _, _ in KEYWORDS)
    ended = subprocess.run(
        [sys.executable, "seams.py"],
        cwd=PROJECTS,
        input=lines,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


class TestSeams:
    """Subclasses of Daphne's CommandLineInterface find the names that they override."""

    @pytest.mark.parametrize("number", range(len(KEYWORDS)), ids=lambda n: " ".join(KEYWORDS[n][0]))
    def test_keyword(self, runs: list[dict[str, Any]], number: int) -> None:
        """`server_class` gets each option under Daphne's name, with Daphne's default."""
        _, keyword, value = KEYWORDS[number]
        assert runs[number]["keywords"][keyword] == value

    def test_keywords_only(self, runs: list[dict[str, Any]]) -> None:
        """`server_class` is called with keywords alone, then run once, and `run` returns."""
        for seen in runs:
            assert (seen["positional"], seen["runs"], seen["status"]) == (0, 1, 7)
            assert callable_names(seen["keywords"]) >= {"action_logger", "ready_callable"}

    def test_server_class_of_daphnes(self, command: Command) -> None:
        """A `server_class` without `exit_status` that calls `ready_callable` without arguments."""
        ended = command("stopping:hello", program=(sys.executable, "daphnes_server.py"))
        assert "serves stopping:hello" in ended.stderr
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


def callable_names(keywords: dict[str, Any]) -> set[str]:
    """Keywords whose value was no plain one."""
    return {name for name, value in keywords.items() if isinstance(value, str) and "<" in value}


class TestThreads:
    """ASGI_THREADS in the environment."""

    @pytest.mark.parametrize("value", ["0", "-1", "many", ""])
    def test_a_mistake(self, command: Command, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """One sentence, status 2, before anything listens."""
        monkeypatch.setenv("ASGI_THREADS", value)
        ended = command("-p", "0", "stopping:hello")
        assert ended.stderr == (
            "daphne-like: ASGI_THREADS in the environment: expected a number of threads, "
            f"got {value!r}\n"
        )
        assert ended.returncode == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem, crt.pem, and both.pem, made by openssl for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [needed.program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "crt.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    both = (folder / "crt.pem").read_bytes() + (folder / "key.pem").read_bytes()
    (folder / "both.pem").write_bytes(both)
    chain = (folder / "crt.pem").read_bytes() * 2
    (folder / "chain.pem").write_bytes(chain)
    return folder


class TestTLS:
    """`--tls-certificate` makes -b and -p listen for TLS."""

    @pytest.mark.parametrize(
        "files", [("crt.pem", "key.pem"), ("chain.pem", "key.pem"), ("both.pem", None)]
    )
    def test_it_serves(
        self,
        server: Callable[..., Running],
        certificate: Path,
        files: tuple[str, str | None],
    ) -> None:
        """The banner says https, a client that trusts the certificate gets its answer."""
        arguments = ["--tls-certificate", str(certificate / files[0])]
        if files[1] is not None:
            arguments += ["--tls-key", str(certificate / files[1])]
        running = server("stopping:hello", *arguments)
        assert running.url.startswith("https://")
        httpx = needed.module("httpx")
        context = ssl.create_default_context(cafile=str(certificate / "crt.pem"))
        with httpx.Client(verify=context, timeout=DEADLINE, trust_env=False) as client:
            assert client.get(running.url + "/").status_code == 200

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--tls-key", "k"], "--tls-key needs --tls-certificate"),
            (["--tls-certificate", "/nope"], "No such file or directory"),
            (["--tls-certificate", "stopping.py"], "stopping.py holds no certificate in PEM form"),
        ],
    )
    def test_a_mistake(self, command: Command, arguments: list[str], sentence: str) -> None:
        """One sentence, status 2, before anything listens."""
        ended = command("-p", "0", *arguments, "stopping:hello")
        assert sentence in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2


def test_as_a_module() -> None:
    """`python -m daphne` is `python -m daphne_like`."""
    ended = subprocess.run(
        [sys.executable, "-m", "daphne_like", "--version"],
        capture_output=True, text=True, timeout=DEADLINE, check=True, env=os.environ,
    )  # fmt: skip
    assert ended.stdout.startswith("daphne-like ")


class TestPage:
    """docs/howto/from-daphne.rst, "Command line"."""

    def test_every_option_is_taken(self) -> None:
        """What the table names, `--help` shows."""
        page = (PROJECTS.parents[1] / "docs" / "howto" / "from-daphne.rst").read_text()
        table = page.partition("Command line\n====")[2].partition("Behaviour\n====")[0]
        named = re.findall(r"^``(-[^`]+)``(?:, ``(-[^`]+)``)?", table, flags=re.MULTILINE)
        flags = {flag.replace("_", "-") for pair in named for flag in pair if flag}
        assert len(flags) == 29
        known = {flag for action in make_parser("", "")._actions for flag in action.option_strings}
        assert flags <= known
