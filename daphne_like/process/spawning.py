"""Starts a worker process: command line, environment and descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.process.control import ControlProtocol
from daphne_like.process.descriptors import VARIABLE, WorkerDescriptors
from daphne_like.process.group_signals import held_back

MODULE = "daphne_like.process.worker"


@dataclass(frozen=True)
class Inheritance:
    """The sockets that workers inherit.

    Attributes:
        sockets: descriptors of listening sockets, in the order in which the endpoints listen.
        kept: the number that an endpoint string names -> the descriptor of the same socket, which a
            worker inherits under that number.
    """

    sockets: Sequence[int]
    kept: Mapping[int, int]


def command_line(words: Sequence[str]) -> list[str]:
    """Return the command line of a worker, with the options of this interpreter."""
    # Not public, but the same since Python 3.2; multiprocessing uses it for the same purpose.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-m", MODULE, *words]


def working_directory() -> str:
    """Return the present directory, by the name in $PWD if that is another name for it.

    A deployment often changes a symbolic link to the current release. $PWD names the link, so new
    workers start in the new release.
    """
    present, path = os.getcwd(), os.environ.get("PWD", "")
    try:
        return path if os.path.isabs(path) and os.path.samefile(path, present) else present
    except OSError:
        return present


def enter_directory(path: str) -> None:
    """Change to the directory of the present release.

    Args:
        path: may contain a symbolic link that has changed since the supervisor started.
    Raises:
        ConfigurationError: there is no such directory any more.
    """
    try:
        os.chdir(path)
    except OSError as error:
        raise ConfigurationError(f"The working directory {path}: {error.strerror}")


def spawn(
    reactor: Any,
    protocol: Any,
    control: ControlProtocol,
    words: Sequence[str],
    inheritance: Inheritance,
    scoreboard: int,
    entry: int,
    *,
    captures_output: bool = False,
) -> tuple[Any, int]:
    """Start a worker.

    Args:
        reactor: the supervisor's reactor.
        protocol: ProcessProtocol of the worker.
        control: the supervisor's end of the control channel.
        words: arguments of the worker.
        inheritance: the sockets.
        scoreboard: descriptor of the scoreboard.
        entry: the worker's entry on it.
        captures_output: the protocol receives what the worker prints.
    Returns:
        The IProcessTransport, and the descriptor from which it receives stacks.
    Raises:
        OSError: no process or no descriptor is left.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        numbers = WorkerDescriptors.choose(
            sorted(inheritance.kept), len(inheritance.sockets), entry
        )
        out, err = ("r", "r") if captures_output else (1, 2)
        child: dict[int, Any] = {0: 0, 1: out, 2: err}
        child |= inheritance.kept
        child |= dict(zip(numbers.sockets, inheritance.sockets, strict=True))
        child |= {
            numbers.control: theirs.fileno(),
            numbers.scoreboard: scoreboard,
            numbers.stacks: "r",
        }
        with held_back():
            transport = reactor.spawnProcess(
                protocol,
                sys.executable,
                command_line(words),
                env={**os.environ, VARIABLE: numbers.to_text()},
                path=None,
                childFDs=child,
            )
        reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Factory(control))
    return transport, numbers.stacks


class _Factory:
    """A factory, as adoptStreamConnection needs one, for a protocol that exists."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, _address: Any) -> Any:
        return self._protocol
