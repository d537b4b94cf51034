"""Makes the stacks that faulthandler writes readable in a log."""

from __future__ import annotations

import re

FATAL = re.compile(r"\AFatal Python error: .*\n\n")
THREAD = re.compile(r"(?m)^(?=(?:Current thread|Thread|Stack of) )")
OWN_THREADS = ("observe/watchdog.py", "process/parent_death.py")
"""Modules of this package that run threads of their own, which say nothing about the application.
"""
OWN_FRAMES = ("<frozen runpy>", "daphne_like/process/worker.py", "daphne_like/launch/command.py",
              "daphne_like/process/main_loop.py", "daphne_like/server.py",
              "twisted/internet/asyncioreactor.py")  # fmt: skip
"""Files of frames below every application, which are left out."""


def readable(text: str) -> str:
    """Return the stacks of a process, the current thread first.

    The threads of this package and the frames below every application are left out, unless nothing
    else remains.

    Args:
        text: as faulthandler has written it.
    """
    body = FATAL.sub("", text).partition("\nExtension modules: ")[0]
    head, *threads = THREAD.split(body)
    shown = [
        thread for thread in threads if not any(module in thread for module in OWN_THREADS)
    ] or threads
    shown.sort(key=lambda thread: not thread.startswith("Current"))
    return "\n".join(filter(None, [head.strip(), *map(_without_own_frames, shown)]))


def _without_own_frames(thread: str) -> str:
    lines = thread.strip().splitlines()
    kept = [line for line in lines if not any(f'{file}"' in line for file in OWN_FRAMES)]
    return "\n".join(kept if len(kept) > 1 else lines)
