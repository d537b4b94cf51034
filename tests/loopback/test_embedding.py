"""`daphne_like.serve` in an asyncio program that runs, and `daphne_like.run` as a whole."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import environment
from tests.support.real_server import DEADLINE, Running, fetched

Start = Callable[..., Running]

BEGIN = """
import asyncio, logging, socket, sys
# asyncio's debug mode tells of whatever takes a tenth of a second, as all does on a busy machine.
logging.getLogger("asyncio").addFilter(lambda record: "Executing" not in record.getMessage())
import daphne_like, daphne_like.launch.embedding
from daphne_like.exceptions import ConfigurationError

def hello(text):
    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                event = await receive()
                print(event["type"].replace("lifespan", text), flush=True)
                await send({"type": event["type"] + ".complete"})
                if event["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})
    return application

async def ask(server, index=0):
    host, port = server.listening_addresses[index]
    if port is None:
        reader, writer = await asyncio.open_unix_connection(host)
    else:
        reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer.rpartition(b"\\n")[2].decode()

async def ready(told):
    return await asyncio.wait_for(told, 10)
"""
PLAIN = "run = asyncio.run"
UVLOOP = """
import uvloop

def run(main):
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
"""


def play(*parts: str) -> subprocess.CompletedProcess[str]:
    """Run a program in Python's development mode, warnings as errors, to its end."""
    program = "\n".join(textwrap.dedent(part) for part in (BEGIN, *parts))
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment(),
    )


def output(*parts: str) -> list[str]:
    """The words that a program prints; it says nothing on standard error."""
    done = play(*parts)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("runner", [PLAIN, UVLOOP], ids=["asyncio", "uvloop"])
