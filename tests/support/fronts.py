"""Real proxies in front of a server, each configured as its page says but for ports and folders."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, ClassVar

from tests.support import needed
from tests.support.documentation import COMMAND, ROOT, blocks
from tests.support.live_endpoints import free_port
from tests.support.real_server import DEADLINE, Running

CLIENT = "127.0.0.5"
"""The address of clients: a local one that the server does not trust."""
HOST = "site.example:8443"


class Front:
    """A proxy and a server.

    Args:
        over: "unix" or "tcp", between the two.

    Attributes:
        port: of the proxy.
        running: the server.
        http_version: of the requests that the server gets.
        notices: the proxy ends a request whose client has left, though nothing is written.
    """

    page: ClassVar[str]
    kind: ClassVar[str]
    http_version = "1.1"
    notices = True

    def __init__(self, over: str) -> None:
        self.over = over
        self._using = ExitStack()
        # Not in a folder of pytest, which other users, such as Apache's, may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="fronts-"))
        self._using.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.port = free_port()
        path = ROOT / "docs" / "howto" / self.page
        self.commands = [found[1] for found in COMMAND.finditer(path.read_text())]
        self.blocks = blocks(path, self.kind)
        try:
            self.running = self._start_server()
            program = self._start_proxy()
            self._using.callback(program.wait, DEADLINE)
            self._using.callback(program.terminate)
            needed.until(self._is_up)
        except BaseException:
            self.close()
            raise

    def server_command(self) -> str:
        """The command of the page."""
        return next(
            command for command in self.commands if ("-u " in command) == (self.over == "unix")
        )

    def _start_server(self) -> Running:
        command = self.server_command().replace("/run/site", str(self.folder))
        command = command.replace("-p 8000", "-p 0")
        *words, application = shlex.split(command)[1:]
        assert application == "mysite.asgi:application"
        running = Running(*words, "proxied:application")
        self._using.callback(running.stop)
        running.wait_for("serves")
        if self.over == "tcp":
            running.wait_until_ready()
        return running

    def _start_proxy(self) -> subprocess.Popen[bytes]:
        (self.folder / "configuration").write_text(self.configuration())
        errors = self._using.enter_context((self.folder / "errors").open("w"))
        return subprocess.Popen(
            self.program(),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder),
                 "XDG_CONFIG_HOME": str(self.folder)},
        )  # fmt: skip

    def program(self) -> list[str]:
        """The command line of the proxy."""
        raise NotImplementedError

    def configuration(self) -> str:
        """The proxy's configuration."""
        raise NotImplementedError

    def site(self, usual: str, over_tcp: str) -> str:
        """The configuration of the page.

        Args:
            usual: expression of the line for a UNIX socket.
            over_tcp: the line that the page has for TCP.
        """
        site = self.blocks[0]
        if self.over == "tcp":
            assert "8000" in over_tcp
            over_tcp = over_tcp.strip().replace("8000", str(self.running.port))
            site, count = re.subn(usual, lambda _: over_tcp, site)
            assert count == 1
        return site.replace("/run/site", str(self.folder))

    def _is_up(self) -> bool:
        try:
            return bool(self.ask("/"))
        except (ConnectionError, AssertionError):
            return False

    def dial(self) -> socket.socket:
        """A client's connection to the proxy."""
        connection = socket.create_connection(
            ("127.0.0.1", self.port), DEADLINE, source_address=(CLIENT, 0)
        )
        self._using.callback(connection.close)
        return connection

    def client(self) -> HTTPConnection:
        """A client that keeps its connection."""
        client = HTTPConnection("127.0.0.1", self.port, DEADLINE, source_address=(CLIENT, 0))
        self._using.callback(client.close)
        return client

    def ask(self, path: str, client: HTTPConnection | None = None, **fields: str) -> Any:
        """What the application answers, as JSON."""
        one = client or self.client()
        one.request("GET", path, headers={"Host": HOST, **fields})
        answer = one.getresponse()
        assert answer.status == 200
        told = json.loads(answer.read())
        if client is None:
            one.close()
        return told

    def close(self) -> None:
        """End both."""
        self._using.close()


