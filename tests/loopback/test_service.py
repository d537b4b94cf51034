"""ASGIService among other services: .tac files, MultiService, a reactor that runs already."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import output, run
from tests.support.real_server import TWISTD, Running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="twistd makes daemons on POSIX")

Start = Callable[..., Running]

TAC = """
from twisted.application import internet, service
from twisted.internet.protocol import Factory, Protocol
from daphne_like.service import ASGIService

application = service.Application("site")

for name, path in (("stopping:application", "one"), ("stopping:slow_startup", "two")):
    site = ASGIService(name, [f"unix:{path}", "tcp:0:interface=127.0.0.1"])
    site.setName(path)
    site.setServiceParent(application)

from twisted.internet import endpoints, reactor

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

echo = endpoints.serverFromString(reactor, "unix:echo")
internet.StreamServerEndpointService(echo, Factory.forProtocol(Echo)).setServiceParent(application)
"""

BEGIN = """
import asyncio, socket, sys, threading
from daphne_like import reactor as reactors
reactors.install()
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from daphne_like.exceptions import ConfigurationError
from daphne_like.service import ASGIService

ANY = ["tcp:0:interface=127.0.0.1"]

def hello(text, events=None):
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

def ask(service):
    port = service.server.listening_addresses[0][1]
    def blocking():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            return b"".join(iter(lambda: connection.recv(4096), b"")).rpartition(b"\\n")[2].decode()
    return deferToThread(blocking)

def run(story):
    def end(result):
        if result is not None:
            result.printTraceback(file=sys.stderr)
        reactor.stop()
    reactor.callWhenRunning(lambda: ensureDeferred(story()).addBoth(end))
    reactor.run()
"""


def over_unix(path: Path, octets: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(octets)
        received = b""
        while not received.endswith(octets) and (data := connection.recv(65536)):
            received += data
        return received


class TestTac:
    """`twistd -ny site.tac`."""

    def test_several_beside_another_service(self, program: Start, tmp_path: Path) -> None:
        """Two applications on endpoints of their own and Twisted's own service, in one process."""
        (tmp_path / "site.tac").write_text(TAC)
        (tmp_path / "stopping.py").write_text(
            (Path(__file__).parent.parent / "projects" / "stopping.py").read_text()
        )
        running = program("-noy", "site.tac", "--pidfile=", program=TWISTD, cwd=tmp_path)
        running.wait_for("started")
        for path in ("one", "two"):
            answer = over_unix(tmp_path / path, b"GET /hello HTTP/1.0\r\n\r\n")
            assert answer.endswith(b"hello\n")
        assert over_unix(tmp_path / "echo", b"echoed") == b"echoed"
        ports = [int(port) for port in re.findall(r"HTTPFactory starting on (\d+)", running.log)]
        assert len(ports) == 2
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=20) as asking:
            asking.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            running.wait_for("slow is called")
            running.signal()
            assert asking.recv(65536).endswith(b"hello\n")
        assert running.ended() == -signal.SIGTERM
        assert running.log.count("lifespan.shutdown") == 1
        assert [path for path in ("one", "two", "echo") if (tmp_path / path).exists()] == []

    def test_a_start_that_fails(self, program: Start, tmp_path: Path) -> None:
        """The process ends with a status, and its last line says why."""
        (tmp_path / "site.tac").write_text(
            "from twisted.application import service\n"
            "from daphne_like.service import ASGIService\n"
            "application = service.Application('site')\n"
            "site = ASGIService('nothere:app', ['tcp:0:interface=127.0.0.1'])\n"
            "site.setServiceParent(application)\n"
        )
        running = program(
            "-noy", "site.tac", "--pidfile=", program=TWISTD, cwd=tmp_path, expects_traceback=True
        )
        assert running.ended() == 1
        assert "ConfigurationError: There is no module named 'nothere'" in running.log


