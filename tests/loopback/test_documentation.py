"""Every command in README and docs is run as written, but for ports and paths."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support import needed
from tests.support.certificates import Authority
from tests.support.documentation import COMMAND, ROOT, ask_until_served, block, blocks
from tests.support.real_server import TWIST, TWISTD, URL, Running, fetched

PAGES = [
    ROOT / "README.rst",
    *sorted((ROOT / "docs").rglob("*.rst")),
    ROOT / "examples" / "chat" / "README.rst",
]
ANY_COMMAND = re.compile(r"^ +\$ (.*)$", re.MULTILINE)
RUN_ELSEWHERE = {
    "daphne-like": "TestCommands, tests/loopback/test_configuration.py",
    "DAPHNE_LIKE_": "tests/loopback/test_configuration.py",
    "PROMETHEUS_MULTIPROC_DIR": "tests/metrics/test_page.py, without the workers",
    "twist": "TestTwistd",
    "twistd": "TestTwistd",
    "openssl req": "TestTLS",
    "curl": "TestTutorial, TestTLS, TestHTTP2, tests/loopback/test_chat.py",
    "python manage.py": "tests/django/test_documentation.py, tests/loopback/test_chat.py",
    "systemd-socket-activate": "tests/loopback/test_systemd.py",
    "python -m tests.conformance": "tests/conformance/test_autobahn.py",
    "python3 -m venv": "the gate, which installs the wheel",
    ". .venv/bin/activate": "a shell's own",
    "pip install": "the gate, which installs the wheel",
    ".venv/bin/": "the gate, which installs the wheel and starts what is in it",
    ".ci/run": "the gate itself",
    "export PYTHONPATH": "a shell's own",
    "export REDIS_URL": "tests/loopback/test_chat.py",
    "sudo systemctl": "nowhere: it needs a machine that systemd has started",
    "systemctl": "nowhere: it needs a machine that systemd has started",
    "journalctl": "nowhere: it needs a machine that systemd has started",
    "sudo a2enmod": "tests/loopback/test_proxies.py, which loads these modules",
    "sudo useradd": "nowhere: it adds a user",
    "sudo install": "nowhere: it makes folders of the system",
    "sudo /srv/site/deploy": "tests/loopback/test_documentation_deploy.py",
    "grep -rn": "TestGrep",
    "python -c 'import secrets": "tests/loopback/test_status.py",
    "ssh -L": "nowhere: it needs another machine",
    "kill -HUP": "tests/loopback/test_documentation_workers.py",
    "ps -o": "tests/loopback/test_documentation_workers.py, test_documentation_deploy.py",
}
"""What a command in the documentation begins with, and where it is run as written."""
PROXY_LINE = b"PROXY UNKNOWN\r\n"
SERVING = [
    pytest.param(found[1], id=f"{page.stem}: {found[1]}")
    for page in PAGES
    if page.stem != "configuration"  # see RUN_ELSEWHERE
    for found in COMMAND.finditer(page.read_text())
    if found[1].split()[1] not in ("status", "stacks")  # tests/loopback/test_status.py
]
TWISTED_COMMAND = re.compile(r"^    \$ (twistd? .*)$", re.MULTILINE)
HOWTO = ROOT / "docs" / "howto"
NAMED = re.compile(r"\.\. code-block:: python\n   :name: (\S+)\n\n((?:    .*\n|\n)+)")


def named(page: str) -> dict[str, str]:
    """The code blocks of a how-to that have a name."""
    return {
        name: re.sub("^    ", "", text, flags=re.MULTILINE).strip() + "\n"
        for name, text in NAMED.findall((HOWTO / page).read_text())
    }


def elsewhere(text: str, project: Path) -> str:
    """The same with free ports, and files in the project."""
    for folder in ("/run/site", "/etc/site"):
        text = text.replace(folder, str(project))
    text = text.replace(" 0.0.0.0", " 127.0.0.1")
    text = re.sub(r"tcp:\d+(:interface=127\.0\.0\.1)?", "tcp:0:interface=127.0.0.1", text)
    text = re.sub(r"(ssl:|certificates:|-p )\d+\b", r"\g<1>0", text)
    return re.sub(r"port=\d+", "port=0", text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with README's application, the chat, and a Django project's place."""
    (tmp_path / "hello.py").write_text(block(ROOT / "README.rst", "python"))
    for name in ("echo.py", "files.py"):
        (tmp_path / name).write_text((ROOT / "examples" / name).read_text())
    page = ROOT / "docs" / "howto" / "applications.rst"
    (tmp_path / "main.py").write_text(block(page, "python"))
    shutil.copytree(ROOT / "examples" / "chat", tmp_path, dirs_exist_ok=True)
    write_certificates(tmp_path)
    (tmp_path / "status-token").write_text("a-token-of-enough-characters\n")
    (tmp_path / "mysite").mkdir()
    (tmp_path.parent / "library").mkdir(exist_ok=True)
    (tmp_path / "mysite" / "asgi.py").write_text("from hello import application\n")
    return tmp_path