class Nginx(Front):
    """nginx."""

    page, kind = "nginx.rst", "nginx"

    def program(self) -> list[str]:
        nginx = needed.program("nginx", "nginx-light")
        return [nginx, "-p", str(self.folder), "-c", f"{self.folder}/configuration"]

    def configuration(self) -> str:
        site = self.site(r"server unix:\S+;", self.blocks[1])
        site, count = re.subn(r"listen 80;", f"listen 127.0.0.1:{self.port};", site)
        assert count == 1
        return (
            f"daemon off; pid {self.folder}/pid; error_log stderr; user root;\n"
            f"events {{}}\nhttp {{ access_log off;\n{site}}}\n"
        )


class NginxBelowPath(Nginx):
    """nginx that removes /app from the path of each request."""

    def server_command(self) -> str:
        return self.commands[-1]

    def configuration(self) -> str:
        below = self.blocks[2].replace("\n", "\n    ").strip()
        text, count = re.subn(
            r"location / \{\s+proxy_pass \S+", lambda _: below, super().configuration()
        )
        assert count == 1
        return text

    def _is_up(self) -> bool:
        try:
            return bool(self.ask("/app/"))
        except (ConnectionError, AssertionError):
            return False


class NginxWholePath(NginxBelowPath):
    """nginx that passes on the whole path."""

    def server_command(self) -> str:
        return super().server_command().replace(" --root-path-stripped", "")

    def configuration(self) -> str:
        text, count = re.subn("http://site/;", "http://site;", super().configuration())
        assert count == 1
        return text


class HAProxy(Front):
    """HAProxy with HTTP/1.1 to the server."""

    page, kind = "haproxy.rst", "text"
    line = 1

    def server_command(self) -> str:
        command = self.commands[0]
        return (
            command if self.over == "unix" else re.sub(r"-u \S+", "-b 127.0.0.1 -p 8000", command)
        )

    def program(self) -> list[str]:
        return [needed.program("haproxy", "haproxy"), "-f", f"{self.folder}/configuration"]

    def configuration(self) -> str:
        site = self.site("server site1 .*", self.blocks[self.line])
        site, count = re.subn("bind :80", f"bind 127.0.0.1:{self.port}", site)
        assert count == 1
        return site


class HAProxyHTTP2(HAProxy):
    """HAProxy with HTTP/2 to the server."""

    line = 2
    http_version = "2"

    def configuration(self) -> str:
        site = super().configuration()
        if self.over == "unix":
            site, count = re.subn(r"(server site1 \S+)", r"\1 proto h2", site)
            assert count == 1
        return site


class Apache(Front):
    """Apache, with the modules of its page and two that every Apache has."""

    page, kind = "apache.rst", "apache"
    notices = False
    modules = Path("/usr/lib/apache2/modules")

    def program(self) -> list[str]:
        apache = needed.program("apache2", "apache2")
        return [apache, "-f", f"{self.folder}/configuration", "-D", "FOREGROUND"]

    def configuration(self) -> str:
        site = self.site("ProxyPass .*", self.blocks[1])
        site, count = re.subn(r"\*:80>", f"127.0.0.1:{self.port}>", site)
        assert count == 1
        page = (ROOT / "docs" / "howto" / self.page).read_text()
        (enabled,) = re.findall(r"a2enmod (.*)", page)
        loaded = ["mpm_event", "authz_core", *enabled.split()]
        return "\n".join(
            [
                *(f"LoadModule {name}_module {self.modules}/mod_{name}.so" for name in loaded),
                f"ServerRoot {self.folder}", f"DefaultRuntimeDir {self.folder}",
                f"PidFile {self.folder}/pid", f"ErrorLog {self.folder}/errors",
                "ServerName localhost", "User www-data", "Group www-data",
                f"Listen 127.0.0.1:{self.port}", site,
            ]
        )  # fmt: skip


class Caddy(Front):
    """Caddy."""

    page, kind = "caddy.rst", "text"

    def program(self) -> list[str]:
        caddy = needed.program("caddy", "caddy")
        return [caddy, "run", "--adapter", "caddyfile", "--config", f"{self.folder}/configuration"]

    def configuration(self) -> str:
        site = self.site(r"reverse_proxy unix//\S+ \{", self.blocks[1])
        site, count = re.subn(r"(?m)^:80 \{", f":{self.port} {{", site)
        assert count == 1
        return f"{{\n    admin off\n    default_bind 127.0.0.1\n}}\n{site}"


FRONTS: list[type[Front]] = [Nginx, HAProxy, HAProxyHTTP2, Apache, Caddy]
