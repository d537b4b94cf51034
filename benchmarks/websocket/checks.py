"""Checks a contender's WebSockets before anything is measured."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.checks import WrongAnswerError, shown
from benchmarks.websocket.client import TIMEOUT_SECONDS, Client
from benchmarks.websocket.workloads import Exercise, WebSocketWorkload

MESSAGES = 3
"""More than one, because a compressed message may depend on the previous one."""


def check(port: int, workload: WebSocketWorkload) -> None:
    """Exchange messages over two connections, compare them, and close with a closing handshake.

    Raises:
        WrongAnswerError: the server does not do what the workload needs.
    """
    try:
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(port, workload)) for _ in range(2)]
            for place in range(MESSAGES):
                _exchange(clients, workload, place)
            for client in clients:
                client.close()
    except TimeoutError as error:
        raise WrongAnswerError(f"no answer within {TIMEOUT_SECONDS:g} s") from error
    except OSError as error:
        raise WrongAnswerError(f"{type(error).__name__}: {error}") from error


def connect(port: int, workload: WebSocketWorkload) -> Client:
    """Open a connection of a workload."""
    return Client(port, workload.target, workload.deflate)


def _exchange(clients: list[Client], workload: WebSocketWorkload, place: int) -> None:
    place %= len(workload.messages)
    broadcast = workload.exercise is Exercise.BROADCAST
    for client in clients[-1:] if broadcast else clients:
        client.send(workload.messages[place])
    for client in clients:
        expect(client, workload.answers[place])


def expect(client: Client, answer: str | bytes) -> None:
    """Receive a message and compare it.

    Raises:
        WrongAnswerError: another message arrived.
    """
    received = client.receive()
    if received != answer:
        raise WrongAnswerError(f"message: expected {shown(answer)}, got {shown(received)}")
