"""What the reactor does to a process: running, stopping, signals, threads, children, imports."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.support.programs import EITHER_LOOP, output, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and children as of POSIX")


IN_ORDER = [
    *("start", "before", "start", "during", "start", "after", "running"),
    *("stop", "before", "stop", "during", "stop", "after", "end"),
]


@pytest.mark.parametrize("install", EITHER_LOOP, ids=["uvloop", "asyncio"])
class TestRunning:
    """twisted.internet.interfaces.IReactorCore, IReactorTime, IReactorThreads, IReactorProcess."""

    def test_run_and_stop(self, install: str) -> None:
        """IReactorCore.run: until stop, with every trigger in its turn."""
        assert (
            output(
                install,
                """
            from twisted.internet import reactor
            for phase in ("before", "during", "after"):
                reactor.addSystemEventTrigger(phase, "startup", print, "start", phase)
                reactor.addSystemEventTrigger(phase, "shutdown", print, "stop", phase)
            reactor.callWhenRunning(print, "running")
            reactor.callLater(0.01, reactor.stop)
            reactor.run()
            print("end")
            """,
            )
            == IN_ORDER
        )

    def test_shutdown_waits_for_deferreds(self, install: str) -> None:
        """IReactorCore.addSystemEventTrigger: a Deferred of "before" holds the stop."""
        assert output(
            install,
            """
            from twisted.internet import reactor
            from twisted.internet.task import deferLater
            reactor.addSystemEventTrigger(
                "before", "shutdown", lambda: deferLater(reactor, 0.05, print, "waited")
            )
            reactor.addSystemEventTrigger("after", "shutdown", print, "after")
            reactor.callWhenRunning(reactor.stop)
            reactor.run()
            """,
        ) == ["waited", "after"]

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_signals_stop(self, install: str, name: str) -> None:
        """IReactorCore.run: SIGINT and SIGTERM stop in order; the exit status is 0."""
        assert output(
            install,
            f"""
            import os, signal
            from twisted.internet import reactor
            reactor.addSystemEventTrigger("before", "shutdown", print, "triggers")
            reactor.callWhenRunning(os.kill, os.getpid(), signal.{name})
            reactor.run()
            print("end")
            """,
        ) == ["triggers", "end"]

    def test_timers(self, install: str) -> None:
        """IReactorTime.callLater: in order of time; cancelled and delayed ones as told."""
        assert output(
            install,
            """
            from twisted.internet import reactor
            reactor.callLater(0.03, print, "later")
            reactor.callLater(0.01, print, "sooner")
            reactor.callLater(0.02, print, "never").cancel()
            reactor.callLater(0.0, print, "last").delay(0.04)
            reactor.callLater(0.06, reactor.stop)
            reactor.run()
            """,
        ) == ["sooner", "later", "last"]

    def test_threads(self, install: str) -> None:
        """IReactorThreads.callFromThread wakes the loop; deferToThread brings results."""
        assert output(
            install,
            """
            import threading
            from twisted.internet import reactor
            from twisted.internet.threads import blockingCallFromThread, deferToThread
            main = threading.get_ident()
            def fails():
                raise ValueError("mine")
            def elsewhere():
                assert threading.get_ident() != main
                assert blockingCallFromThread(reactor, threading.get_ident) == main
                return "result"
            def failed(failure):
                print(failure.type.__name__)
                threading.Thread(target=reactor.callFromThread, args=(reactor.stop,)).start()
            def start():
                done = deferToThread(elsewhere).addCallback(print)
                done.addCallback(lambda _: deferToThread(fails)).addErrback(failed)
            reactor.callWhenRunning(start)
            reactor.run()
            """,
        ) == ["result", "ValueError"]

    @pytest.mark.parametrize("pidfd", [True, False], ids=["pidfd", "looking"])
    def test_children(self, install: str, pidfd: bool) -> None:
        """IReactorProcess.spawnProcess: output and status, also beside asyncio's subprocesses."""
        assert output(
            install,
            "" if pidfd else "import os; vars(os).pop('pidfd_open', None)",
            """
            import asyncio, sys
            from twisted.internet import defer, reactor
            from twisted.internet.protocol import ProcessProtocol
            from twisted.internet.utils import getProcessOutputAndValue

            class Child(ProcessProtocol):
                def __init__(self):
                    self.ended = defer.Deferred()
                def processEnded(self, reason):
                    self.ended.callback(reason.value.exitCode)

            async def main():
                program = "print('child'); raise SystemExit(3)"
                theirs = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
                )
                child = Child()
                reactor.spawnProcess(child, sys.executable, [sys.executable, "-c", program])
                out, _, status = await getProcessOutputAndValue(
                    sys.executable, ["-c", program]
                ).asFuture(asyncio.get_running_loop())
                print(out.decode().strip(), status)
                print(await child.ended.asFuture(asyncio.get_running_loop()))
                out, _ = await theirs.communicate()
                print(out.decode().strip(), theirs.returncode)
                reactor.stop()

            tasks = []
            reactor.callWhenRunning(lambda: tasks.append(reactor.loop.create_task(main())))
            reactor.run()
            """,
        ) == ["child", "3", "3", "child", "3"]

    def test_descriptors_run_out(self, install: str) -> None:
        """A port that met EMFILE accepts again once there are descriptors."""
        assert output(
            install,
            """
            import logging, os, resource, socket
            logging.disable()  # asyncio tells about it
            from twisted.internet import reactor
            from twisted.internet.protocol import Factory, Protocol

            class Greets(Protocol):
                def connectionMade(self):
                    self.transport.write(b"hello")

            port = reactor.listenTCP(0, Factory.forProtocol(Greets), interface="127.0.0.1")
            address = "127.0.0.1", port.getHost().port
            peers, held = [], []

            def exhaust():
                peers.extend(socket.socket() for _ in range(4))
                resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
                try:
                    while True:
                        held.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    pass
                for peer in peers:
                    peer.connect(address)
                reactor.callLater(0.1, relieve)

            def relieve():
                while held:
                    os.close(held.pop())
                late = socket.create_connection(address)
                late.setblocking(False)
                reactor.callLater(0.01, ask, late)

            def ask(late):
                try:
                    print(late.recv(5).decode())
                except BlockingIOError:
                    reactor.callLater(0.01, ask, late)
                else:
                    late.close()
                    for peer in peers:
                        peer.close()
                    reactor.stop()

            reactor.callLater(0, exhaust)
            reactor.run()
            """,
        ) == ["hello"]


