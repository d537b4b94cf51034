"""Imports an application in a process of its own, which ends afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from daphne_like import reactor as reactors
from daphne_like.asgi.interface import as_asgi3
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.importing import import_from
from daphne_like.options import Options

SECONDS = 30.0
"""Time for the import."""
MAX_DETAIL = 65536
"""Octets of the application's own text that are shown."""
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])["path"]
from daphne_like.launch.trial_import import import_here
import_here(sys.argv.pop(1))
"""


def try_import(
    application: str, options: Options, environ: Mapping[str, str], seconds: float = SECONDS
) -> None:
    """Import an application in a child process, so that its import cannot harm this one.

    Raises:
        ConfigurationError: the import failed, ended the process, or did not end in time.
    """
    with _folder() as folder:
        result, printed = Path(folder, "result"), Path(folder, "stderr")
        task = {
            "path": sys.path,
            "application": application,
            "app_dir": options.app_dir,
            "factory": options.factory,
            "interface": options.interface,
            "result": str(result),
        }
        with printed.open("wb") as stderr:
            status = _run(
                [sys.executable, "-c", PROGRAM, json.dumps(task)], stderr, environ, seconds
            )
        if status is None:
            raise ConfigurationError(
                f"Importing {application!r} did not end within {seconds:g} seconds"
            )
        if not result.exists():
            raise ConfigurationError(
                f"Importing {application!r} ended the process {_in_words(status)}",
                detail=printed.read_bytes()[-MAX_DETAIL:].decode("utf-8", "replace").rstrip(),
            )
        error = json.loads(result.read_text(encoding="utf-8"))
    if error is not None:
        raise ConfigurationError(error["sentence"], detail=error["detail"])


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise ConfigurationError(
            f"--check needs a directory for temporary files (TMPDIR): {error.strerror}"
        )


def _run(
    command: list[str], stderr: BinaryIO, environ: Mapping[str, str], seconds: float
) -> int | None:
    """Run a child to its end, and end the processes that it has started.

    Returns:
        Its status as of Popen; None if the time was over.
    """
    child = subprocess.Popen(  # noqa: S603 # this interpreter
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:
            _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child that has not ended, with its process group."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def _in_words(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def import_here(text: str) -> None:
    """Import an application in this process, write the result, and end the process.

    Args:
        text: the task, as `try_import` writes it.
    """
    task = json.loads(text)
    error: dict[str, str] | None = None
    try:
        reactors.install()  # as the command does before it imports
        options = Options(
            app_dir=task["app_dir"], factory=task["factory"], interface=task["interface"]
        )
        as_asgi3(import_from(task["application"], options), options.interface)
    except ConfigurationError as failed:
        error = {"sentence": str(failed), "detail": failed.detail}
    Path(task["result"]).write_text(json.dumps(error), encoding="utf-8")
    if hasattr(os, "killpg"):
        # End the processes that the import has started: this process leads their group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    os._exit(0)  # threads that the import has started do not delay the end
