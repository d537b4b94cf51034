"""Endpoint strings of every kind, each with how a client comes there and what a scope says then.

The rules that hold for all of them are in test_endpoints.py.
"""

from __future__ import annotations

import errno
import json
import os
import re
import selectors
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support import needed
from tests.support.peers import get, read_answers
from tests.support.real_server import DEADLINE, PROJECTS, Running
from tests.support.websocket_peer import Peer

NATIVE = "daphne_like.reactor.transport.NativeTransport"
STOCK_TCP = "twisted.internet.tcp.Server"
STOCK_UNIX = "twisted.internet.unix.Server"
PROXIED = "daphne_like.listening.proxy_protocol.HalfCloseableConnection"
PROXIED_TLS = "daphne_like.listening.proxy_protocol.ProxiedConnection"
TWISTED_TLS = "twisted.protocols.tls.BufferingTLSTransport"

HEADER = b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 443\r\n"
CLIENT, SERVER = ["198.51.100.7", 40000], ["203.0.113.8", 443]
ON_STOCK_REACTOR = (sys.executable, "on_stock_reactor.py")


def free_port(family: int = socket.AF_INET) -> int:
    """A port that nobody listens on just now, for programs that cannot pick one themselves."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as free:
        port: int = free.getsockname()[1]
        return port


def make_certificate(folder: Path, *names: str, file: str = "site", key: str = "") -> Path:
    """FILE.pem, with its key in KEY.pem or FILE-key.pem, made by openssl; its path."""
    key = key or f"{file}-key"
    certificate = folder / f"{file}.pem"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        [needed.program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", folder / f"{key}.pem",
         "-out", certificate, "-subj", f"/CN={names[0]}", "-addext",
         f"subjectAltName={alternatives}"],
        check=True, capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    return certificate


class Endpoint:
    """A server on one endpoint.

    Args:
        folder: an empty one.
        stock: on Twisted's own asyncio reactor, in a program of somebody else's.

    Attributes:
        string: the endpoint; `{folder}` in it is the folder.
        options: further words of the command line.
        family, address: of the socket to connect to, its port left out.
        preface: what a client sends before anything else.
        scheme: of the scope.
        path: of a UNIX socket.
        below: the kinds of wrappers around the transport, outermost first.
        outlives: its socket is another program's, which goes on listening.
        file_stays: after a stop, as another program has made it.
    """

    string = "tcp:0:interface=127.0.0.1"
    options: tuple[str, ...] = ()
    family: int = socket.AF_INET
    address = "127.0.0.1"
    preface = b""
    scheme = "http"
    path: Path | None = None
    below: tuple[str, ...] = ()
    stock_kind = STOCK_TCP
    outlives = False
    file_stays = False

    def __init__(self, folder: Path, *, stock: bool = False) -> None:
        self.folder = folder
        self.stock = stock
        self.port = 0
        self.using = ExitStack()
        self.prepare()
        self.string = self.string.format(folder=folder)
        self.running = self.start()
        self.using.callback(self.running.stop)
        try:
            self.running.wait_for("serves .*\n.*Reactor")
        except AssertionError:
            self.close()
            raise
        found = re.search(r"https?://\S+?:(\d+)/", self.running.log)
        self.port = int(found[1]) if found else 0

    def prepare(self) -> None:
        """Make what the endpoint needs."""

    def start(self) -> Running:
        """Start the server."""
        return self.run()

    def run(self, **how: Any) -> Running:
        """The command, or the program on the stock reactor; `how` as Running has it."""
        if self.stock:
            how["program"] = ON_STOCK_REACTOR
        return Running(*self.words(), **how)

    def words(self) -> list[str]:
        """The command line: of the command, or of the program on the stock reactor."""
        if self.stock:
            return [self.string, "told:application"]
        return ["-e", self.string, *self.options, "told:application"]

    def close(self) -> None:
        """End everything."""
        self.using.close()

    @property
    def transports(self) -> list[str]:
        """What a connection is carried by."""
        return [*self.below, self.stock_kind if self.stock else NATIVE]

    @property
    def destination(self) -> Any:
        """What the socket module calls the address."""
        return (self.address, self.port)

    def dial(self) -> socket.socket:
        """A connection, plain."""
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        self.using.callback(connection.close)
        connection.settimeout(DEADLINE)
        connection.connect(self.destination)
        return connection

    def dial_without_server(self, number: int) -> int:
        """How many of so many connections the kernel completes while nobody accepts them."""
        with ExitStack() as stack, selectors.DefaultSelector() as connecting:
            for _ in range(number):
                connection = stack.enter_context(socket.socket(self.family, socket.SOCK_STREAM))
                connection.setblocking(False)
                if connection.connect_ex(self.destination) in (0, errno.EINPROGRESS):
                    connecting.register(connection, selectors.EVENT_WRITE)
            completed = 0
            # A full queue answers no SYN; the client repeats it after one second.
            while ready := connecting.select(timeout=0.5):
                for key, _ in ready:
                    connecting.unregister(key.fileobj)
                completed += len(ready)
            return completed

    def connect(self) -> socket.socket:
        """A connection on which HTTP comes next."""
        connection = self.dial()
        connection.sendall(self.preface)
        return self.secure(connection)

    def is_reachable(self) -> bool:
        """Whether anybody listens."""
        try:
            self.dial()
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True

    def secure(self, connection: socket.socket) -> socket.socket:
        """Put TLS on it, where the endpoint speaks it."""
        return connection

    def peer(self) -> Peer:
        """A client for WebSocket."""
        return Peer(self.connect())

    def client(self, connection: socket.socket) -> Any:
        """What the scope says about the client."""
        return list(connection.getsockname()[:2])

    def server(self, connection: socket.socket) -> Any:
        """What the scope says about the server."""
        return list(connection.getpeername()[:2])


class TCP(Endpoint):
    """`tcp:`."""


class TCPByOption(Endpoint):
    """-b and -p."""

    def words(self) -> list[str]:
        return ["-b", "127.0.0.1", "-p", "0", "told:application"]


class TCP6(Endpoint):
    """`tcp6:` on one address."""

    string = r"tcp6:0:interface=\:\:1"
    family = socket.AF_INET6
    address = "::1"


class TCPInterface(TCP6):
    """`tcp:` with an IPv6 address."""

    string = r"tcp:0:interface=\:\:1"


class Every(TCP6):
    """`tcp6:`, every address, reached over IPv6."""

    string = "tcp6:0"


class EveryInterface(TCP6):
    r"""`tcp:interface=\:\:`, reached over IPv6."""

    string = r"tcp:0:interface=\:\:"


class EveryReachedByIPv4(Endpoint):
    """`tcp6:`, every address, reached over IPv4: both ends as the kernel writes them then."""

    string = "tcp6:0"

    def client(self, connection: socket.socket) -> Any:
        host, port = connection.getsockname()
        return [f"::ffff:{host}", port]

    def server(self, connection: socket.socket) -> Any:
        host, port = connection.getpeername()
        return [f"::ffff:{host}", port]


class UNIX(Endpoint):
    """`unix:`."""

    string = "unix:{folder}/socket"
    family = socket.AF_UNIX
    stock_kind = STOCK_UNIX

    def prepare(self) -> None:
        self.path = self.folder / "socket"

    @property
    def destination(self) -> Any:
        return str(self.path)

    def client(self, connection: socket.socket) -> Any:
        return None

    def server(self, connection: socket.socket) -> Any:
        return [str(self.path), None]


class UNIXByOption(UNIX):
    """-u."""

    def words(self) -> list[str]:
        return ["-u", str(self.path), "told:application"]


class Abstract(UNIX):
    """`unix:@name`."""

    string = "unix:@{folder}/name"

    def prepare(self) -> None:
        pass

    @property
    def destination(self) -> Any:
        return f"\0{self.folder}/name"

    def server(self, connection: socket.socket) -> Any:
        return [f"@{self.folder}/name", None]


class AbstractByOption(Abstract):
    """-u @name."""

    def words(self) -> list[str]:
        return ["-u", f"@{self.folder}/name", "told:application"]


class Descriptor(Endpoint):
    """`fd:` of a socket that its parent listens on."""

    string = "fd:"
    outlives = True

    def prepare(self) -> None:
        listening = self.listening = socket.socket(self.family, socket.SOCK_STREAM)
        self.using.callback(listening.close)
        listening.bind((self.address, 0))
        self.listen()

    def listen(self) -> None:
        self.listening.listen(5)
        self.string = f"fd:fileno={self.listening.fileno()}"

    def start(self) -> Running:
        return self.run(pass_fds=[self.listening.fileno()])


class Descriptor6(Descriptor):
    """The same of an IPv6 socket, by --fd."""

    family = socket.AF_INET6
    address = "::1"

    def words(self) -> list[str]:
        return ["--fd", str(self.listening.fileno()), "told:application"]


class DescriptorUNIX(Descriptor):
    """The same of a UNIX socket, by --fd."""

    family = socket.AF_UNIX
    stock_kind = STOCK_UNIX
    file_stays = True

    def prepare(self) -> None:
        self.path = self.folder / "socket"
        self.listening = socket.socket(socket.AF_UNIX)
        self.using.callback(self.listening.close)
        self.listening.bind(str(self.path))
        self.listen()

    def words(self) -> list[str]:
        if self.stock:
            return super().words()
        return ["--fd", str(self.listening.fileno()), "told:application"]

    destination = UNIX.destination
    client = UNIX.client
    server = UNIX.server


class Systemd(Endpoint):
    """`systemd:` by the real systemd-socket-activate, which starts the server for a connection."""

    string = "systemd:domain=INET:index=0"

    def prepare(self) -> None:
        self.listens_on = free_port()
        self.passed = f"127.0.0.1:{self.listens_on}"

    def start(self) -> Running:
        activate = needed.program("systemd-socket-activate", "systemd")
        command = Running(
            *self.words(),
            program=[
                activate, "-l", self.passed, *self.more(),
                *(f"--setenv={name}" for name in ("PYTHONPATH", "CI") if name in os.environ),
                "--setenv=PYTHONUNBUFFERED=1",
                sys.executable, "-m", "daphne_like",
            ],
        )  # fmt: skip
        command.wait_for("Listening on")
        self.first()
        return command

    def more(self) -> list[str]:
        """Further sockets, and the names of all: without names Twisted takes none (26.10)."""
        return ["--fdname=web"]

    def first(self) -> None:
        """The connection that makes systemd start the server."""
        self.port = self.listens_on
        self.dial().close()


class SystemdNames(Systemd):
    """The second of two sockets, by its name: a UNIX one."""

    string = "systemd:domain=UNIX:name=site"
    family = socket.AF_UNIX
    stock_kind = STOCK_UNIX
    file_stays = True

    def prepare(self) -> None:
        super().prepare()
        self.path = self.folder / "socket"

    def more(self) -> list[str]:
        return ["-l", str(self.path), "--fdname=web:site"]

    def first(self) -> None:
        self.dial().close()

    destination = UNIX.destination
    client = UNIX.client
    server = UNIX.server


class SSL(Endpoint):
    """`ssl:`, Twisted's TLS."""

    string = "ssl:0:interface=127.0.0.1:privateKey={folder}/site-key.pem:certKey={folder}/site.pem"
    scheme = "https"
    below = (TWISTED_TLS,)

    def prepare(self) -> None:
        self.trusted = make_certificate(self.folder, "a.example")

    def secure(self, connection: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.trusted))
        secured = context.wrap_socket(connection, server_hostname="a.example")
        self.using.callback(secured.close)
        return secured


