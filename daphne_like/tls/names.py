"""A handshake in which the client's name chooses the certificate, whatever octets that name has."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any


def shake_hands(tls: ssl.SSLObject) -> None:
    """Go on with a handshake; a name that is not ASCII ends it with an alert (RFC 6066, 3).

    Raises:
        ssl.SSLError: as `do_handshake` has it; with the reason CALLBACK_FAILED for such a name.
    """
    if tls.context.sni_callback is None:
        tls.do_handshake()
        return
    # Python (3.10 to 3.14) decodes the name before it calls our function, and prints a traceback
    # past all logging if that fails: any peer could fill standard error with it.
    before = sys.unraisablehook
    sys.unraisablehook = _Others(before)
    try:
        tls.do_handshake()
    finally:
        sys.unraisablehook = before


class _Others:
    """Hands on to another hook what is not about a name.

    Args:
        hook: that was there.
    """

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        # Another thread may shake hands, too: they do not pile up.
        self._hook: Callable[[Any], Any] = hook._hook if isinstance(hook, _Others) else hook

    def __call__(self, unraisable: Any) -> None:
        is_name = isinstance(unraisable.object, bytes)
        if not (is_name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._hook(unraisable)