class TestContract:
    """twisted.application.service.IService."""

    def test_start_stop_start(self) -> None:
        """A stop fires after the drain, and the service may be started again."""
        assert (
            output(
                BEGIN,
                """
            async def story():
                service = ASGIService(hello("site"), ANY)
                for _ in range(2):
                    service.startService()
                    await service.when_started()
                    print(service.running, await ask(service))
                    await service.stopService()
                    print(service.running, service.server)
            run(story)
            """,
            )
            == ["site.startup", "1", "site", "site.shutdown", "0", "None"] * 2
        )

    def test_access_log(self, tmp_path: Path) -> None:
        """`access_log=FILE` of its options gets a line for each request, the last one too."""
        path = tmp_path / "access.log"
        assert output(
            BEGIN,
            f"""
            from daphne_like.options import Options

            async def story():
                service = ASGIService(hello("site"), ANY, Options(access_log={str(path)!r}))
                service.startService()
                await service.when_started()
                print(await ask(service))
                await service.stopService()
            run(story)
            """,
        ) == ["site.startup", "site", "site.shutdown"]
        assert path.read_text().count('"GET /" 200 4') == 1

    def test_stop_waits_for_what_is_in_flight(self) -> None:
        """stopService's Deferred fires when the last answer is out and the lifespan is over."""
        assert output(
            BEGIN,
            """
            async def story():
                called, go = Deferred(), asyncio.Event()
                async def slow(scope, receive, send):
                    if scope["type"] == "http":
                        called.callback(None)
                        await go.wait()
                    await hello("site")(scope, receive, send)
                service = ASGIService(slow, ANY)
                service.startService()
                await service.when_started()
                asked = ask(service)
                await called
                stopped = service.stopService()
                stopped.addCallback(lambda _: print("stopped"))
                print(stopped.called)
                go.set()
                await stopped
                print(await asked)
            run(story)
            """,
        ) == ["site.startup", "False", "site.shutdown", "stopped", "site"]

    def test_stop_without_start(self) -> None:
        """stopService of one that does not run fires at once; when_started says so."""
        assert output(
            BEGIN,
            """
            async def story():
                service = ASGIService(hello("site"), ANY)
                await service.stopService()
                try:
                    await service.when_started()
                except ConfigurationError as error:
                    print(error)
            run(story)
            """,
        ) == ["The", "service", "was", "not", "started"]

    def test_stop_while_it_starts(self) -> None:
        """The startup is cancelled, nothing listens, and nothing is said at level CRITICAL."""
        done = run(
            BEGIN,
            """
            async def story():
                async def hanging(scope, receive, send):
                    print("called", flush=True)
                    called.callback(None)
                    try:
                        await asyncio.Event().wait()
                    finally:
                        print("cancelled", flush=True)
                called = Deferred()
                service = ASGIService(hanging, ANY)
                service.startService()
                await called
                await service.stopService()
                try:
                    await service.when_started()
                except ConfigurationError as error:
                    print(error)
            import logging
            logging.basicConfig()
            run(story)
            """,
        )
        said = "called\ncancelled\nApplication startup failed: it was cancelled\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")

    def test_added_to_a_parent_that_runs(self) -> None:
        """MultiService.addService starts it; disownServiceParent stops it."""
        assert output(
            BEGIN,
            """
            async def story():
                parent = MultiService()
                parent.startService()
                service = ASGIService(hello("site"), ANY)
                service.setServiceParent(parent)
                await service.when_started()
                print(await ask(service))
                await service.disownServiceParent()
                print(service.running)
            run(story)
            """,
        ) == ["site.startup", "site", "site.shutdown", "0"]

    @pytest.mark.parametrize(
        ("application", "sentence"),
        [
            ("'nothere:app'", "There is no module named 'nothere' "),
            ("failing", "Application startup failed: no database"),
        ],
    )
    def test_a_late_failure_is_logged(self, application: str, sentence: str) -> None:
        """In a reactor that runs it is critical, when_started has it, and the process goes on."""
        done = run(
            BEGIN,
            f"""
            import logging
            logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
            async def failing(scope, receive, send):
                await receive()
                await send({{"type": "lifespan.startup.failed", "message": "no database"}})
            async def story():
                parent = MultiService()
                parent.startService()
                service = ASGIService({application}, ANY)
                service.setServiceParent(parent)
                try:
                    await service.when_started()
                except ConfigurationError as error:
                    print("told:", error)
                other = ASGIService(hello("other"), ANY)
                other.setServiceParent(parent)
                await other.when_started()
                print(await ask(other))
                await parent.stopService()
            run(story)
            """,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"CRITICAL The service does not start: {sentence}" in done.stdout
        assert f"told: {sentence}" in done.stdout
        assert done.stdout.endswith("other.startup\nother\nother.shutdown\n")

    def test_a_taken_port_is_raised_at_once(self) -> None:
        """addService raises, as for every service that cannot bind, before the application.

        Where other ports have to be given back first, when_started tells it.
        """
        assert (
            output(
                BEGIN,
                """
            async def story():
                parent = MultiService()
                parent.startService()
                with socket.create_server(("127.0.0.1", 0)) as taken:
                    port = taken.getsockname()[1]
                    string = f"tcp:{port}:interface=127.0.0.1"
                    try:
                        ASGIService(hello("site"), [string]).setServiceParent(parent)
                    except ConfigurationError as error:
                        print(str(error).replace(str(port), "N"))
                    service = ASGIService(hello("site"), [*ANY, string])
                    service.setServiceParent(parent)
                    try:
                        await service.when_started()
                    except ConfigurationError as error:
                        print(str(error).replace(str(port), "N"))
                await parent.stopService()
            import logging
            logging.getLogger("daphne_like").addHandler(logging.NullHandler())
            run(story)
            """,
            )
            == [
                "Cannot",
                "listen",
                "on",
                "tcp:N:interface=127.0.0.1:",
                "Address",
                "already",
                "in",
                "use",
            ]
            * 2
        )

    def test_privileged_start_binds(self) -> None:
        """Who connects between privilegedStartService and startService is answered after it."""
        assert output(
            BEGIN,
            """
            service = ASGIService(hello("site"), ANY)
            service.privilegedStartService()
            port = service.server.listening_addresses[0][1]
            waiting = socket.create_connection(("127.0.0.1", port), timeout=10)
            waiting.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print("connected", flush=True)
            service.startService()
            reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
            def read():
                return b"".join(iter(lambda: waiting.recv(4096), b""))
            async def story():
                print((await deferToThread(read)).rpartition(b"\\n")[2].decode())
                waiting.close()
            run(story)
            """,
        ) == ["connected", "site.startup", "site", "site.shutdown"]

    def test_a_startup_that_uses_threads(self) -> None:
        """Twisted's threads work in a startup that runs before the reactor does."""
        assert output(
            BEGIN,
            """
            async def application(scope, receive, send):
                print(await deferToThread(lambda: "thread").asFuture(asyncio.get_running_loop()))
                await hello("site")(scope, receive, send)
            service = ASGIService(application, ANY)
            service.startService()
            reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
            reactor.callWhenRunning(reactor.stop)
            reactor.run()
            """,
        ) == ["thread", "site.startup", "site.shutdown"]

    def test_another_reactor_is_refused(self) -> None:
        """When the service is made, with the way out."""
        assert output(
            """
            from twisted.internet import selectreactor
            selectreactor.install()
            from daphne_like.exceptions import ConfigurationError
            from daphne_like.service import ASGIService
            try:
                ASGIService("main:app")
            except ConfigurationError as error:
                print(str(error).partition(":")[0])
            """
        ) == ["SelectReactor", "does", "not", "run", "on", "an", "asyncio", "event", "loop"]
