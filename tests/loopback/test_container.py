"""examples/container/Containerfile: what its image would run, without an image."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.containers import Contained, confined
from tests.support.documentation import ROOT
from tests.support.real_server import COMMAND, fetched

FILE = (ROOT / "examples" / "container" / "Containerfile").read_text()
PAGE = ROOT / "docs" / "howto" / "containers.rst"


def instruction(name: str) -> str:
    """The arguments of the last instruction of this name."""
    return re.findall(rf"^{name} (.*)$", FILE, re.MULTILINE)[-1]


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one process", "workers"])
def container(request: pytest.FixtureRequest) -> Iterator[Contained]:
    """The image's entry point, with its user and a read-only file system, on a free port."""
    program, *arguments = json.loads(instruction("ENTRYPOINT"))
    assert program == "daphne-like"
    at = arguments.index("8000")
    arguments[at] = "0"
    arguments[arguments.index("0.0.0.0")] = "127.0.0.1"  # compared
    program = [*confined(instruction("USER")), *COMMAND]
    running = Contained(*arguments, *request.param, "contained:application", program=program)
    yield running
    if running.process.poll() is None:
        running.process.kill()  # unshare kills process 1, and that takes all others along
    running.stop()


class TestContainer:
    """Non-root, read-only, process 1."""

    def test_it_serves_and_stops(self, container: Contained) -> None:
        """Without privileges and without a file; STOPSIGNAL ends it with status 0."""
        container.wait_until_ready()
        user = instruction("USER").replace(":", " ")
        found = fetched(container.port, "/confinement").partition(b"\r\n\r\n")[2].decode()
        assert found == f"{user} 0 []"
        container.signal(getattr(signal, instruction("STOPSIGNAL")))
        assert container.ended() == 0
        assert "Stopped" in container.log


class TestFile:
    """What cannot be run here is compared."""

    def test_the_page_shows_it(self) -> None:
        """It is included, not copied."""
        assert "literalinclude:: ../../examples/container/Containerfile" in PAGE.read_text()

    def test_the_command_is_valid(self, command: Callable[..., object]) -> None:
        """ENTRYPOINT and CMD have the exec form, and name options and an application of ours."""
        words = [*json.loads(instruction("ENTRYPOINT")), *json.loads(instruction("CMD"))][1:]
        module = words.pop().partition(":")[0]
        copied = re.findall(rf"^COPY (\S+/{module}\.py) /srv/site/$", FILE, re.MULTILINE)
        assert [Path(ROOT / path).is_file() for path in copied] == [True]
        shown = command(*words, "--help")
        assert getattr(shown, "returncode", None) == 0

    def test_the_user_is_a_number(self) -> None:
        """Kubernetes cannot tell whether a name is root."""
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instruction("USER"))
