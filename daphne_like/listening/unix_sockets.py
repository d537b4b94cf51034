"""UNIX sockets as endpoint strings and options name them: abstract names, mode, owner and group.

Whether a path is free to listen on is the reactor's business (reactor/unix_path.py).
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.reactor_proxy import ReactorProxy

KEEP = -1
"""For os.chown: this one stays."""


class Ownership(NamedTuple):
    """Whom the file of a socket is given to."""

    user: int = KEEP
    group: int = KEEP


def ownership(owner: str | None, group: str | None) -> Ownership:
    """Look up a user and a group.

    Args:
        owner: name or number; None to change nothing.
        group: the same.
    Raises:
        ConfigurationError: there is none of that name, or not on this system.
    """
    if owner is None and group is None:
        return Ownership()
    try:
        import grp
        import pwd
    except ImportError:
        raise ConfigurationError("--unix-owner and --unix-group: not on this system")
    user_id = group_id = KEEP
    if owner is not None:
        try:
            user_id = int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
        except KeyError:
            raise ConfigurationError(f"--unix-owner: there is no user {owner!r}")
    if group is not None:
        try:
            group_id = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigurationError(f"--unix-group: there is no group {group!r}")
    return Ownership(user_id, group_id)


def is_abstract(address: str) -> bool:
    """Whether the address in an endpoint string is `@name`, the usual spelling of Linux's."""
    return address.startswith("@")


class UnixSocketReactor(ReactorProxy):
    """A reactor that knows `@name`, and gives the files of its UNIX sockets away.

    Args:
        reactor: that listens.
        owner: of the files.
    """

    def __init__(self, reactor: Any, owner: Ownership) -> None:
        super().__init__(reactor)
        self._owner = owner

    def listenUNIX(self, address: Any, factory: Any, *args: Any, **how: Any) -> Any:
        if is_abstract(address):
            if sys.platform != "linux":
                raise ConfigurationError(f"unix:{address}: abstract names exist on Linux alone")
            # It is no file: there is nothing to lock, or to be left behind.
            how["wantPID"] = False
            return super().listenUNIX("\0" + address[1:], factory, *args, **how)
        port = super().listenUNIX(address, factory, *args, **how)
        if self._owner != Ownership():
            # It listens already, with the mode it is to have. Nobody is served before the event
            # loop's next turn.
            try:
                os.chown(address, *self._owner)
            except OSError as error:
                port.stopListening()
                raise ConfigurationError(
                    f"--unix-owner, --unix-group: {address} cannot be given away: {error.strerror}"
                )
        return port
