"""The table of a response's states, and the place that refuses messages."""

from __future__ import annotations

from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError
from daphne_like.http.response_state import (
    CLOSED,
    COMPLETE,
    REFUSED,
    SENDING_BODY,
    START,
    TRANSITIONS,
    ResponseState,
    check_message,
)
from tests.support.response_states import CheckedState


class TestTransitions:
    """Which state may follow which."""

    def test_every_state_has_its_successors(self) -> None:
        """The table is complete, and nothing leads out of a response that has ended."""
        assert set(TRANSITIONS) == set(ResponseState)
        assert TRANSITIONS[COMPLETE] == ()
        assert set(TRANSITIONS[CLOSED]) == {CLOSED}

    def test_every_open_response_may_be_given_up(self) -> None:
        """A peer can go at any time."""
        assert all(CLOSED in TRANSITIONS[state] for state in ResponseState if state is not COMPLETE)

    def test_wrong_transition_is_recorded(self) -> None:
        """The check that all tests run under sees a transition that the table lacks."""

        class Checked:
            state: Any = CheckedState()

        exchange = Checked()
        exchange.state = COMPLETE
        exchange.state = SENDING_BODY
        assert exchange.state is SENDING_BODY
        assert Checked.__dict__["state"].wrong == ["COMPLETE to SENDING_BODY"]


class TestMessages:
    """Which message is refused in which state."""

    @pytest.mark.parametrize(
        ("kind", "state"), [(kind, state) for kind, states in REFUSED.items() for state in states]
    )
    def test_refused(self, kind: str, state: ResponseState) -> None:
        """A refusal is the application's error and names the message."""
        with pytest.raises(ApplicationError, match=kind):
            check_message(kind, state)

    def test_taken(self) -> None:
        """A message that its state allows is not refused, nor one that the table does not know."""
        for state in ResponseState:
            check_message("http.response.debug", state)
        check_message(START, ResponseState.AWAITING_START)
