"""What Twisted finds of us: `twistd --reactor=daphne-like` and `fd:` endpoint strings."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import DEADLINE, EITHER_LOOP, environment, output

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are passed on POSIX")

TWISTD = "from twisted.scripts.twistd import run; run()"

ADOPTS = """
import sys
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

class Greets(Protocol):
    def connectionMade(self):
        print(type(reactor).__name__, type(self.transport).__name__, flush=True)
        self.transport.write(b"hello")
        self.transport.loseConnection()
    def connectionLost(self, reason):
        reactor.stop()

serverFromString(reactor, sys.argv[1]).listen(Factory.forProtocol(Greets))
reactor.run()
"""


class TestFileDescriptors:
    """`fd:` on any reactor that adopts sockets."""

    @pytest.mark.parametrize(
        ("install", "names"),
        [
            (EITHER_LOOP[0], "NativeReactor NativeTransport"),
            (EITHER_LOOP[1], "NativeReactor NativeTransport"),
            (
                "from twisted.internet import asyncioreactor; asyncioreactor.install()",
                "AsyncioSelectorReactor Server",
            ),
            (
                "from twisted.internet import selectreactor; selectreactor.install()",
                "SelectReactor Server",
            ),
        ],
        ids=["uvloop", "asyncio", "stock", "select"],
    )
    @pytest.mark.parametrize("domain", ["", ":domain=INET"])
    def test_inherited_socket(self, install: str, names: str, domain: str) -> None:
        """A listening socket that was passed on is served; on ours at native speed."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            string = f"fd:fileno={listening.fileno()}{domain}"
            with subprocess.Popen(
                [sys.executable, "-W", "error", "-c", install + "\n" + ADOPTS, string],
                pass_fds=[listening.fileno()],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as server:
                peer = socket.create_connection(listening.getsockname(), timeout=DEADLINE)
                with peer:
                    assert peer.recv(100) == b"hello"
                out, err = server.communicate(timeout=DEADLINE)
        assert (server.returncode, out.strip(), err) == (0, names, "")

    def test_bad_descriptor(self) -> None:
        """One sentence, when the string is parsed."""
        assert output(
            """
            from twisted.internet.endpoints import serverFromString
            try:
                serverFromString(None, "fd:fileno=99")
            except ValueError as error:
                print(error)
            """
        ) == ["fd:", "descriptor", "99", "is", "not", "usable:", "Bad", "file", "descriptor"]

    def test_beside_another_plugin_of_the_name(self, tmp_path: Path) -> None:
        """With Daphne's own `fd` installed as well, either may answer, and neither breaks."""
        plugins = tmp_path / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "fd_endpoint.py").write_text(
            "from zope.interface import implementer\n"
            "from twisted.internet.endpoints import AdoptedStreamServerEndpoint\n"
            "from twisted.internet.interfaces import IStreamServerEndpointStringParser\n"
            "from twisted.plugin import IPlugin\n"
            "@implementer(IPlugin, IStreamServerEndpointStringParser)\n"
            "class Other:\n"
            "    prefix = 'fd'\n"
            "    def parseStreamServer(self, reactor, fileno, domain=2):\n"
            "        return AdoptedStreamServerEndpoint(reactor, int(fileno), int(domain))\n"
            "other = Other()\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as listening:
            assert output(
                f"""
                import sys
                sys.path.insert(0, {str(tmp_path)!r})
                from twisted.internet.endpoints import serverFromString
                from twisted.internet.interfaces import IStreamServerEndpointStringParser as Parser
                from twisted.plugin import getPlugins
                print([plugin.prefix for plugin in getPlugins(Parser)].count("fd"))
                endpoint = serverFromString(None, "fd:fileno={listening.fileno()}")
                print(endpoint.fileno == {listening.fileno()})
                """,
                pass_fds=[listening.fileno()],
            ) == ["2", "True"]


class TestReactor:
    """`twistd --reactor=daphne-like`."""

    def test_is_listed(self) -> None:
        """`twistd --help-reactors` names it."""
        done = subprocess.run(
            [sys.executable, "-c", TWISTD, "--help-reactors"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            env=environment(),
        )
        assert re.search(r"^ +daphne-like\t", done.stdout, re.MULTILINE)

    def test_serves(self, tmp_path: Path) -> None:
        """A stock twistd service runs on it, and ends in order with SIGTERM."""
        (tmp_path / "page.txt").write_text("page")
        command = ["--reactor=daphne-like", "-n", "--pidfile=", "web", "--path", str(tmp_path)]
        with subprocess.Popen(
            [sys.executable, "-c", TWISTD, *command, "--listen", "tcp:0:interface=127.0.0.1"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            lines = []
            for line in server.stdout:
                lines.append(line)
                if started := re.search(r"Site starting on (\d+)", line):
                    break
            with socket.create_connection(
                ("127.0.0.1", int(started[1] if started else 0)), DEADLINE
            ) as peer:
                peer.sendall(b"GET /page.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: peer.recv(1000), b""))
            server.terminate()
            rest, _ = server.communicate(timeout=DEADLINE)
        assert answer.endswith(b"\r\n\r\npage")
        assert "reactor class: daphne_like.reactor.core.NativeReactor" in "".join(lines)
        assert "Server Shut Down." in rest
        assert server.returncode == -signal.SIGTERM  # as twistd does with every reactor
