"""The scoreboard: one memory, two processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from daphne_like.process.scoreboard import (
    ENTRIES,
    FIELDS,
    Scoreboard,
    Snapshot,
    WorkerState,
    create_memory,
)


@pytest.fixture
def memory() -> Iterator[int]:
    """Return a descriptor of the memory."""
    descriptor = create_memory()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def board(memory: int) -> Scoreboard:
    """Return the supervisor's scoreboard."""
    return Scoreboard(memory)


def serve(board: Scoreboard, connections: int, beat: int = 10) -> None:
    """Let one more worker be ready."""
    entry = board.allocate()
    entry.beat(beat, 0)
    entry.set_connections(connections)
    entry.set_state(WorkerState.READY)


class TestEntries:
    """What a worker writes, the supervisor reads."""

    def test_two_mappings(self, memory: int, board: Scoreboard) -> None:
        """A worker maps a duplicate of the descriptor, and writes its entry alone."""
        first, entry = board.allocate(), board.allocate()
        inherited = os.dup(memory)
        theirs = Scoreboard(inherited).entry(entry.index)
        os.close(inherited)
        theirs.set_state(WorkerState.READY)
        theirs.beat(2**62, 7)
        theirs.set_connections(3)
        assert entry.read() == Snapshot(WorkerState.READY, 2**62, 3, 7)
        assert first.read() == Snapshot(WorkerState.FREE, 0, 0, 0)

    def test_the_memory_is_not_inherited_by_accident(self, memory: int) -> None:
        """Only workers get the descriptor."""
        assert not os.get_inheritable(memory)

    def test_each_process_has_its_own(self, board: Scoreboard) -> None:
        """There is an entry for as many processes as there is room, and then an error."""
        taken = {board.allocate().index for _ in range(ENTRIES)}
        assert taken == set(range(ENTRIES))
        with pytest.raises(IndexError):
            board.allocate()

    def test_an_entry_is_used_again(self, board: Scoreboard) -> None:
        """A new process finds nothing of the one before it."""
        entry = board.allocate()
        entry.set_state(WorkerState.READY)
        entry.beat(5, 6)
        entry.set_connections(7)
        board.free(entry)
        again = board.allocate()
        assert again.index == entry.index
        assert again.read() == Snapshot(WorkerState.FREE, 0, 0, 0)


class TestLeastConnections:
    """Which worker others compare with."""

    def test_nobody(self, board: Scoreboard) -> None:
        """Without a worker that is ready there is no least loaded one."""
        board.allocate().set_connections(3)
        assert board.least_connections(0) is None

    @pytest.mark.parametrize(
        "state", [WorkerState.FREE, WorkerState.STARTING, WorkerState.DRAINING]
    )
    def test_only_the_ready(self, board: Scoreboard, state: WorkerState) -> None:
        """A worker that does not accept yet, or no more, is not waited for."""
        other = board.allocate()
        other.beat(10, 0)
        other.set_state(state)
        for connections in (9, 5, 8):
            serve(board, connections)
        assert board.least_connections(0) == 5

    def test_only_those_that_beat(self, board: Scoreboard) -> None:
        """A worker whose event loop is blocked accepts nothing, so it is not waited for."""
        serve(board, 0, beat=10)
        serve(board, 50, beat=20)
        assert [board.least_connections(since) for since in (10, 11, 21)] == [0, 50, None]

    def test_a_free_entry_between(self, board: Scoreboard) -> None:
        """Entries behind the one of a process that has ended count as before."""
        first = board.allocate()
        serve(board, 4)
        board.free(first)
        assert board.least_connections(0) == 4

    def test_hostile_values(self, memory: int, board: Scoreboard) -> None:
        """A negative number would let the others wait for ever; a state that is none is ignored."""
        serve(board, 3)
        serve(board, -(2**63))
        assert board.least_connections(0) == 0
        numbers = memoryview(os.pread(memory, 8 * FIELDS, 0)).cast("q")
        assert numbers[0] == WorkerState.READY
        os.pwrite(memory, b"\xff" * 8, 8 * FIELDS)
        assert board.least_connections(0) == 3

    def test_all_bits_set(self, memory: int, board: Scoreboard) -> None:
        """An application has written over everything: nothing is raised, nobody waits."""
        entry = board.allocate()
        os.pwrite(memory, b"\xff" * (8 * FIELDS * ENTRIES), 0)
        assert entry.read() == Snapshot(-1, -1, -1, -1)
        assert board.least_connections(0) is None
