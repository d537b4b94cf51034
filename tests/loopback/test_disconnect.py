"""Consumers of Channels whose `disconnect` hangs: named, ended, and nobody else notices."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import needed
from tests.support.needed import until
from tests.support.real_server import TRACEBACK, Running

websockets = needed.module("websockets")
needed.module("channels")

APPLICATION = "leaving.asgi:application"
SETTINGS = ["--application-close-timeout", "1", "--graceful-timeout", "0"]
SLEEPS = r"asgi\.py:\d+: await asyncio\.sleep\(3600\)"
BLOCKS = r"asgi\.py:\d+: time\.sleep\(3600\)"
HANGING = 20
ECHOES = 200

Start = Callable[..., Running]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """One server: what hangs in one test must not harm the next."""
    server = Running("-p", "0", *SETTINGS, APPLICATION).wait_until_ready()
    yield server
    server.process.kill()  # its stop takes its time, and is not what is tested with it
    log = server.stop()
    assert TRACEBACK not in log, log


def url(server: Running, consumer: str, room: str = "a") -> str:
    return f"ws://127.0.0.1:{server.port}/{consumer}/{room}"


def leave(server: Running, consumer: str, room: str = "a") -> None:
    """Connect, and be gone."""

    async def come_and_go() -> None:
        async with websockets.connect(url(server, consumer, room)):
            pass

    asyncio.run(come_and_go())


def warning(server: Running, consumer: str, place: str, room: str = "a") -> str:
    """Leave, and wait for the first line of the warning."""
    leave(server, consumer, room)
    return server.wait_for(
        rf"WARNING  \[\d+ 127.0.0.1:\d+\] Application for WebSocket '/{consumer}/{room}' "
        rf"still runs [12] seconds? after its peer has gone; cancelling it; {place}\n"
    )[0]


class TestWarning:
    """The warning names consumer, path, age and the line where it is stuck."""

    def test_sleep_for_ever(self, running: Running) -> None:
        """The innermost line of the consumer itself, though asyncio.sleep waits further in."""
        warning(running, "sleeping", rf"Sleeping\.hold waits at \S+{SLEEPS}")

    def test_whole_stack_follows(self, running: Running) -> None:
        """Below it the whole way, from Channels' router to the innermost."""
        warning(running, "sleeping", r"Sleeping\.hold .+", "stack")
        stack = running.log.split("/sleeping/stack' still runs", 1)[1]
        functions = re.findall(r"(?m)^  \S+:\d+ in (\S+?):", stack)
        expected = ["Sleeping.websocket_disconnect", "Sleeping.disconnect", "Sleeping.hold"]
        assert [name for name in functions if name in expected][:3] == expected

    def test_method_of_a_framework(self, running: Running) -> None:
        """Where Channels' own method hangs, the class is the person's."""
        warning(running, "inherited", r"Layer\.group_discard waits at .+", "b")
        assert "in Inherited.websocket_disconnect: await" in running.log

    def test_gather(self, running: Running) -> None:
        """Through tasks, when one alone is not done."""
        warning(running, "gathering", rf"Gathering\.hold waits at \S+{SLEEPS}")

    @pytest.mark.parametrize("consumer", ["InAThread", "InExecutor"])
    def test_blocked_thread(self, running: Running, consumer: str) -> None:
        """sync_to_async and run_in_executor: the line in the thread, and that it stays."""
        told = f"{consumer}.hold, in a thread, which cannot be cancelled, waits at "
        warning(running, consumer.lower(), rf"{re.escape(told)}\S+{BLOCKS}")

    def test_two_warnings_at_most(self, running: Running) -> None:
        """A second one when it survives cancelling; then silence, and it is cancelled on."""
        leave(running, "stubborn", "twice")
        running.wait_for("(?s)" + ".*".join(["stubborn goes on"] * 4), 10)
        lines = re.findall(r"/stubborn/twice' still runs .+? gone; ([^;\n]+)", running.log)
        assert lines == ["cancelling it", "it was cancelled but still runs"]

    def test_one_that_takes_long_is_left_alone(self, running: Running) -> None:
        """Less than --application-close-timeout, and no word of it."""
        leave(running, "slow")
        running.wait_for("slow has left")
        assert "/slow/a' still runs" not in running.log