class TLS(SSL):
    """`tls:`, Twisted's TLS with a folder of certificates."""

    string = "tls:{folder}/certificates:port=0:interface=127.0.0.1"

    def prepare(self) -> None:
        folder = self.folder / "certificates"
        folder.mkdir()
        self.trusted = make_certificate(folder, "a.example")


class BehindProxy:
    """What `haproxy:` changes in an endpoint: the header in front, and the addresses of a scope."""

    preface = HEADER
    below: tuple[str, ...] = (PROXIED,)

    def client(self, connection: socket.socket) -> Any:
        return CLIENT

    def server(self, connection: socket.socket) -> Any:
        return SERVER


class Proxied(BehindProxy, Endpoint):
    """`haproxy:` around TCP."""

    string = "haproxy:tcp:0:interface=127.0.0.1"


class ProxiedTCP6(Proxied):
    """`haproxy:` around `tcp6:`, on every address, with a proxy that comes over IPv4."""

    string = "haproxy:tcp6:0"


class ProxiedUNIX(BehindProxy, UNIX):
    """`haproxy:` around a UNIX socket."""

    string = "haproxy:unix:{folder}/socket"


class ProxiedSSL(BehindProxy, SSL):
    """`haproxy:` around `ssl:`: the header is in front of TLS, in plain text."""

    string = f"haproxy:{SSL.string}"
    below = (TWISTED_TLS, PROXIED_TLS)


