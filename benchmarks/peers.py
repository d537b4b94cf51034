"""The virtual environment of the other servers and of the WebSocket load.

daphne_like depends on none of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REQUIREMENTS = (
    "uvicorn[standard]==0.54.0",
    "granian==2.8.7",
    "hypercorn==0.18.0",
    "daphne==4.2.3",
    "gunicorn==27.0.1",
    "fastpysgi==0.6",
    "httptools==0.9.0",
    "uvloop==0.23.0",
    "picows==2.3.1",
)

_VERSIONS_SCRIPT = """
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def create(folder: Path) -> None:
    """Create the virtual environment at `folder`, unless it has these requirements already.

    Raises:
        subprocess.CalledProcessError: venv or pip failed; their output is on stderr.
    """
    marker = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS) + "\n"
    if marker.is_file() and marker.read_text() == wanted:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, stdout=sys.stderr)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *REQUIREMENTS], check=True, stdout=sys.stderr)
    marker.write_text(wanted)


def versions(python: Path | str, distributions: Iterable[str]) -> dict[str, str | None]:
    """Return an interpreter's versions of these distributions; None for a missing one."""
    answer = subprocess.run(
        [str(python), "-c", _VERSIONS_SCRIPT, *distributions],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str | None] = json.loads(answer.stdout)
    return found