class TestOthers:
    """A consumer that hangs delays nothing else."""

    def test_echoes_go_on(self, running: Running) -> None:
        """While twenty disconnects hang, another socket's echoes take as long as ever."""

        async def echo() -> float:
            async with websockets.connect(url(running, "echo")) as socket:
                slowest = 0.0
                for number in range(ECHOES):
                    began = time.monotonic()
                    await socket.send(str(number))
                    assert await socket.recv() == str(number)
                    slowest = max(slowest, time.monotonic() - began)
                return slowest

        async def everything() -> float:
            for number in range(HANGING):
                async with websockets.connect(url(running, "sleeping", f"n{number}")):
                    pass
            return await asyncio.wait_for(echo(), 20)

        assert asyncio.run(everything()) < 1
        for number in range(HANGING):
            running.wait_for(f"/sleeping/n{number}' still runs [12] seconds? ")


class TestSyncConsumer:
    """asgiref runs all sensitive code in one thread, which a consumer can block."""

    def test_those_behind_go_on(self, server: Start) -> None:
        """Who waits for the thread is served when a new one has taken over, and later ones too."""
        running = server(APPLICATION, *SETTINGS)
        leave(running, "blocking")

        async def echo() -> None:
            async with websockets.connect(url(running, "echo"), open_timeout=20) as socket:
                await socket.send("a")
                assert await socket.recv() == "a"

        async def everything() -> None:
            await asyncio.gather(*(echo() for _ in range(5)))

        asyncio.run(everything())  # its consumers ask for the thread before each message
        blocks = r"Blocking\.disconnect, in a thread, which cannot be cancelled, waits at \S+"
        running.wait_for(blocks + BLOCKS)
        running.wait_for("WebSocket '/blocking/a' blocks the thread .+ a new one takes over")
        asyncio.run(everything())

    def test_again(self, server: Start) -> None:
        """The one that took over can be blocked as well."""
        running = server(APPLICATION, *SETTINGS)
        for room in ("a", "b"):
            leave(running, "blocking", room)
            running.wait_for(f"'/blocking/{room}' blocks the thread")

    def test_behind(self, server: Start) -> None:
        """Until then, a warning about one that waits for the thread names the one who keeps it."""
        running = server(APPLICATION, "--websocket_connect_timeout", "1", "--graceful-timeout", "0")
        leave(running, "blocking")

        def refused() -> bool:
            # Accepted as long as the thread is not blocked yet.
            try:
                leave(running, "echo")
            except websockets.InvalidStatus:
                return True
            return False

        until(refused)
        running.wait_for(
            r"'/echo/a' took longer .+ it waits for a thread that is kept by another: "
            rf"Blocking\.disconnect at \S+{BLOCKS}"
        )

    def test_stop_ends_the_process(self, server: Start) -> None:
        """The stop is bounded and has status 0 although threads are blocked for ever."""
        running = server(APPLICATION, *SETTINGS)
        for consumer in ("inexecutor", "blocking"):
            leave(running, consumer)
            running.wait_for(f"/{consumer}/a' still runs")
        running.signal()
        assert running.ended(15) == 0
        assert len(re.findall("CRITICAL Thread .+ leaving without it", running.log)) == 2


def test_instances_come_back(server: Start) -> None:
    """What is cancelled is gone: a stop after it waits for nobody."""
    running = server(APPLICATION, "--application-close-timeout", "1")
    warning(running, "sleeping", ".+")
    began = time.monotonic()
    running.signal()
    assert running.ended() == 0
    assert time.monotonic() - began < 3
    assert "Still running after" not in running.log
