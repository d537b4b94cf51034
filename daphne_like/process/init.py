"""Process 1 of a container: passes signals on to the server, and reaps orphans.

The kernel has no default action for the signals of process 1, and makes it the parent of all
processes whose own parent has ended. Process 1 must reap these. The server could not do so itself:
it cannot distinguish them from the children of the application, and whoever reaps such a child
takes its exit status away from `subprocess` or asyncio. So the server runs in a child process, as
it would under `docker run --init`.

This module is loaded first, and imports little, because process 1 keeps what it has loaded.
"""

from __future__ import annotations

import os
import signal
import sys

SI_KERNEL = 0x80  # asm-generic/siginfo.h
"""The origin of a signal that a terminal has sent to its whole process group."""
NAME = "daphne-init"
OF_PROCESS_1 = ("LISTEN_PID", "WATCHDOG_PID")
"""Variables with which systemd's protocols name the process that they address."""


def serve_in_child() -> None:
    """Return in a child process if this is process 1, otherwise at once; Linux only.

    Process 1 itself never returns. It ends with the child's exit status, or with 128 and the
    number of the signal that has killed the child; then the kernel kills all other processes of
    the container.
    """
    if sys.platform != "linux" or os.getpid() != 1:
        return
    # A blocked signal waits, even if it comes before the child exists.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    server = os.fork()
    if server == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for name in OF_PROCESS_1:
            if os.environ.get(name) == "1":
                os.environ[name] = str(os.getpid())
        return
    _close_descriptors()
    _set_name()
    os._exit(_watch(server))


def _watch(server: int) -> int:
    """Pass on signals until the server has ended, and return the exit status."""
    while True:
        received = signal.sigwaitinfo(signal.valid_signals())
        if received.si_signo == signal.SIGCHLD:
            status = _reap(server)
            if status is not None:
                return status
        elif received.si_code != SI_KERNEL:  # the server has got the terminal's signal as well
            os.kill(server, received.si_signo)


def _reap(server: int) -> int | None:
    """Reap all processes that have ended; return the server's exit status if it is among them."""
    found = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if process == 0:
            return found
        if process == server:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _close_descriptors() -> None:
    """Close inherited sockets, which would otherwise listen after the server has closed them."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself


def _set_name() -> None:
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(NAME)
    except OSError:
        pass  # a read-only /proc; only lists of processes show the name