class TestInstalling:
    """daphne_like.reactor.install and require."""

    def test_importing_installs_nothing(self) -> None:
        """No module of the package makes a reactor or an event loop when it is imported."""
        assert (
            output(
                """
                import asyncio, importlib, pkgutil, sys, daphne_like
                import django, django.conf
                django.conf.settings.configure(INSTALLED_APPS=["django.contrib.staticfiles"])
                django.setup()
                def refuse(*args):
                    raise AssertionError("an event loop")
                asyncio.new_event_loop = asyncio.set_event_loop = refuse
                asyncio.events.new_event_loop = asyncio.events.set_event_loop = refuse
                for module in pkgutil.walk_packages(daphne_like.__path__, "daphne_like."):
                    if not module.name.endswith("__main__"):
                        try:
                            importlib.import_module(module.name)
                        except ImportError as error:
                            assert error.name.partition(".")[0] != "daphne_like", error
                import twisted.plugins.daphne_like_plugin
                assert "twisted.internet.reactor" not in sys.modules
                """
            )
            == []
        )

    def test_install_twice(self) -> None:
        """A second install gives the same reactor; its loop is the current one."""
        assert output(
            """
            import asyncio
            from daphne_like import reactor as reactors
            first = reactors.install()
            from twisted.internet import reactor
            print(reactors.install() is first is reactor)
            print(asyncio.get_event_loop_policy().get_event_loop() is first.loop
                  if __import__("sys").version_info < (3, 14) else True)
            reactors.require()
            """
        ) == ["True", "True"]

    def test_given_loop(self) -> None:
        """A loop that is passed in is used."""
        assert output(
            """
            import asyncio
            from daphne_like import reactor as reactors
            loop = asyncio.SelectorEventLoop()
            print(reactors.install(loop).loop is loop)
            """
        ) == ["True"]

    @pytest.mark.parametrize("call", ["install", "require"])
    def test_other_reactors(self, call: str) -> None:
        """On a reactor without an asyncio loop: ConfigurationError with the two ways out."""
        done = run(
            f"""
            from twisted.internet import selectreactor
            selectreactor.install()
            from daphne_like import reactor as reactors
            reactors.{call}()
            """
        )
        sentence = done.stderr.splitlines()[-1]
        assert done.returncode == 1
        assert "ConfigurationError: SelectReactor " in sentence
        assert "daphne_like.reactor.install()" in sentence
        assert "twisted.internet.asyncioreactor" in sentence

    def test_stock_asyncio_reactor(self) -> None:
        """On Twisted's asyncio reactor require is content, and installs nothing."""
        assert output(
            """
            from twisted.internet import asyncioreactor
            asyncioreactor.install()
            from twisted.internet import reactor
            from daphne_like import reactor as reactors
            reactors.require()
            print(type(reactor).__name__, reactors.event_loop(reactor) is reactor._asyncioEventloop)
            """
        ) == ["AsyncioSelectorReactor", "True"]

    def test_require_installs(self) -> None:
        """Where there is no reactor yet, require installs ours."""
        assert output(
            """
            from daphne_like import reactor as reactors
            reactors.require()
            from twisted.internet import reactor
            print(type(reactor).__name__, type(reactor.loop).__module__)
            """
        ) == ["NativeReactor", "uvloop"]

    def test_without_uvloop(self) -> None:
        """Where uvloop does not exist, asyncio's selector loop is used."""
        assert output(
            EITHER_LOOP[1],
            """
            from twisted.internet import reactor
            print(type(reactor).__name__, type(reactor.loop).__module__)
            """,
        ) == ["NativeReactor", "asyncio.unix_events"]


def test_a_second_signal_is_not_lost() -> None:
    """A signal that comes while the loop waits in the kernel wakes it (uvloop's own descriptor)."""
    assert output(
        EITHER_LOOP[0],
        f"""
        import os, threading
        from twisted.internet import reactor
        reactor.callWhenRunning(
            lambda: threading.Timer(0.1, os.kill, (os.getpid(), {signal.SIGTERM:d})).start()
        )
        reactor.run()
        print("end")
        """,
    ) == ["end"]