def write_certificates(folder: Path) -> None:
    """What docs/howto/tls.rst names."""
    authority = Authority()
    authority.write(folder)
    site, other = authority.issue("localhost"), authority.issue("example.org")
    (folder / "crt.pem").write_bytes(site.chain)
    (folder / "key.pem").write_bytes(site.key)
    (folder / "encrypted.pem").write_bytes(site.encrypted(b"secret"))
    (folder / "password").write_text("secret\n")
    other.write_both(folder / "other.pem")
    site.write_both(folder / "site.pem")
    (folder / "certificates").mkdir()
    site.write_both(folder / "certificates" / "localhost.pem")


def serve(monkeypatch: pytest.MonkeyPatch, project: Path, *arguments: str) -> Running:
    monkeypatch.setattr("tests.support.real_server.PROJECTS", project)
    return Running(*arguments)


def test_every_command_is_run() -> None:
    """A kind of command that no test knows is not documented."""
    commands = [line for page in PAGES for line in ANY_COMMAND.findall(page.read_text())]
    assert len(commands) > 60
    assert [line for line in commands if not line.startswith(tuple(RUN_ELSEWHERE))] == []


def test_shell_lines_are_marked_as_such() -> None:
    """A block of commands is `console`, so that it is neither coloured nor copied as Python."""
    wrong = re.compile(r"(?:::|code-block:: (?!console|shell).*)\n\n +\$ .*")
    assert [found for page in PAGES for found in wrong.findall(page.read_text())] == []


class TestReadme:
    """What README says of its surroundings."""

    def test_programs_of_the_tests(self) -> None:
        """Every program that the gate installs is named."""
        gate = (ROOT / ".ci" / "run").read_text()
        (pairs,) = re.findall(r"for pair in ((?:.|\n)*?); do", gate)
        packages = [pair.partition(":")[2] for pair in pairs.replace("\\", "").split()]
        assert len(packages) > 9
        readme = (ROOT / "README.rst").read_text()
        assert [name for name in packages if name not in readme] == []

    def test_versions_of_python(self) -> None:
        """README, the classifiers and tox name the same ones."""
        classifiers = re.findall(
            r"Python :: (3\.\d+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE
        )
        assert f"Python {classifiers[0]} to {classifiers[-1]} " in (ROOT / "README.rst").read_text()
        environments = ", ".join(f"py{version.replace('.', '')}" for version in classifiers)
        assert f"env_list = {environments}, lowest\n" in (ROOT / "tox.ini").read_text()


