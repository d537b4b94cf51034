"""Instructions per request and message are held: they do not depend on the machine's load."""

from __future__ import annotations

import os
import platform
import shutil

import pytest

from benchmarks import instructions


def skip_or_fail(reason: str) -> None:
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


class TestInstructions:
    """User-space instructions per `hello` request and `ws` echo, under callgrind."""

    @pytest.mark.parametrize("workload", instructions.COUNTED)
    def test_recorded_figure_does_not_grow(self, workload: str) -> None:
        """An exchange takes at most 3 % more instructions than recorded.

        Where the growth is worth it: ``python -m benchmarks.instructions --record``.
        """
        recorded = instructions.recorded(workload)
        if recorded is None:
            pytest.skip(
                f"no {workload} is recorded for Python {platform.python_version()}: "
                f"run python -m benchmarks.instructions --workloads {workload} --record"
            )
        if shutil.which("valgrind") is None:
            skip_or_fail("valgrind is missing: apt install valgrind")
        counted = instructions.instructions_per_exchange(workload, instructions.our_command())
        assert counted <= recorded.instructions * (1 + instructions.ALLOWED_GROWTH)
