"""What is left of the server's log when the application configures logging."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.real_server import COMMAND, TWISTD, Running, fetched

Program = Callable[..., Running]

CONSOLE = {"class": "logging.StreamHandler", "formatter": "theirs"}
FORMATS = {"theirs": {"format": "theirs {name} {message}", "style": "{"}}


def logging_of(**more: Any) -> dict[str, Any]:
    """A LOGGING that disables existing loggers, as it does when nothing is said about them."""
    return {"version": 1, "formatters": FORMATS, "handlers": {"console": CONSOLE}, **more}


ORDINARY = {
    "django alone": logging_of(loggers={"django": {"handlers": ["console"], "level": "INFO"}}),
    "root at WARNING": logging_of(root={"handlers": ["console"], "level": "WARNING"}),
    "root without handlers": logging_of(root={"level": "WARNING"}),
}


@pytest.fixture(params=["import", "startup"])
def site(program: Program, request: pytest.FixtureRequest) -> Program:
    """site(logging, *arguments): serves a Django project with this LOGGING."""

    def start(logging: dict[str, Any], *arguments: str, **how: Any) -> Running:
        environment = {"LOGGING": json.dumps(logging)}
        if request.param == "startup":
            environment["LATE"] = "1"
        return program(
            *arguments, "-p", "0", "logs:application",
            environment=environment, expects_traceback=True, **how,
        ).wait_until_ready()  # fmt: skip

    return start


class TestOrdinaryLogging:
    """LOGGING is for the application's loggers; the server's go on."""

    @pytest.mark.parametrize("name", ORDINARY)
    def test_nothing_is_lost(self, site: Program, name: str) -> None:
        """Banner, access log and traceback are there, whatever the root logger's level is."""
        running = site(ORDINARY[name])
        fetched(running.port)
        fetched(running.port, "/raises")
        running.wait_for('"GET /hello" 200 6')
        running.wait_for("RuntimeError: on purpose")

    def test_access_log_file(self, site: Program, tmp_path: Path) -> None:
        """`--access-log FILE` gets its lines though LOGGING names the logger above."""
        path = tmp_path / "access.log"
        logging = logging_of(loggers={"daphne_like": {"handlers": ["console"], "level": "INFO"}})
        running = site(logging, "--access-log", str(path))
        fetched(running.port)
        running.stop()
        assert '"GET /hello" 200 6' in path.read_text()
        assert "GET /hello" not in running.log

    def test_twistd(self, site: Program) -> None:
        """Under twistd, too."""
        site(
            ORDINARY["root at WARNING"], "daphne-like",
            program=(*TWISTD, "-n", "--pidfile="),
        ).wait_for("serves logs:application")  # fmt: skip


class TestHandlersForOurs:
    """Handlers that a person configures for `daphne_like.*` are respected."""

    @pytest.fixture
    def site(self, program: Program) -> Program:
        def start(loggers: dict[str, Any], *arguments: str) -> Running:
            return program(
                *arguments, "-p", "0", "logs:application", program=COMMAND,
                environment={"LOGGING": json.dumps(logging_of(loggers=loggers))},
            ).wait_until_ready()  # fmt: skip

        return start

    @pytest.mark.parametrize("logger", ["daphne_like", "daphne_like.access"])
    def test_instead_of_standard_output(self, site: Program, logger: str) -> None:
        """The access log goes to their handler, once."""
        running = site({logger: {"handlers": ["console"], "level": "INFO", "propagate": False}})
        fetched(running.port)
        running.wait_for('theirs daphne_like.access .*"GET /hello" 200 6')
        assert running.stop().count("GET /hello") == 1

    def test_beside_a_file(self, site: Program, tmp_path: Path) -> None:
        """`--access-log FILE` and their handler both get the lines."""
        path = tmp_path / "access.log"
        running = site(
            {"daphne_like.access": {"handlers": ["console"], "propagate": False}},
            "--access-log", str(path),
        )  # fmt: skip
        fetched(running.port)
        running.wait_for('theirs daphne_like.access .*"GET /hello" 200 6')
        running.stop()
        assert '"GET /hello" 200 6' in path.read_text()

    def test_level(self, site: Program) -> None:
        """A level that they set for `daphne_like` counts, not that of `-v`."""
        running = site({"daphne_like": {"handlers": ["console"], "level": "DEBUG"}})
        fetched(running.port)
        running.wait_for("theirs daphne_like.http .*Connection was closed")