class ProxiedTLS(BehindProxy, TLS):
    """`haproxy:` around `tls:`."""

    string = f"haproxy:{TLS.string}"
    below = (TWISTED_TLS, PROXIED_TLS)


class ThirdParty(Endpoint):
    """A kind whose parser Twisted finds in a plug-in folder of somebody else's."""

    string = "friendly:0"

    def prepare(self) -> None:
        plugins = self.folder / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        shutil.copy(PROJECTS / "friendly_endpoint.py", plugins)

    def start(self) -> Running:
        path = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return self.run(environment={"PYTHONPATH": os.pathsep.join(path)})


class ProxiedThirdParty(BehindProxy, ThirdParty):
    """`haproxy:` around it."""

    string = "haproxy:friendly:0"


EVERYWHERE: list[type[Endpoint]] = [
    TCP, UNIX, Abstract, SSL, Descriptor, ThirdParty, Proxied, ProxiedSSL,
]  # fmt: skip
"""Those that are tried on Twisted's own asyncio reactor, too."""
NATIVE_ALONE: list[type[Endpoint]] = [
    TCPByOption, TCP6, TCPInterface, Every, EveryInterface, EveryReachedByIPv4, UNIXByOption,
    AbstractByOption, Descriptor6, DescriptorUNIX, Systemd, SystemdNames, TLS,
    ProxiedTCP6, ProxiedUNIX, ProxiedTLS, ProxiedThirdParty,
]  # fmt: skip


def ask(connection: socket.socket) -> dict[str, Any]:
    """What the application tells, on a connection that ends."""
    received = b""
    with connection:
        connection.sendall(get(b"/", b"Connection: close"))
        while octets := connection.recv(65536):
            received += octets
    (answer,) = read_answers(received)
    assert answer.status == 200
    told: dict[str, Any] = json.loads(answer.body)
    return told
