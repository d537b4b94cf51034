"""Holds the responses of a test to the table of states."""

from __future__ import annotations

from daphne_like.http.exchange import Exchange
from daphne_like.http.response_state import TRANSITIONS, ResponseState


class CheckedState:
    """A descriptor for `Exchange.state` that records each transition that TRANSITIONS lacks."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def __get__(self, exchange: Exchange, _owner: type[Exchange]) -> ResponseState:
        state: ResponseState = exchange.__dict__["state"]
        return state

    def __set__(self, exchange: Exchange, state: ResponseState) -> None:
        before = exchange.__dict__.get("state")
        if before is not None and state not in TRANSITIONS[before]:
            self.wrong.append(f"{before.name} to {state.name}")
        exchange.__dict__["state"] = state
