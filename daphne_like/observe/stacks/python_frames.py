"""Describes one frame of an application. No method of an application's object is called."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from types import FrameType
from typing import Any

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUMBING = tuple(
    os.path.join(os.path.abspath(path), "")
    for path in {PACKAGE, *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))}
)
"""Directories without application code: Python, installed packages, this server."""

# Descriptors of `type` itself, whose results a metaclass cannot change.
_get_type_name = type.__dict__["__name__"].__get__
_get_type_module = type.__dict__["__module__"].__get__


def place(frame: FrameType, line: int | None = None) -> str:
    """Return one frame as `file:line in function: source line`."""
    file = frame.f_code.co_filename
    line = line or frame.f_lineno
    source = linecache.getline(file, line, frame.f_globals).strip()
    return f"{file}:{line} in {function(frame)}" + (f": {source}" if source else "")


def function(frame: FrameType) -> str:
    """Return the name of a frame's function; for a method, with the class of its object.

    That is the application's class, even if a framework's class defines the method.
    """
    kind = _find_class(frame)
    name = frame.f_code.co_name
    return name if kind is None else f"{_get_type_name(kind)}.{name}"


def is_own(frame: FrameType) -> bool:
    """Tell whether a frame belongs to the application, by its code or by its object's class."""
    if not _is_plumbing(frame.f_code.co_filename):
        return True
    kind = _find_class(frame)
    # The module name of a class may be any object if a metaclass made the class.
    module = None if kind is None else _get_type_module(kind)
    if type(module) is not str or module == "builtins":
        return False
    file = vars(sys.modules[module]).get("__file__") if module in sys.modules else None
    return type(file) is str and not _is_plumbing(file)


def local(frame: FrameType, name: str) -> Any:
    """Return a local variable; None if the frame does not have it."""
    return frame.f_locals.get(name)


def _is_plumbing(file: str) -> bool:
    return file.startswith(("<", *PLUMBING))


def _find_class(frame: FrameType) -> type | None:
    code = frame.f_code
    if not code.co_argcount or code.co_varnames[0] not in ("self", "cls"):
        return None
    value = local(frame, code.co_varnames[0])
    if value is None:
        return None
    return value if issubclass(type(value), type) else type(value)
