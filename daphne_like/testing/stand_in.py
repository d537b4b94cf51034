"""Lets `import daphne.testing` find `daphne_like.testing` if Daphne is not installed.

No other module of Daphne is replaced, and an installed Daphne is never hidden.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

PACKAGE, MODULE = "daphne", "daphne.testing"
NAMES = ("BaseDaphneTestingInstance", "DaphneProcess", "DaphneTestingInstance", "TestApplication")


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `daphne` and `daphne.testing`, as the last finder, if no other finder has found them.

    The package has no folder, so Django refuses it in INSTALLED_APPS. It has no metadata, so
    `importlib.metadata` reports that Daphne is not installed.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == PACKAGE:
            return importlib.machinery.ModuleSpec(PACKAGE, self, is_package=True)
        if fullname == MODULE:
            spec = getattr(sys.modules.get(PACKAGE), "__spec__", None)
            if spec is not None and spec.loader is self:  # not below a real Daphne
                return importlib.machinery.ModuleSpec(MODULE, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == PACKAGE:
            module.__doc__ = "daphne_like's stand-in for Daphne, which is not installed."
            return
        # Not imported by name: process.py and running.py import this module, and are in turn what
        # the package imports when one of these names is asked for.
        testing = sys.modules[__package__]
        module.__doc__ = testing.__doc__
        for name in NAMES:
            setattr(module, name, getattr(testing, name))


def stand_in_for_daphne() -> None:
    """Make `channels.testing` importable if Daphne is not installed.

    From now on `import daphne.testing` finds `daphne_like.testing`, in this process and in the
    servers that it starts. A real Daphne takes precedence, even if it is installed later. Further
    calls have no effect.
    """
    if not stands_in():
        sys.meta_path.append(StandIn())


def stands_in() -> bool:
    """Tell whether `stand_in_for_daphne` was called in this process."""
    return any(isinstance(finder, StandIn) for finder in sys.meta_path)
