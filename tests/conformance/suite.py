"""The suite in a folder of its own: made on demand, and its fuzzing client run as a process."""

from __future__ import annotations

import io
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serving
from tests.conformance import python2, results
from tests.conformance.problems import ConformanceError, MissingError
from tests.conformance.results import Result

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ACCELERATION = "wsaccel==0.6.6"
INSTALL_SECONDS = 900
CASE_SECONDS = 600
"""The suite's own limit of a case is 480 seconds."""

_COUNT = re.compile(r"Ok, will run (\d+) test cases")
_CASE = re.compile(r"Running test case ID (\S+)")


@dataclass(frozen=True)
class Suite:
    """The installed suite.

    Attributes:
        folder: with the suite and all it imports.
        interpreter: the Python it was made for.
    """

    folder: Path
    interpreter: python2.Interpreter

    def run(
        self,
        url: str,
        agent: str,
        patterns: list[str],
        output: Path,
        seconds: float,
        told: Callable[[int, int, str], None],
    ) -> list[Result]:
        """Run the fuzzing client against a server.

        Args:
            url: of the server, ws://...
            agent: its name in the reports.
            patterns: of cases, as `cases.select` returns them.
            output: folder for the suite's reports; what else it holds stays.
            seconds: that it may take, together.
            told: called with number, total and id of each case that begins.
        Returns:
            A result for each case, in their order.
        Raises:
            ConformanceError: it did not come to its end.
        """
        output.mkdir(parents=True, exist_ok=True)
        (output / "index.json").unlink(missing_ok=True)
        specification = {
            "outdir": str(output),
            "servers": [{"agent": agent, "url": url}],
            "cases": patterns,
        }
        (output / "specification.json").write_text(json.dumps(specification))
        command = [self.interpreter.path, "-u", "-m", "autobahntestsuite.wstest"]
        command += ["--mode", "fuzzingclient", "--spec", "specification.json"]
        process = subprocess.Popen(
            command,
            cwd=output,
            env=self.interpreter.environment(PYTHONPATH=str(self.folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with (output / "suite.log").open("w") as log:
                expected = _follow(process, log.write, seconds, told)
        finally:
            serving.end(process)
        found = results.of_last_run(output)
        if not expected or len(found) != expected:
            raise ConformanceError(
                f"the suite ended after {len(found)} of {expected} cases: see {output}/suite.log"
            )
        return found


def _follow(
    process: subprocess.Popen[bytes],
    write: Callable[[str], object],
    seconds: float,
    told: Callable[[int, int, str], None],
) -> int:
    """Read what the client says until it ends; how many cases it wanted to run.

    Raises:
        ConformanceError: it, or one case, took longer than it may.
    """
    deadline = time.monotonic() + seconds
    total = number = 0
    case = "the first case"
    lines = _lines(process)
    while True:
        left = deadline - time.monotonic()
        try:
            line = lines.get(timeout=max(0.0, min(left, CASE_SECONDS)))
        except queue.Empty:
            limit = CASE_SECONDS if left > CASE_SECONDS else seconds
            raise ConformanceError(f"no end of {case} within {limit:.0f} seconds")
        if line is None:
            return total
        write(line)
        if found := _COUNT.search(line):
            total = int(found[1])
            if not total:
                # The client would run on without anything to do.
                raise ConformanceError("the suite has no such case")
        elif found := _CASE.match(line):
            number += 1
            case = found[1]
            told(number, total, case)


def _lines(process: subprocess.Popen[bytes]) -> queue.Queue[str | None]:
    """The lines of a process's output as they come, then None."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with io.TextIOWrapper(process.stdout, errors="replace") as output:
            for line in output:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def install(folder: Path, say: Callable[[str], None]) -> Suite:
    """Make the folder with the suite, unless it is there.

    Args:
        folder: to make; another one beside it is used until it is complete.
        say: called with what is going on.
    Raises:
        MissingError: no Python 2.7, or what it needs cannot be had.
    """
    interpreter = python2.find()
    marker = folder / "made-of.txt"
    wanted = f"{interpreter.path}\n{ACCELERATION}\n{REQUIREMENTS.read_text()}"
    if marker.is_file() and marker.read_text() == wanted:
        return Suite(folder, interpreter)
    say(f"installing the Autobahn test suite for {interpreter.path}, once")
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        problem = _pip(interpreter, unfinished, "--no-deps", "--requirement", str(REQUIREMENTS))
        if problem:
            raise MissingError(f"the Autobahn test suite cannot be installed: {problem}")
        # Masks and validates in C: chapters 9 to 13 take minutes with it, hours without.
        problem = _pip(interpreter, unfinished, "--no-deps", ACCELERATION)
        if problem:
            say(f"without {ACCELERATION} chapters 9, 12 and 13 take long: {problem}")
        # pip joins namespace packages by a .pth file, which is not read in such a folder.
        (unfinished / "zope" / "__init__.py").touch()
        (unfinished / marker.name).write_text(wanted)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except OSError as error:
        # Somebody else who made it at the same time was faster.
        if not marker.is_file():
            raise MissingError(f"the Autobahn test suite cannot be kept in {folder}: {error}")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Suite(folder, interpreter)


def _pip(interpreter: python2.Interpreter, target: Path, *arguments: str) -> str | None:
    """Install into a folder; the last line of what went wrong."""
    command = [interpreter.path, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        ended = subprocess.run(
            [*command, "--target", str(target), *arguments],
            env=interpreter.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {INSTALL_SECONDS} seconds"
    if ended.returncode == 0:
        return None
    return (ended.stdout.strip().splitlines() or [f"pip ended with {ended.returncode}"])[-1]
