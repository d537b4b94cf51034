"""What a test needs from outside: without it the test is skipped, but on CI it fails."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest


def module(name: str) -> Any:
    """The module, imported."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _missing(f"{name} is missing: install it with `pip install {name}`.")


def program(name: str, package: str) -> str:
    """The program's path; Debian has servers where only root looks for programs."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    return path or _missing(f"{name} is missing: install it with `apt-get install {package}`.")


def _missing(sentence: str) -> Any:
    if "CI" in os.environ:
        pytest.fail(sentence)
    pytest.skip(sentence, allow_module_level=True)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Ask until the answer is true; that answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
