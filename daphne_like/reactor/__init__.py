"""The native Twisted reactor: listens and reads through the event loop's own transports.

Only this module changes the process's reactor and its current event loop.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from daphne_like.exceptions import ConfigurationError

if TYPE_CHECKING:
    from daphne_like.reactor.core import NativeReactor

__all__ = ["adopt", "install", "new_event_loop", "reinstall", "require"]

WAYS_OUT = (
    "call daphne_like.reactor.install() before anything imports twisted.internet.reactor, "
    "or install twisted.internet.asyncioreactor yourself"
)

_inherited: list[Any] = []
"""Reactors of parent processes; kept alive, because destroying one would affect the parent's."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Create a uvloop event loop, or asyncio's where uvloop does not exist (Windows, PyPy)."""
    try:
        import uvloop
    except ImportError:
        # Twisted watches file descriptors, which Windows' default, the proactor, cannot do.
        return asyncio.SelectorEventLoop()
    return uvloop.new_event_loop()


def install(loop: asyncio.AbstractEventLoop | None = None) -> NativeReactor:
    """Install the native reactor as the process's reactor and its loop as the current one.

    If the native reactor is installed already, do nothing.

    Args:
        loop: an event loop that is not running yet; a new one by default.
    Returns:
        The process's reactor.
    Raises:
        ConfigurationError: another reactor is installed already.
    """
    from daphne_like.reactor.core import NativeReactor

    installed = sys.modules.get("twisted.internet.reactor")
    if installed is not None:
        if isinstance(installed, NativeReactor):
            return installed
        raise ConfigurationError(
            f"{type(installed).__name__} is installed as Twisted's reactor already: {WAYS_OUT}"
        )
    from twisted.internet.main import installReactor

    reactor = NativeReactor(loop or new_event_loop())
    asyncio.set_event_loop(reactor.loop)
    installReactor(reactor)
    return reactor


def adopt(loop: asyncio.AbstractEventLoop) -> Any:
    """Return the process's reactor on a running event loop; install one if necessary.

    The reactor is running when this returns, and runs as long as the loop. The program ends the
    loop, not the reactor. A reactor that was adopted on a loop that is now closed is replaced.

    Raises:
        ConfigurationError: the installed reactor does not run on an asyncio event loop, or runs
            on another one.
    """
    from twisted.internet.main import installReactor

    from daphne_like.reactor.core import AdoptedReactor

    installed: Any = sys.modules.get("twisted.internet.reactor")
    if installed is not None:
        its_loop = event_loop(installed)
        if its_loop is loop:
            return installed
        if not (isinstance(installed, AdoptedReactor) and its_loop.is_closed()):
            raise ConfigurationError(
                f"{type(installed).__name__} is installed as Twisted's reactor already, on another "
                "event loop than the one that runs"
            )
        del sys.modules["twisted.internet.reactor"]
    reactor = AdoptedReactor(loop)
    installReactor(reactor)
    reactor.startRunning(installSignalHandlers=False)
    if installed is not None:
        installed.waker.connectionLost(None)  # closes its descriptors
        _rebind(installed, reactor)
    return reactor


def reinstall() -> NativeReactor:
    """Replace the reactor that a forked child has inherited, running or not, by a new one.

    Call it only in a child process, in its main thread. The parent's reactor is neither stopped
    nor closed, because its epoll or kqueue descriptor is shared with the parent.

    Returns:
        The child's reactor, on a new event loop.
    """
    inherited = sys.modules.pop("twisted.internet.reactor", None)
    # Through the inherited descriptor each of the child's signals would wake the parent. Python
    # itself forgets in a forked child that a loop ran in this thread.
    signal.set_wakeup_fd(-1)
    reactor = install()
    if inherited is not None:
        _inherited.append(inherited)
        _rebind(inherited, reactor)
    return reactor


def _rebind(before: object, now: object) -> None:
    """Replace the reactor in modules that did `from twisted.internet import reactor`."""
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is before:
                setattr(module, name, now)


def require() -> None:
    """Install the native reactor unless the process has a reactor on an asyncio loop already.

    Raises:
        ConfigurationError: the process's reactor does not run on an asyncio event loop.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is None:
        install()
        return
    event_loop(installed)


def event_loop(reactor: object) -> asyncio.AbstractEventLoop:
    """Return the asyncio event loop of a reactor.

    Raises:
        ConfigurationError: the reactor does not run on an asyncio event loop.
    """
    # Twisted has no public accessor for the loop (twisted 26.10); its private name is read only
    # here.
    loop = getattr(reactor, "_asyncioEventloop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise ConfigurationError(
            f"{type(reactor).__name__} does not run on an asyncio event loop: {WAYS_OUT}"
        )
    return loop
