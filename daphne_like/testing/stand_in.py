"""Lets `import daphne.testing` find ours where Daphne is not installed.

Nothing else of Daphne is stood in for, and a Daphne that is installed is never hidden.
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
    """Finds `daphne` and `daphne.testing`, when asked last of all finders, and no one had them.

    The package has no folder, so Django refuses it in INSTALLED_APPS, and no metadata, so
    `importlib.metadata` says that Daphne is not installed.
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
    """Let `channels.testing` be imported where Daphne is not installed.

    From now on `daphne.testing` is ours in this process, and in the servers that it starts,
    unless a real Daphne can be imported: that one wins, also if it is installed later. Calling
    it twice is calling it once.
    """
    if not stands_in():
        sys.meta_path.append(StandIn())


def stands_in() -> bool:
    """Whether `stand_in_for_daphne` was called in this process."""
    return any(isinstance(finder, StandIn) for finder in sys.meta_path)
