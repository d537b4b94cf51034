"""Real servers for tests: the names of `daphne.testing`, a test case for Django, a substitute.

Importing this package installs no reactor and imports neither Twisted nor Django, because each name
is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from daphne_like.testing.stand_in import stand_in_for_daphne

if TYPE_CHECKING:
    from daphne_like.testing.application import TestApplication as TestApplication
    from daphne_like.testing.instance import (
        BaseDaphneTestingInstance as BaseDaphneTestingInstance,
    )
    from daphne_like.testing.instance import DaphneTestingInstance as DaphneTestingInstance
    from daphne_like.testing.live import ASGILiveServerTestCase as ASGILiveServerTestCase
    from daphne_like.testing.process import DaphneProcess as DaphneProcess
    from daphne_like.testing.running import DidNotStart as DidNotStart
    from daphne_like.testing.running import RunningServer as RunningServer

WHERE = {
    "ASGILiveServerTestCase": "live",
    "BaseDaphneTestingInstance": "instance",
    "DaphneProcess": "process",
    "DaphneTestingInstance": "instance",
    "DidNotStart": "running",
    "RunningServer": "running",
    "TestApplication": "application",
}
"""Public name -> the module of this package that defines it."""

__all__ = [  # noqa: PLE0604, RUF100 # names that __getattr__ finds
    "ASGILiveServerTestCase",
    "BaseDaphneTestingInstance",
    "DaphneProcess",
    "DaphneTestingInstance",
    "DidNotStart",
    "RunningServer",
    "TestApplication",
    "stand_in_for_daphne",
]


def __getattr__(name: str) -> Any:
    module = WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
