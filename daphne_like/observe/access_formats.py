"""The formats of the access log, compiled once: an entry goes in, a line comes out.

A format of one's own is written with gunicorn's atoms. Each atom becomes a getter, and the text
between them a template.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.observe.access_entry import Entry
from daphne_like.wording import escaped

Getter = Callable[[Entry], Any]
Line = Callable[[Entry], str]

DAPHNE, COMBINED, JSON = "daphne", "combined", "json"
COMBINED_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
PIECE = re.compile(
    r"%\((?:\{(?P<name>[^{}]+)\}(?P<kind>[ioe])|(?P<atom>\w+))\)(?P<width>-?\d*)(?P<as>[sd])|%%"
)
SECRETS = ("authorization", "cookie", "proxy-authorization", "set-cookie")
"""Fields that no line may contain."""
NUMBERS = ("B", "D", "M", "T")
"""Atoms that are always whole numbers, so that `%(D)d` is possible."""


def stamp(seconds: float) -> str:
    """Return a time in NCSA's form, with the offset from UTC."""
    return time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(seconds))


def field(entry: Entry, name: bytes) -> str:
    """Return the values of a request's field, escaped; a dash if it is absent."""
    found = [value for other, value in entry.fields if other == name]
    return quoted(b", ".join(found).decode("latin-1")) if found else "-"


def response_field(entry: Entry, name: bytes) -> str:
    """Return the values of a response's field, escaped; a dash if it is absent."""
    found = []
    for line in entry.lines:
        other, _, value = line.partition(b":")
        if other.lower() == name:
            found.append(value.strip())
    return quoted(b", ".join(found).decode("latin-1")) if found else "-"


def quoted(text: str) -> str:
    r"""Return text that can stand between quotation marks: `"` becomes `\"` (S06)."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def _identity(entry: Entry, index: int) -> str:
    return (entry.identity[index] if entry.identity is not None else "") or "-"


def _request_line(entry: Entry) -> str:
    return f"{entry.method} {quoted(entry.target_text)} {_protocol(entry)}"


def _protocol(entry: Entry) -> str:
    return f"HTTP/{entry.version}" if entry.version else "-"


def _size(entry: Entry) -> str:
    return str(entry.size or "-")  # as in Apache's log: a dash instead of 0


def _seconds(entry: Entry, factor: int) -> int:
    return int((entry.seconds or 0) * factor)


def _queue_time(entry: Entry) -> str:
    return "-" if entry.queue_time is None else f"{entry.queue_time:.6f}"


ATOMS: dict[str, Getter] = {
    "h": lambda entry: entry.host,
    "l": lambda _entry: "-",
    "u": lambda _entry: "-",
    "t": lambda entry: stamp(entry.time),
    "r": _request_line,
    "m": lambda entry: entry.method,
    "U": lambda entry: quoted(entry.target_text.partition("?")[0]),
    "q": lambda entry: quoted(entry.target_text.partition("?")[2]),
    "H": _protocol,
    "s": lambda entry: entry.status or "-",
    "B": lambda entry: entry.size or 0,
    "b": _size,
    "f": lambda entry: field(entry, b"referer"),
    "a": lambda entry: field(entry, b"user-agent"),
    "T": lambda entry: _seconds(entry, 1),
    "M": lambda entry: _seconds(entry, 1000),
    "D": lambda entry: _seconds(entry, 1000000),
    "L": lambda entry: f"{entry.seconds or 0:.6f}",
    "p": lambda _entry: f"<{os.getpid()}>",
    "queue_time": _queue_time,
    "request_id": lambda entry: _identity(entry, 0),
    "trace_id": lambda entry: _identity(entry, 1),
    "span_id": lambda entry: _identity(entry, 2),
}
"""gunicorn's atoms with its meanings, and four others."""


def compile_format(text: str) -> Line:
    """Return a function that writes an entry in a format with gunicorn's atoms.

    Raises:
        ConfigurationError: an atom is not known, or would write a password or a cookie.
    """
    template: list[str] = []
    getters: list[Getter] = []
    end = 0
    for found in PIECE.finditer(text):
        template.append(_plain(text[end : found.start()]))
        end = found.end()
        if found[0] == "%%":
            template.append("%%")
        else:
            template.append(f"%{found['width']}{found['as']}")
            getters.append(_getter(found))
    template.append(_plain(text[end:]))
    whole = "".join(template)
    taken = tuple(getters)
    return lambda entry: whole % tuple([get(entry) for get in taken])


def _plain(text: str) -> str:
    if "%" in text:
        rest = text[text.index("%") :]
        raise ConfigurationError(
            f"--access-log-format: expected an atom such as %(h)s or %({{referer}}i)s, "
            f"got {rest[:20]!r}"
        )
    return text


def _getter(found: re.Match[str]) -> Getter:
    """Return the getter of an atom."""
    atom, name, whole = found["atom"], found["name"], found[0]
    if atom is not None:
        getter = ATOMS.get(atom)
        if getter is None:
            raise ConfigurationError(
                f"--access-log-format: there is no atom {whole}; there are "
                f"{' '.join(ATOMS)} and {{name}}i {{name}}o {{name}}e"
            )
    elif found["kind"] == "e":
        return lambda _entry: quoted(os.environ.get(name, "-"))
    elif name.lower() in SECRETS:
        raise ConfigurationError(f"--access-log-format: {whole} would write a secret into the log")
    else:
        octets = name.lower().encode("latin-1", "replace")
        look_up = field if found["kind"] == "i" else response_field
        getter = lambda entry: look_up(entry, octets)  # noqa: E731 # one of two forms
    if found["as"] == "d" and atom not in NUMBERS:
        raise ConfigurationError(
            f"--access-log-format: {whole} is text, so it ends with s instead of d"
        )
    return getter


def needs_fields(text: str) -> bool:
    """Tell whether a format reads fields of requests or responses."""
    return any(
        found["name"] is not None or found["atom"] in ("f", "a") for found in PIECE.finditer(text)
    )


def needs_identity(text: str) -> bool:
    """Tell whether a format has one of the ids of a request."""
    return any(
        found["atom"] in ("request_id", "trace_id", "span_id") for found in PIECE.finditer(text)
    )
