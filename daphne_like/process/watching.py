"""Watches directories for changes of source files, by watchfiles (the extra `reload`)."""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

PYTHON = "*.py"
MAX_NAMED = 3
"""Maximum number of changed files named in a log line."""
FORCE_POLLING = "WATCHFILES_FORCE_POLLING"
"""watchfiles' environment variable for file systems that report no changes."""


def require_watchfiles(option: str = "--reload") -> Any:
    """Import watchfiles.

    Args:
        option: what needs it, for the message.
    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise ConfigurationError(
            f"{option} needs watchfiles: pip install 'daphne-like[reload]'"
        ) from error
    return watchfiles


def is_installed() -> bool:
    """Tell whether watchfiles can be imported."""
    try:
        require_watchfiles()
    except ConfigurationError:
        return False
    return True


class SourceFiles:
    """The files whose changes matter: Python files, those included, without those excluded.

    A pattern is the name, the path below the watched directory or the absolute path of a file or
    of a directory, with the wildcards of `fnmatch`. That of a directory stands for all its files.

    Args:
        directories: the watched directories.
        include: patterns of files beside Python files.
        exclude: patterns of files that are left out.
    """

    def __init__(
        self, directories: Iterable[str], include: Iterable[str] = (), exclude: Iterable[str] = ()
    ) -> None:
        # The deepest directory first: a path is relative to the directory that is nearest to it.
        self._roots = sorted((_real(each) for each in directories), key=len, reverse=True)
        self._include = (PYTHON, *map(_without_slash, include))
        self._exclude = tuple(map(_without_slash, exclude))

    def __contains__(self, path: str) -> bool:
        names = list(self._names(path))
        return _any_matches(names, self._include) and not _any_matches(names, self._exclude)

    def shorten(self, path: str) -> str:
        """Return a path relative to its watched directory."""
        for root in self._roots:
            if path.startswith(os.path.join(root, "")):
                return os.path.relpath(path, root)
        return path

    def _names(self, path: str) -> Iterable[str]:
        """Yield what a pattern may name: the file, and the directories above it."""
        shown = self.shorten(path)
        while shown and shown != os.sep:
            yield shown
            shown, name = os.path.split(shown)
            yield name
        while path != os.path.dirname(path):
            yield path
            path = os.path.dirname(path)


def _real(directory: str) -> str:
    return os.path.realpath(directory)


def _without_slash(pattern: str) -> str:
    return os.path.normpath(pattern)


def _any_matches(names: Sequence[str], patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns for name in names)


class Watcher:
    """A thread that waits for changes.

    watchfiles collects changes that follow each other closely, as those of a `git checkout`, and it
    leaves out caches, virtual environments, version control and the temporary files of editors.

    Args:
        directories: the directories, with everything below them.
        files: the files that matter.
        changed: called in the thread with the sorted paths of changed files.
    Raises:
        ConfigurationError: watchfiles is not installed, or a directory does not exist.
    """

    def __init__(
        self,
        directories: Sequence[str],
        files: SourceFiles,
        changed: Callable[[list[str]], None],
    ) -> None:
        self._watchfiles = require_watchfiles()
        for directory in directories:
            if not os.path.isdir(directory):
                raise ConfigurationError(f"--reload-dir: {directory} is not a directory")
        self._directories = [_real(each) for each in directories]
        self._files = files
        self._changed = changed
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._run, name="daphne-like-watcher", daemon=True).start()

    def stop(self) -> None:
        """Watch no more; the thread ends soon."""
        self._stopped.set()

    def _run(self) -> None:
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts what we name
        ignored = self._watchfiles.DefaultFilter()
        try:
            for changes in self._watchfiles.watch(
                *self._directories,
                watch_filter=lambda change, path: ignored(change, path) and self._matters(path),
                stop_event=self._stopped,
                raise_interrupt=False,
            ):
                self._changed(sorted({path for _change, path in changes}))
        except Exception as error:  # noqa: BLE001 # the system's, or of the library
            log.error("Changes are not noticed any more: %s (%s=1 may help)", error, FORCE_POLLING)

    def _matters(self, path: str) -> bool:
        """Tell whether a file matters; a directory may arrive without a report of its files."""
        if not os.path.isdir(path):
            return path in self._files
        return any(
            os.path.join(folder, name) in self._files
            for folder, _folders, names in os.walk(path)
            for name in names
        )


def describe(paths: Sequence[str], files: SourceFiles) -> str:
    """Return which files have changed, for the log."""
    named = [files.shorten(path) for path in paths[:MAX_NAMED]]
    more = len(paths) - len(named)
    others = f" and {counted(more, 'other file')}" if more else ""
    return f"{', '.join(named)}{others} changed"