class TestTutorial:
    """docs/tutorial.rst, from its application to its answer."""

    def test_it_goes_as_told(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command prints the lines of the page, and curl what the page says."""
        page = ROOT / "docs" / "tutorial.rst"
        (command,) = [line for line in ANY_COMMAND.findall(page.read_text()) if " hello:" in line]
        expected = block(page, "text").replace("43017", "PORT").splitlines()
        curl, answer = blocks(page, "console")[2].splitlines()
        running = serve(monkeypatch, project, *shlex.split(command)[1:])
        try:
            running.wait_until_ready()
            told = running.log.replace(running.url, "http://127.0.0.1:PORT").splitlines()
            printed = curled(curl.removeprefix("$ "), "43017", running)
        finally:
            running.stop()
        assert printed == answer + "\n"
        assert [without_versions(line) for line in told[:2]] == [
            without_versions(line) for line in expected
        ]


def curled(command: str, port: str, running: Running) -> str:
    """What a curl command prints, header included for HTTP/2; `port` of it is the server's."""
    name, *arguments = shlex.split(command.replace(port, str(running.port)))
    quiet = "-si" if "--http2-prior-knowledge" in arguments else "-s"
    done = subprocess.run(
        [needed.program(name, name), quiet, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.stdout


def without_versions(line: str) -> str:
    """A line of the log without its time and the numbers of versions."""
    return re.sub(r"\d+(?:[.:,-]\d+)+", "N", line)


class TestHTTP2:
    """docs/howto/http2.rst."""

    def test_curl_in_clear_text(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The page's curl command is answered over HTTP/2."""
        (command,) = [
            line
            for line in ANY_COMMAND.findall((HOWTO / "http2.rst").read_text())
            if line.startswith("curl ")
        ]
        running = serve(monkeypatch, project, "-p", "0", "hello:application")
        try:
            running.wait_until_ready()
            printed = curled(command, "8000", running)
        finally:
            running.stop()
        assert printed.startswith("HTTP/2 200")
        assert printed.endswith("Hello, world!\n")


class TestTLS:
    """docs/howto/tls.rst."""

    def test_own_certificate(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The three commands after each other: make a certificate, serve with it, ask."""
        make, command, ask = next(
            found.replace("$ ", "").splitlines()
            for found in blocks(HOWTO / "tls.rst", "console")
            if "openssl" in found
        )
        for name in ("crt.pem", "key.pem"):
            (project / name).unlink()
        needed.program("openssl", "openssl")
        subprocess.run(shlex.split(make), cwd=project, check=True, capture_output=True, timeout=30)
        _, *arguments = shlex.split(elsewhere(command, project))
        running = serve(monkeypatch, project, *arguments)
        try:
            running.wait_until_ready()
            printed = curled(ask.replace("crt.pem", f"{project}/crt.pem"), "8443", running)
        finally:
            running.stop()
        assert printed == "Hello, world!\n"


class TestPictures:
    """docs/pictures.py and docs/status_pictures.py."""

    def test_pictures_are_small(self) -> None:
        """Everybody who clones the repository loads them."""
        pictures = sorted((ROOT / "docs" / "_static").glob("*.png"))
        assert [path.name for path in pictures] == [
            "demo-dark.png", "demo-light.png", "status-desktop-dark.png",
            "status-desktop-light.png", "status-phone-dark.png", "status-phone-light.png",
            "status-stuck.png", "status-terminal.png",
        ]  # fmt: skip
        assert [path.name for path in pictures if path.stat().st_size >= 200_000] == []

    def test_they_can_be_taken_again(self, tmp_path: Path) -> None:
        """The script shows the demo of today to Chromium."""
        needed.program("chromium", "chromium")
        needed.program("chromedriver", "chromium-driver")
        done = subprocess.run(
            [sys.executable, ROOT / "docs" / "pictures.py", tmp_path],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        for name in ("demo-dark.png", "demo-light.png"):
            octets = (tmp_path / name).read_bytes()
            assert octets.startswith(b"\x89PNG\r\n")
            assert struct.unpack_from(">II", octets, 16) == (1120, 600)


class TestGrep:
    """docs/reference/rules.rst."""

    def test_it_finds_the_tests(self) -> None:
        """The page's grep command finds tests that name the rule."""
        (command,) = [
            line
            for line in ANY_COMMAND.findall((ROOT / "docs/reference/rules.rst").read_text())
            if line.startswith("grep ")
        ]
        done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True)
        assert "tests/" in done.stdout


class TestCommands:
    """What a person copies works."""

    @pytest.mark.parametrize("line", SERVING)
    def test_it_serves(self, line: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each `daphne-like ...` starts, listens everywhere it says, and stops with status 0."""
        line = elsewhere(line, project)
        if os.geteuid() != 0:
            line = line.replace("www-data", str(os.getgid()))
        name, *arguments = shlex.split(line)
        assert name == "daphne-like"
        if "--help" in arguments:
            arguments = ["-p", "0"]
        if not {"-u", "-e", "-p"} & set(arguments):
            arguments = ["-p", "0", *arguments]
        running = serve(monkeypatch, project, *arguments)
        try:
            running.wait_for("serves")
            for path in re.findall(r"unix:(\S+?)[,\s]", running.log):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(path)
                    if "https:unix:" in line:
                        continue  # tests/loopback/test_tls.py asks such a one
                    preface = PROXY_LINE if "haproxy:" in line else b""
                    connection.sendall(preface + b"GET / HTTP/1.0\r\n\r\n")
                    assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
            running.signal()
            assert running.ended() == 0
        finally:
            running.stop()

    def test_the_application_is_the_example(self) -> None:
        """README and examples/ show the same five lines."""
        example = (ROOT / "examples" / "hello.py").read_text()
        assert example.endswith(block(ROOT / "README.rst", "python"))

    def test_events_example(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """examples/events.py streams, and its application ends when the peer has gone."""
        running = serve(monkeypatch, ROOT / "examples", "-p", "0", "events:application")
        try:
            running.wait_until_ready()
            with running.connect() as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                received = b""
                while b"data: event 2\n" not in received:
                    received += connection.recv(4096)
            running.signal()
            assert running.ended(5) == 0
        finally:
            assert "cancelling" not in running.stop()

    def test_files_example(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """examples/files.py: a hint, itself, and its digest."""
        running = serve(monkeypatch, ROOT / "examples", "-p", "0", "files:application")
        try:
            running.wait_until_ready()
            with running.connect() as connection:
                connection.sendall(
                    b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n"
                )
                received = b""
                while octets := connection.recv(65536):
                    received += octets
        finally:
            running.stop()
        source = (ROOT / "examples" / "files.py").read_bytes()
        assert received.startswith(
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n"
        )
        assert source in received
        digest = hashlib.sha256(source).hexdigest().encode()
        assert received.endswith(b"\r\n0\r\nx-sha256: " + digest + b"\r\n\r\n")


class TestEmbedding:
    """docs/howto/embedding.rst: each program runs as written, and ends at SIGTERM."""

    @pytest.mark.parametrize("name", ["one_line.py", "with_event.py", "program.py", "service.py"])
    def test_it_serves(self, project: Path, name: str) -> None:
        """It answers, and its exit status is 0."""
        (project / name).write_text(
            "from daphne_like.server import Server\n"
            "told = Server.listen_success\n"
            "def listen_success(server, port):\n"
            "    told(server, port)\n"
            "    print(server.listening_addresses, flush=True)\n"
            "Server.listen_success = listen_success\n"
            + elsewhere(named("embedding.rst")[name], project)
        )
        running = Running(name, program=[sys.executable], cwd=project)
        try:
            port = int(running.wait_for(r"'127\.0\.0\.1', (\d+)")[1])
            assert fetched(port, "/").startswith(b"HTTP/1.1 200 OK")
            running.signal()
            assert running.ended() == 0
        finally:
            running.stop()

    def test_as_a_context(self, project: Path) -> None:
        """It asks itself, and ends by itself."""
        (project / "program.py").write_text(named("embedding.rst")["as_context.py"])
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=project, capture_output=True, text=True, timeout=30
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "Hello, world!" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="twistd makes daemons on POSIX")
class TestTwistd:
    """docs/howto/twistd.rst."""

    @pytest.mark.parametrize("line", TWISTED_COMMAND.findall((HOWTO / "twistd.rst").read_text()))
    def test_it_serves(self, line: str, project: Path) -> None:
        """Each command starts, in the foreground or as a daemon, and ends at SIGTERM."""
        if "--uid" in line:
            if os.getuid() != 0:
                pytest.skip("only root may drop privileges: run the tests as root, in a container")
            project = public_copy(project)
        try:
            (project / "site.tac").write_text(elsewhere(named("twistd.rst")["site.tac"], project))
            name, *arguments = shlex.split(elsewhere(line, project))
            if "-p" not in arguments and ".tac" not in line:
                arguments[arguments.index("daphne-like") + 1 :] += ["-p", "0"]
            if name == "twist" or "-n" in line:
                self.foreground(TWIST if name == "twist" else TWISTD, arguments, project)
            else:
                self.daemon(arguments, project)
        finally:
            if "--uid" in line:
                shutil.rmtree(project)

    @staticmethod
    def foreground(program: tuple[str, ...], arguments: list[str], project: Path) -> None:
        running = Running(*arguments, program=program, cwd=project)
        try:
            ports = running.wait_for(
                r"(?s)HTTPFactory starting on (\d+).*HTTPFactory starting on (\d+).* Factory"
                if "site.tac" in arguments
                else URL.pattern
            )
            if "site.tac" in arguments:
                for port in ports.groups()[:2]:
                    assert fetched(int(port), "/").startswith(b"HTTP/1.1 200 OK")
            running.signal()
            assert running.ended() == -signal.SIGTERM
        finally:
            running.stop()

    @staticmethod
    def daemon(arguments: list[str], project: Path) -> None:
        pid_file = Path(arguments[arguments.index("--pidfile") + 1])
        with (project / "output").open("w") as output:
            done = subprocess.run(
                [*TWISTD, *arguments], cwd=project, stdout=output, stderr=output, timeout=30
            )
        assert (done.returncode, (project / "output").read_text()) == (0, "")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        needed.until(lambda: not pid_file.exists())


def public_copy(project: Path) -> Path:
    """A copy that www-data owns, where pytest's own folders are not open to others."""
    copy = Path(tempfile.mkdtemp())
    shutil.copytree(project, copy, dirs_exist_ok=True)
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, "www-data", "www-data")
    return copy


class TestNginx:
    """docs/howto/nginx.rst with Debian's nginx in front."""

    @pytest.fixture
    def through_nginx(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[str], int]]:
        """through_nginx(application): its port at an nginx that is set up as the page says."""
        nginx = needed.program("nginx", "nginx-light")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        site = block(ROOT / "docs" / "howto" / "nginx.rst", "nginx")
        site = site.replace("/run/site", str(project)).replace(
            "listen 80;", f"listen 127.0.0.1:{port};"
        )
        site = site.replace("/srv/site", str(project))
        (project / "nginx.conf").write_text(
            f"daemon off; pid {project}/pid; error_log stderr; user root;\n"
            f"events {{}}\nhttp {{ access_log off;\n{site}}}\n"
        )
        with ExitStack() as started:

            def start(application: str) -> int:
                arguments = ["-u", f"{project}/http.sock", "--proxy-headers", application]
                running = serve(monkeypatch, project, *arguments)
                started.callback(running.stop)
                running.wait_for("serves")
                proxy = subprocess.Popen(
                    [nginx, "-p", str(project), "-c", f"{project}/nginx.conf"],
                    stderr=subprocess.DEVNULL,
                )
                started.callback(proxy.wait, 20)
                started.callback(proxy.terminate)
                return port

            yield start

    def test_host_body_and_files(self, project: Path, through_nginx: Callable[[str], int]) -> None:
        """The client's Host with its port, a body above nginx's usual 1 MB, and static files."""
        (project / "told.py").write_text(
            "async def application(scope, receive, send):\n"
            "    size, more = 0, True\n"
            "    while more:\n"
            "        event = await receive()\n"
            "        size += len(event['body'])\n"
            "        more = event['more_body']\n"
            "    body = repr((dict(scope['headers'])[b'host'], size)).encode()\n"
            "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
            "    await send({'type': 'http.response.body', 'body': body})\n"
        )
        (project / "static").mkdir()
        (project / "static" / "site.css").write_text("body {}")
        port = through_nginx("told:application")
        ask_until_served(port)
        with urlopen(f"http://127.0.0.1:{port}/", bytes(3_000_000), timeout=20) as answer:
            assert answer.read() == repr((f"127.0.0.1:{port}".encode(), 3_000_000)).encode()
        with urlopen(f"http://127.0.0.1:{port}/static/site.css", timeout=20) as answer:
            assert answer.read() == b"body {}"
