"""The quick chapters of the Autobahn test suite, on both reactors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance import cases, suite
from tests.conformance.problems import MissingError
from tests.conformance.running import is_explained, run
from tests.conformance.servers import OURS, REACTORS, server
from tests.conformance.suite import Suite

FOLDER = Path(__file__).parents[2] / ".conformance" / "suite"


@pytest.fixture(scope="module")
def autobahn() -> Suite:
    """The suite, installed when it is not there yet."""
    try:
        return suite.install(FOLDER, print)
    except MissingError as missing:
        if "CI" in os.environ:
            pytest.fail(str(missing))
        pytest.skip(str(missing))


OTHER_REACTOR = "1,2,5,7,10"
"""What depends on the transport; reserved bits, opcodes and UTF-8 are the same octets on both."""


@pytest.mark.parametrize("reactor", REACTORS)
def test_every_case_passes(autobahn: Suite, reactor: str, tmp_path: Path) -> None:
    """RFC 6455 as the suite reads it: every case is OK or INFORMATIONAL, no traceback is logged."""
    chosen = cases.select(cases.QUICK if reactor == REACTORS[0] else OTHER_REACTOR)
    ran = run(autobahn, server(OURS, reactor), chosen, tmp_path, tmp_path)
    assert len(ran.results) == sum(cases.CHAPTERS[cases.chapter_of(one)].cases for one in chosen)
    wrong = [str(one) for one in ran.results if not one.is_good and not is_explained(one)]
    assert not wrong, "\n\n".join(wrong)
    assert not ran.tracebacks, ran.tracebacks[0].read_text()
