"""Handshakes with a server name from the client, which may hold any octets."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any


def shake_hands(tls: ssl.SSLObject) -> None:
    """Continue a handshake; end it with an alert if the name is not ASCII (RFC 6066, 3).

    Raises:
        ssl.SSLError: the error of `do_handshake`; its reason is CALLBACK_FAILED for such a name.
    """
    if tls.context.sni_callback is None:
        tls.do_handshake()
        return
    # Python (3.10 to 3.14) decodes the name before it calls the callback. If that fails, it prints
    # a traceback to standard error, past all logging, so any peer could fill standard error.
    before = sys.unraisablehook
    sys.unraisablehook = _Others(before)
    try:
        tls.do_handshake()
    finally:
        sys.unraisablehook = before


class _Others:
    """Ignores errors that concern a server name and passes all others to another hook.

    Args:
        hook: the previous hook.
    """

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        # Another thread may be in a handshake too: do not wrap its hook in this one.
        self._hook: Callable[[Any], Any] = hook._hook if isinstance(hook, _Others) else hook

    def __call__(self, unraisable: Any) -> None:
        is_name = isinstance(unraisable.object, bytes)
        if not (is_name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._hook(unraisable)
