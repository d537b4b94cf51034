"""A running `manage.py`, started from a shell in which nothing of Django's is set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.real_server import Running

BANNER = re.compile(r"server at (https?)://([^\s,]+):(\d+)/")


class Manage(Running):
    """A `manage.py` process, the leader of a process group.

    Args:
        folder: with manage.py.
        arguments: of manage.py.
    """

    def __init__(self, folder: Path, *arguments: str, expects_traceback: bool = False) -> None:
        self.folder = folder
        self.expects_traceback = expects_traceback
        self.url = self.host = ""
        self.port = 0
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._connections = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self, times: int = 1) -> Manage:
        """Wait for the banner, for that many of them in all."""
        self.wait_for(f"(?s)(?:{BANNER.pattern}.*?){{{times}}}")
        scheme, self.host, port = BANNER.findall(self.log)[times - 1]
        self.port = int(port)
        self.url = f"{scheme}://{self.host}:{port}"
        return self

    def interrupt(self) -> None:
        """Ctrl-C on a terminal: every process of the group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self) -> str:
        """End it, with every process that it has started."""
        log = super().stop()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return log


def environment() -> dict[str, str]:
    """Of a developer's shell, in which nothing of Django's is set."""
    kept = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    kept.pop("RUN_MAIN", None)
    return {**kept, "PYTHONUNBUFFERED": "1"}