class TestServe:
    """Inside a program whose event loop runs."""

    def test_with_a_stop_event(self, runner: str) -> None:
        """Awaited, it returns when the event is set, after the lifespan's end."""
        assert output(
            runner,
            """
            async def main():
                stop, told = asyncio.Event(), asyncio.get_running_loop().create_future()
                serving = asyncio.create_task(
                    daphne_like.serve(
                        hello("site"), port=0, stop=stop, ready_callable=told.set_result
                    )
                )
                print(await ask(await ready(told)))
                stop.set()
                print(await asyncio.wait_for(serving, 10))
            run(main())
            """,
        ) == ["site.startup", "site", "site.shutdown", "None"]

    def test_access_log(self, runner: str, tmp_path: Path) -> None:
        """`access_log=FILE` gets a line for each request; without it there are none."""
        path = tmp_path / "access.log"
        assert output(
            runner,
            f"""
            async def main():
                for more in ({{"access_log": {str(path)!r}}}, {{}}):
                    async with daphne_like.serve(hello("site"), port=0, **more) as server:
                        print(await ask(server), server.action_logger is not None)
            run(main())
            """,
        ) == [*("site.startup", "site", "True", "site.shutdown"),
              *("site.startup", "site", "False", "site.shutdown")]  # fmt: skip
        assert path.read_text().count('"GET /" 200 4') == 1

    def test_as_a_context(self, runner: str) -> None:
        """`async with`, port 0: the addresses that are bound; the end of the block is a stop."""
        assert output(
            runner,
            """
            async def main():
                async with daphne_like.serve(hello("site"), port=0) as server:
                    (host, port), = server.listening_addresses
                    print(host, port > 0, await ask(server))
                try:
                    await asyncio.open_connection(host, port)
                except ConnectionRefusedError:
                    print("closed")
            run(main())
            """,
        ) == ["site.startup", "127.0.0.1", "True", "site", "site.shutdown", "closed"]

    def test_cancelled_it_drains(self, runner: str) -> None:
        """What is in flight is answered, then the lifespan ends, then the task is cancelled."""
        assert output(
            runner,
            """
            async def main():
                called, go = asyncio.Event(), asyncio.Event()
                async def slow(scope, receive, send):
                    if scope["type"] == "http":
                        called.set()
                        await go.wait()
                    await hello("site")(scope, receive, send)
                told = asyncio.get_running_loop().create_future()
                serving = asyncio.create_task(
                    daphne_like.serve(slow, port=0, ready_callable=told.set_result)
                )
                asking = asyncio.create_task(ask(await ready(told)))
                await called.wait()
                serving.cancel()
                await asyncio.sleep(0.05)
                print(serving.done())
                go.set()
                try:
                    await serving
                except asyncio.CancelledError:
                    print("cancelled")
                print(await asking)  # last: the client may read after the server has ended
            run(main())
            """,
        ) == ["site.startup", "False", "site.shutdown", "cancelled", "site"]

    def test_cancelled_while_it_starts(self, runner: str) -> None:
        """wait_for's time is over before the application has started: nothing is left."""
        assert output(
            runner,
            """
            async def hanging(scope, receive, send):
                try:
                    await asyncio.Event().wait()
                finally:
                    print("cancelled")
            async def main():
                try:
                    await asyncio.wait_for(daphne_like.serve(hanging, port=0), 0.5)
                except asyncio.TimeoutError:
                    print("timeout")
                print(len(asyncio.all_tasks()))
            run(main())
            """,
        ) == ["cancelled", "timeout", "1"]

    def test_several_at_once(self, runner: str) -> None:
        """Different applications on one event loop."""
        assert output(
            runner,
            """
            async def main():
                async with (
                    daphne_like.serve(hello("one"), port=0, lifespan="off") as one,
                    daphne_like.serve(hello("two"), port=0, lifespan="off") as two,
                ):
                    print(await ask(one), await ask(two))
                    async with daphne_like.serve(hello("three"), port=0, lifespan="off") as three:
                        print(await ask(three))
                    print(await ask(one), await ask(two))
            run(main())
            """,
        ) == ["one", "two", "three", "one", "two"]

    def test_twice_in_a_process(self, runner: str) -> None:
        """One event loop after another; the reactor of the first gives way."""
        assert output(
            runner,
            """
            async def main():
                async with daphne_like.serve(hello("site"), port=0, lifespan="off") as server:
                    print(await ask(server))
            run(main())
            from twisted.internet import reactor as first
            run(main())
            from twisted.internet import reactor as second
            print(first is second)
            """,
        ) == ["site", "site", "True"]  # `first` is bound anew, as in every module

    def test_threads_of_twisted(self, runner: str) -> None:
        """An application that uses deferToThread does not keep the process from its end."""
        assert output(
            runner,
            """
            async def application(scope, receive, send):
                from twisted.internet.threads import deferToThread
                text = await deferToThread(lambda: "thread").asFuture(asyncio.get_running_loop())
                await hello(text)(scope, receive, send)
            async def main():
                for _ in range(2):
                    async with daphne_like.serve(application, port=0, lifespan="off") as server:
                        print(await ask(server))
            run(main())
            """,
        ) == ["thread", "thread"]

    def test_wrong_uses(self, runner: str) -> None:
        """ConfigurationError, with a sentence, from the call or where it is awaited."""
        done = play(
            runner,
            """
            async def failing(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": "no database"})

            async def main():
                with socket.create_server(("127.0.0.1", 0)) as taken:
                    port = taken.getsockname()[1]
                    for args, options in [
                        ([failing], {"colour": 1}),
                        ([failing], {"port": 70000}),
                        ([failing], {"port": 0}),
                        (["nothere:app"], {"port": 0}),
                        ([hello("site")], {"port": port}),
                        ([hello("site"), "foo:1"], {}),
                    ]:
                        try:
                            await daphne_like.serve(*args, **options)
                        except ConfigurationError as error:
                            print(str(error).replace(str(port), "PORT"))
                print(len(asyncio.all_tasks()))
            run(main())
            """,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [line[:60] for line in done.stdout.splitlines()] == [
            "'colour' is no option (daphne_like.options.Options has them ",
            "--port: expected 0 to 65535, got 70000",
            "Application startup failed: no database",
            "There is no module named 'nothere' (looked for 'nothere' in ",
            "Cannot listen on 127.0.0.1:PORT: Address already in use",
            "The endpoint 'foo:1' is not usable: Unknown endpoint type: '",
            "1",
        ]


class TestOneProgram:
    """What needs one event loop only."""

    def test_asyncio_run_takes_it(self) -> None:
        """`asyncio.run(daphne_like.serve(...))`: a coroutine, until SIGINT."""
        assert output(
            """
            import os, signal
            def ready(server):
                print("ready", flush=True)
                os.kill(os.getpid(), signal.SIGINT)
            try:
                asyncio.run(daphne_like.serve(hello("site"), port=0, ready_callable=ready))
            except KeyboardInterrupt:
                print("interrupted")
            """
        ) == ["site.startup", "ready", "site.shutdown", "interrupted"]

    def test_endpoints_and_options(self, tmp_path: Any) -> None:
        """Endpoint strings beside options by name; `endpoints` as well."""
        assert output(
            f"""
            async def main():
                where = ["unix:{tmp_path}/s", "tcp:0:interface=127.0.0.1"]
                async with daphne_like.serve(
                    hello("site"), where[0], endpoints=where[1], port=0, lifespan="off"
                ) as server:
                    print(len(server.listening_addresses))
                    for index in range(3):
                        print(await ask(server, index))
                    print(server.options.lifespan)
            asyncio.run(main())
            """
        ) == ["3", "site", "site", "site", "off"]

    def test_server_stop(self) -> None:
        """`server.stop()` ends what serves, from any thread."""
        assert output(
            """
            async def main():
                def ready(server):
                    asyncio.get_running_loop().run_in_executor(None, server.stop)
                await asyncio.wait_for(
                    daphne_like.serve(hello("site"), port=0, ready_callable=ready), 10
                )
            asyncio.run(main())
            """
        ) == ["site.startup", "site.shutdown"]

    def test_starlette(self) -> None:
        """Beside the program's own work, with the framework's lifespan."""
        assert output(
            """
            import contextlib
            from starlette.applications import Starlette
            from starlette.responses import PlainTextResponse
            from starlette.routing import Route

            @contextlib.asynccontextmanager
            async def lifespan(app):
                print("begin")
                yield
                print("end")

            async def front(request):
                return PlainTextResponse("starlette")

            site = Starlette(routes=[Route("/", front)], lifespan=lifespan)

            async def main():
                async with daphne_like.serve(site, port=0) as server:
                    print(await ask(server))
            asyncio.run(main())
            """
        ) == ["begin", "starlette", "end"]

    def test_beside_twisted(self) -> None:
        """In a program whose reactor is Twisted's own on asyncio, and runs."""
        assert output(
            """
            from twisted.internet import asyncioreactor
            loop = asyncio.new_event_loop()
            asyncioreactor.install(loop)
            from twisted.internet import reactor

            async def main():
                async with daphne_like.serve(hello("site"), port=0) as server:
                    print(type(server.reactor).__name__, await ask(server))
                reactor.stop()

            reactor.callWhenRunning(lambda: tasks.append(loop.create_task(main())))
            tasks = []
            reactor.run()
            """
        ) == ["site.startup", "AsyncioSelectorReactor", "site", "site.shutdown"]

    @pytest.mark.parametrize(
        ("install", "sentence"),
        [
            ("selectreactor", "SelectReactor does not run on an asyncio event loop"),
            ("asyncioreactor", "is installed as Twisted's reactor already, on another event loop"),
        ],
    )
    def test_another_reactor(self, install: str, sentence: str) -> None:
        """One that cannot serve this loop is refused with a sentence."""
        done = play(
            f"""
            import warnings
            from twisted.internet import {install}
            loop = asyncio.new_event_loop()
            {install}.install(*([loop] if {install!r} == "asyncioreactor" else []))
            async def main():
                try:
                    await daphne_like.serve(hello("site"), port=0)
                except ConfigurationError as error:
                    print(error)
            asyncio.run(main())
            loop.close()
            """
        )
        assert sentence in done.stdout


class TestRun:
    """`daphne_like.run(application, ...)`: the command as one line."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_until_a_signal(self, program: Start, number: int) -> None:
        """Log, banner, access log and drain as the command's; it returns after a stop."""
        line = "import daphne_like; daphne_like.run('stopping:application', port=0); print('after')"
        running = program("-c", line, program=[sys.executable]).wait_until_ready()
        assert "serves stopping:application at" in running.log
        asking = running.connect()
        asking.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        running.wait_for("slow is called")
        running.signal(number)
        assert asking.recv(65536).endswith(b"hello\n")
        assert running.ended() == 0
        assert re.search(r"(?s)GET /slow.*|lifespan\.shutdown.*after\n", running.log)
        assert running.log.endswith("after\n")

    def test_an_object(self, program: Start) -> None:
        """The application at hand, on an endpoint string; the banner has its name."""
        line = (
            "import daphne_like, stopping; "
            "daphne_like.run(stopping.application, 'tcp:0:interface=127.0.0.1')"
        )
        running = program("-c", line, program=[sys.executable]).wait_until_ready()
        assert "serves stopping:application at" in running.log
        assert fetched(running.port).endswith(b"hello\n")

    @pytest.mark.parametrize(
        ("arguments", "status", "sentence"),
        [
            ("'stopping:unstartable', port=0", 3, "Application startup failed: no database"),
            ("'nothere:app', port=0", 2, "There is no module named 'nothere'"),
            ("'stopping:hello', colour=1", 2, "'colour' is no option"),
            ("'stopping:hello', 'unix:/nope/s'", 1, "Cannot listen on unix:/nope/s: No such file"),
            (
                "'stopping:hello', 'tcp:65536'",
                2,
                "The endpoint 'tcp:65536' is not usable: expected a port from 0 to 65535",
            ),
        ],
    )
    def test_exit_status(
        self,
        command: Callable[..., subprocess.CompletedProcess[str]],
        arguments: str,
        status: int,
        sentence: str,
    ) -> None:
        """The command's, with a sentence on standard error, when it does not start."""
        line = f"import daphne_like; daphne_like.run({arguments})"
        ended = command("-c", line, program=[sys.executable])
        assert ended.returncode == status
        assert sentence in ended.stderr
        assert "Traceback" not in ended.stderr
