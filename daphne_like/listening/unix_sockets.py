"""Abstract names, owner and group of UNIX sockets in endpoint strings and options.

The reactor decides whether a path is free to listen on (reactor/unix_path.py).
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.reactor_proxy import ReactorProxy

KEEP = -1
"""Leaves an id unchanged in os.chown."""


class Ownership(NamedTuple):
    """User and group that own the file of a socket."""

    user: int = KEEP
    group: int = KEEP


def ownership(owner: str | None, group: str | None) -> Ownership:
    """Look up a user and a group.

    Args:
        owner: name or number; None leaves the owner unchanged.
        group: name or number; None leaves the group unchanged.
    Raises:
        ConfigurationError: the name does not exist, or the system does not support it.
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
    """Tell whether an endpoint's address is `@name`, the usual spelling of an abstract name."""
    return address.startswith("@")


class UnixSocketReactor(ReactorProxy):
    """A reactor that supports `@name` and sets the owner of its UNIX socket files.

    Args:
        reactor: reactor that listens.
        owner: owner and group of the files.
    """

    def __init__(self, reactor: Any, owner: Ownership) -> None:
        super().__init__(reactor)
        self._owner = owner

    def listenUNIX(self, address: Any, factory: Any, *args: Any, **how: Any) -> Any:
        if is_abstract(address):
            if sys.platform != "linux":
                raise ConfigurationError(f"unix:{address}: abstract names exist on Linux alone")
            # An abstract name is not a file: it needs no lock and leaves nothing behind.
            how["wantPID"] = False
            return super().listenUNIX("\0" + address[1:], factory, *args, **how)
        port = super().listenUNIX(address, factory, *args, **how)
        if self._owner != Ownership():
            # The socket listens already, with its final mode. No client is served before the
            # event loop's next iteration.
            try:
                os.chown(address, *self._owner)
            except OSError as error:
                port.stopListening()
                raise ConfigurationError(
                    f"--unix-owner, --unix-group: {address} cannot be given away: {error.strerror}"
                )
        return port
