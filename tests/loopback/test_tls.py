"""TLS for real: openssl, curl, websockets and Python's ssl are the clients."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from tests.support import needed
from tests.support.certificates import Authority
from tests.support.real_server import DEADLINE, PROJECTS, TWISTD, Running

AUTHORITY = Authority()
BETWEEN = Authority("Intermediate CA", AUTHORITY)
SITE = BETWEEN.issue("localhost", "example.org", "*.example.org")
OTHER = BETWEEN.issue("other.example", "localhost")
ALICE = BETWEEN.issue(name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")]))
STRANGER = Authority("Another CA").issue(name=ALICE.certificate.subject)
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

Serve = Callable[..., Running]


@pytest.fixture
def site(tmp_path: Path) -> tuple[str, ...]:
    """The options for a certificate of localhost."""
    certificate, key = SITE.write(tmp_path, "site")
    return "--tls-certificate", certificate, "--tls-key", key


@pytest.fixture
def running(server: Serve, site: tuple[str, ...]) -> Running:
    return server("secured:application", "-v", "2", *site)


@pytest.fixture
def alone() -> Iterator[Callable[..., Running]]:
    """alone(*arguments): a process that chooses itself where it listens."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    yield start
    for process in started:
        assert "Traceback" not in process.stop()


def secure(
    sock: socket.socket, context: ssl.SSLContext | None = None, host: str = "localhost"
) -> Any:
    return (context or AUTHORITY.client()).wrap_socket(sock, server_hostname=host)


def ask(tls: Any) -> dict[str, Any]:
    """One request; what the application saw."""
    tls.sendall(REQUEST)
    answer = http.client.HTTPResponse(tls)
    answer.begin()
    found: dict[str, Any] = json.loads(answer.read())
    return found


def is_refused(running: Running, context: ssl.SSLContext) -> bool:
    """Whether a client gets no answer; with TLS 1.3 it learns that after its own handshake."""
    try:
        with running.connect() as plain, secure(plain, context) as tls:
            ask(tls)
    except (ssl.SSLError, ConnectionResetError):
        return True
    return False


def shown(running: Running, host: str) -> x509.Certificate:
    with secure(running.connect(), host=host) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [needed.program("curl", "curl"), "-sS", "-m", "20", *arguments]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE, check=False)


def s_client(running: Running, *arguments: str) -> str:
    """What openssl's client prints."""
    command = [needed.program("openssl", "openssl"), "s_client", "-connect",
               f"{running.host}:{running.port}", *arguments]  # fmt: skip
    done = subprocess.run(
        command, input="", capture_output=True, timeout=DEADLINE, check=False, text=True
    )
    return done.stdout + done.stderr


class TestHandshake:
    """What is settled, and what is not spoken."""

    def test_curl(self, running: Running, tmp_path: Path) -> None:
        """The chain is sent and verifies; ALPN settles on h2 (RFC 7301)."""
        url = f"https://localhost:{running.port}"
        done = curl("-v", "--cacert", AUTHORITY.write(tmp_path), f"{url}/", f"{url}/")
        assert done.stdout.count(b'"scheme": "https"') == 2
        assert b"server accepted h2" in done.stderr
        assert b"Re-using existing" in done.stderr or b"Reusing existing" in done.stderr

    def test_large_bodies(self, running: Running, tmp_path: Path) -> None:
        """16 MB each way arrive whole."""
        octets = bytes(range(256)) * 65536
        (tmp_path / "body").write_bytes(octets)
        url = f"https://localhost:{running.port}/large"
        ca = ("--cacert", AUTHORITY.write(tmp_path))
        assert curl(*ca, url).stdout == octets
        done = curl(*ca, "--data-binary", f"@{tmp_path}/body", url)
        assert done.stdout.decode() == hashlib.sha256(octets).hexdigest()

    @pytest.mark.parametrize("flag", ["-tls1", "-tls1_1"])
    def test_old_versions_are_refused(self, running: Running, flag: str) -> None:
        """RFC 8996: no TLS before 1.2, whatever the client would take."""
        said = s_client(running, flag, "-cipher", "ALL:@SECLEVEL=0")
        assert "Cipher is (NONE)" in said
        assert "alert protocol version" in said
        running.wait_for(r"\[\d+ 127.0.0.1:[0-9]+\] Refused in its TLS handshake: ")

    def test_minimum_version(self, server: Serve, site: tuple[str, ...]) -> None:
        """--tls-minimum-version 1.3: 1.2 is refused, 1.3 is not."""
        running = server("secured:application", *site, "--tls-minimum-version", "1.3")
        assert "alert protocol version" in s_client(running, "-tls1_2")
        assert "TLSv1.3" in s_client(running, "-tls1_3")

    def test_ciphers(self, server: Serve, site: tuple[str, ...]) -> None:
        """--tls-ciphers: with TLS 1.2 nothing else; by default nothing without AEAD."""
        default = server("secured:application", *site)
        assert "Cipher is (NONE)" in s_client(
            default, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"
        )
        chosen = server(
            "secured:application", *site, "--tls-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305"
        )
        assert "ECDHE-ECDSA-CHACHA20-POLY1305" in s_client(chosen, "-tls1_2")
        assert "Cipher is (NONE)" in s_client(chosen, "-tls1_2", "-cipher", "ECDHE+AESGCM")

    def test_no_compression_and_no_renegotiation(self, running: Running) -> None:
        """CRIME, and CVE-2009-3555 with its relatives: the second handshake does not happen."""
        command = [needed.program("openssl", "openssl"), "s_client", "-tls1_2", "-connect",
                   f"{running.host}:{running.port}"]  # fmt: skip
        done = subprocess.run(
            command, input="R\n", capture_output=True, timeout=DEADLINE, check=False, text=True
        )
        assert "Compression: NONE" in done.stdout
        assert "RENEGOTIATING" in done.stderr
        assert "no renegotiation" in done.stderr

    def test_resumption(self, running: Running) -> None:
        """RFC 8446, 2.2: a client that comes back does not pay for a whole handshake."""
        context = AUTHORITY.client()
        with secure(running.connect(), context) as first:
            ask(first)
            session = first.session
        with context.wrap_socket(
            running.connect(), server_hostname="localhost", session=session
        ) as again:
            ask(again)
            assert again.session_reused

    def test_deadline(self, server: Serve, site: tuple[str, ...]) -> None:
        """S35: an absolute deadline, whatever trickles in; the handshaken connection stays."""
        running = server("secured:application", *site, "-v", "2", "--tls-handshake-timeout", "1")
        silent, slow = running.connect(), running.connect()
        with secure(running.connect()) as done:
            for octet in CLIENT_HELLO:
                slow.send(bytes([octet]))
            for cut in (silent, slow):
                with pytest.raises(ConnectionResetError):
                    cut.recv(1)
            running.wait_for("(?s)(in its TLS handshake: it took too long.*){2}")
            assert running.log.count("in its TLS handshake: it took too long") == 2
            assert ask(done)["scheme"] == "https"

    def test_a_broken_handshake_harms_nobody(self, running: Running) -> None:
        """K1: rubbish in each stage of a handshake; one line each, and the others go on."""
        with secure(running.connect()) as living:
            for rubbish in (b"\0" * 100, CLIENT_HELLO + b"\xff" * 600):
                connection = running.connect()
                connection.sendall(rubbish)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            gone = running.connect()
            gone.sendall(CLIENT_HELLO)
            gone.close()
            running.wait_for("closed the connection in its TLS handshake")
            assert ask(living)["scheme"] == "https"
        assert len(re.findall("in its TLS handshake: ", running.log)) == 2

    def test_half_close(self, running: Running) -> None:
        """RFC 9112, 9.6: close_notify comes with the answer, though the peer may still send."""
        with secure(running.connect()) as tls:
            tls.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\nuryyb")
            answer = b"".join(iter(lambda: tls.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 501 ")
        running.signal()
        assert running.ended() in (0, -signal.SIGTERM)
        assert "timed out" not in running.log

    def test_broken_records(self, running: Running) -> None:
        """RFC 8446, 5.2: what does not decipher ends that connection with an alert."""
        connection = running.connect()
        tls = secure(connection)
        ask(tls)
        os.write(tls.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
            tls.recv(1)
        tls.close()
        running.wait_for(r"\[\d+ 127.0.0.1:\d+\] ! TLS is broken")


class TestConfusion:
    """The wrong protocol on the right port."""

    def test_plain_http_on_a_tls_port(self, running: Running) -> None:
        """A person with curl is told what to do, in plain text."""
        done = curl("-i", f"http://localhost:{running.port}/")
        assert done.stdout.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"This port speaks TLS: use https://" in done.stdout
        running.wait_for("TLS handshake: plain HTTP on a TLS port")

    def test_plain_upload_on_a_tls_port(self, running: Running) -> None:
        """RFC 9112, 9.6: the answer is not lost in a reset though nobody reads the upload."""
        connection = running.connect()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        received = connection.recv(4096)
        connection.sendall(b"x" * 1_000_000)
        while data := connection.recv(4096):
            received += data
        assert received.endswith(b"use https:// (wss:// for WebSocket).\n")

    def test_tls_on_a_plain_port(self, server: Serve) -> None:
        """The client's library says what it says; the octets and our log are clear."""
        running = server("secured:application", "-v", "2")
        done = curl(f"https://localhost:{running.port}/")
        assert done.returncode == 35
        assert b"wrong version number" in done.stderr
        running.wait_for("This port speaks plain HTTP, not TLS")


class TestNames:
    """Several certificates."""

    def test_sni(self, server: Serve, tmp_path: Path) -> None:
        """RFC 6066, 3: by name; the first for all others."""
        arguments = []
        for issued, name in ((OTHER, "other"), (SITE, "site")):
            certificate, key = issued.write(tmp_path, name)
            arguments += ["--tls-certificate", certificate, "--tls-key", key]
        running = server("secured:application", *arguments)
        assert shown(running, "www.example.org") == SITE.certificate
        assert shown(running, "other.example") == OTHER.certificate
        assert shown(running, "localhost") == OTHER.certificate
        with secure(running.connect(), host="www.example.org") as tls:
            assert SITE.chain.decode().startswith(ask(tls)["tls"]["server_cert"])

    def test_a_name_that_is_not_ascii(self, server: Serve, tmp_path: Path) -> None:
        """RFC 6066, 3: an alert, one line at DEBUG, and no traceback past the log."""
        arguments = []
        for issued, name in ((OTHER, "other"), (SITE, "site")):
            certificate, key = issued.write(tmp_path, name)
            arguments += ["--tls-certificate", certificate, "--tls-key", key]
        running = server("secured:application", "-v", "2", *arguments)
        assert "alert" in s_client(running, "-servername", "h\u00fc.example")
        running.wait_for(r"\[\d+ 127.0.0.1:[0-9]+\] Refused in its TLS handshake: ")
        assert shown(running, "www.example.org") == SITE.certificate
        assert "ignored" not in running.log
        assert "Traceback" not in running.log


class TestReload:
    """Certificates that are renewed while they are used."""

    def test_changed_files(self, running: Running, tmp_path: Path) -> None:
        """New handshakes get the new one, a connection that lives does not notice."""
        with secure(running.connect()) as living:
            before = ask(living)
            OTHER.write(tmp_path, "site")
            running.wait_for("TLS certificates loaded")
            assert shown(running, "localhost") == OTHER.certificate
            assert ask(living) == before

    def test_hangup(self, running: Running) -> None:
        """SIGHUP reads them anew at once, changed or not; the connection that lives does."""
        with secure(running.connect()) as living:
            before = ask(living)
            assert "TLS certificates loaded" not in running.log
            running.signal(signal.SIGHUP)
            running.wait_for("TLS certificates loaded")
            assert ask(living) == before
        assert shown(running, "localhost") == SITE.certificate

    def test_hangup_under_twistd(self, site: tuple[str, ...], program: Serve) -> None:
        """The same in a service of twistd's, behind haproxy: too."""
        certificate = site[site.index("--tls-certificate") + 1]
        key = site[site.index("--tls-key") + 1]
        string = f"haproxy:https:tcp:0:interface=127.0.0.1:certificate={certificate}:key={key}"
        arguments = ("-n", "--pidfile=", "daphne-like", "-e", string, "secured:application")
        running = program(*arguments, program=TWISTD)
        running.wait_for("serves")
        assert "TLS certificates loaded" not in running.log
        running.signal(signal.SIGHUP)
        running.wait_for("TLS certificates loaded")

    def test_hangup_without_certificates(self, server: Serve) -> None:
        """Where there is nothing to read anew SIGHUP does no harm."""
        running = server("secured:application")
        running.signal(signal.SIGHUP)
        running.wait_for("no certificates to reload")
        assert ask(running.connect())

    def test_bad_files(self, running: Running, tmp_path: Path) -> None:
        """The old certificate stays, and the log says why."""
        (tmp_path / "site.key").write_bytes(OTHER.key)
        running.wait_for("TLS goes on with the certificates it has: key: .*does not hold the key")
        assert shown(running, "localhost") == SITE.certificate


class TestReloadOfDirectories:
    """Twisted's own `tls:`, whose directory it reads at the start alone."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        folder = tmp_path / "certificates"
        folder.mkdir()
        SITE.write_both(folder / "localhost.pem")
        return folder

    @pytest.fixture
    def running(self, directory: Path, alone: Serve) -> Running:
        string = f"tls:{directory}:0:interface=127.0.0.1"
        return alone("-e", string, "secured:application").wait_until_ready()

    def test_changed_files(self, running: Running, directory: Path) -> None:
        """A connection that comes a second later has the new one; one that lives stays."""
        with secure(running.connect()) as living:
            before = ask(living)
            assert shown(running, "localhost") == SITE.certificate
            OTHER.write_both(directory / "localhost.pem")
            needed.until(lambda: shown(running, "localhost") == OTHER.certificate)
            assert ask(living) == before
        running.wait_for("TLS certificates loaded")  # the log is read by a thread
        assert running.log.count("TLS certificates loaded") == 1

    def test_hangup(self, running: Running) -> None:
        """SIGHUP reads the directory anew at once."""
        running.signal(signal.SIGHUP)
        running.wait_for("TLS certificates loaded: .*certificates")
        assert shown(running, "localhost") == SITE.certificate

    @pytest.mark.parametrize("octets", [b"", OTHER.key + SITE.chain, b"-----BEGIN RUBBISH"])
    def test_bad_files(self, running: Running, directory: Path, octets: bytes) -> None:
        """An empty file, a key of another certificate, rubbish: the old one stays."""
        (directory / "localhost.pem").write_bytes(octets)
        running.signal(signal.SIGHUP)
        running.wait_for("TLS goes on with the certificates it has: .*certificates: ")
        assert shown(running, "localhost") == SITE.certificate

    def test_no_directory(self, command: Callable[..., Any]) -> None:
        """The start ends with a sentence, while Twisted's would refuse every handshake."""
        done = command("-e", "tls:/nope:0", "secured:application")
        assert done.returncode == 2
        assert "'tls:/nope:0' is not usable: /nope is no directory" in done.stderr

    def test_an_empty_directory(self, alone: Serve, tmp_path: Path) -> None:
        """Certificates may come later, as Twisted has it; until then the log says so."""
        folder = tmp_path / "empty"
        folder.mkdir()
        running = alone("-e", f"tls:{folder}:0:interface=127.0.0.1", "secured:application")
        running.wait_for("empty holds no certificate with its key")
        running.wait_until_ready()
        SITE.write_both(folder / "localhost.pem")
        running.signal(signal.SIGHUP)
        running.wait_for("TLS certificates loaded")
        assert shown(running, "localhost") == SITE.certificate


class TestClientCertificates:
    """--tls-client-ca, and the extension's T03 and T04."""

    @pytest.fixture
    def serve(self, server: Serve, site: tuple[str, ...], tmp_path: Path) -> Serve:
        ca = AUTHORITY.write(tmp_path)
        return lambda *more: server("secured:application", *site, "--tls-client-ca", ca, *more)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_chain(self, serve: Serve, tmp_path: Path, version: ssl.TLSVersion) -> None:
        """T03, T04: the client's own first, then who signed it."""
        context = AUTHORITY.client(*ALICE.write(tmp_path, "alice"))
        context.maximum_version = version
        with secure(serve().connect(), context) as tls:
            told = ask(tls)["tls"]
        assert told["client_cert_name"] == "CN=alice"
        assert "".join(told["client_cert_chain"]) == ALICE.chain.decode()

    def test_required(self, serve: Serve, tmp_path: Path) -> None:
        """Without one, or with another authority's, no request gets through."""
        running = serve("-v", "2")
        for pair in ((), STRANGER.write(tmp_path, "stranger")):
            assert is_refused(running, AUTHORITY.client(*pair))
        running.wait_for("(?s)(in its TLS handshake: .*){2}")

    def test_optional(self, serve: Serve, tmp_path: Path) -> None:
        """Without one the chain is empty; one that does not verify is refused all the same."""
        running = serve("--tls-client-verify", "optional")
        with secure(running.connect()) as tls:
            told = ask(tls)["tls"]
        assert (told["client_cert_chain"], told["client_cert_name"]) == ([], None)
        with secure(running.connect(), AUTHORITY.client(*ALICE.write(tmp_path, "alice"))) as tls:
            assert ask(tls)["tls"]["client_cert_name"] == "CN=alice"
        stranger = AUTHORITY.client(*STRANGER.write(tmp_path, "stranger"))
        assert is_refused(running, stranger)


class TestScope:
    """ASGI, "TLS Extension", on every way that leads to TLS."""

    @pytest.fixture(params=["https", "ssl", "tls"])
    def process(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
        """Ours, and Twisted's two."""
        certificate, key = SITE.write(tmp_path, "site")
        SITE.write_both(tmp_path / "localhost.pem")
        string = {
            "https": f"https:tcp:0:interface=127.0.0.1:certificate={certificate}:key={key}",
            "ssl": f"ssl:0:interface=127.0.0.1:certKey={certificate}:privateKey={key}"
            f":extraCertChain={certificate}",
            "tls": rf"tls:{tmp_path}:0:interface=\:\:1",
        }[request.param]
        running = Running("-e", string, "secured:application", "-v", "2")
        running.wait_until_ready()
        running.host = running.host.strip("[]")
        yield running
        running.stop()

    def test_http(self, process: Running) -> None:
        """T02-T07: every key, and what the client knows of the same connection."""
        with secure(process.connect()) as tls:
            told = ask(tls)
            version = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}[tls.version()]
            cipher = tls.cipher()[0]
        assert told["scheme"] == "https"
        numbers = {c["name"]: c["id"] & 0xFFFF for c in AUTHORITY.client().get_ciphers()}
        found = told["tls"]
        certificate = x509.load_pem_x509_certificate(found.pop("server_cert").encode())
        assert certificate == SITE.certificate
        assert found == {
            "client_cert_chain": [],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": version,
            "cipher_suite": numbers[cipher],
        }

    def test_websocket(self, process: Running) -> None:
        """T01: wss has it, too."""

        async def receive() -> Any:
            # Not websockets' other client: it reads in one thread and writes in another, which
            # OpenSSL's connections do not allow, and hangs now and then.
            async with connect(
                "wss://localhost/", sock=process.connect(), ssl=AUTHORITY.client(), proxy=None
            ) as websocket:
                return await asyncio.wait_for(websocket.recv(), DEADLINE)

        told = json.loads(asyncio.run(receive()))
        assert told["scheme"] == "wss"
        assert told["tls"]["tls_version"] == 0x0304

    @pytest.mark.parametrize("http", ["auto", "2"])
    def test_deadline_of_twisted_s_own(self, tmp_path: Path, alone: Serve, http: str) -> None:
        """S35: `ssl:` has the deadline, too, and a connection after its handshake does not."""
        certificate, key = SITE.write(tmp_path, "site")
        files = f"certKey={certificate}:privateKey={key}:extraCertChain={certificate}"
        string = f"ssl:0:interface=127.0.0.1:{files}"
        running = alone(
            "-e", string, "secured:application", "--tls-handshake-timeout", "1", "--http", http
        ).wait_until_ready()
        context = AUTHORITY.client()
        context.set_alpn_protocols(["h2", "http/1.1"] if http == "2" else ["http/1.1"])
        with secure(running.connect(), context) as done:
            silent = running.connect()
            silent.sendall(CLIENT_HELLO)
            with pytest.raises(ConnectionResetError):
                silent.recv(1)
            running.wait_for(
                r"\[\d+ 127.0.0.1:[0-9]+\] Refused in its TLS handshake: it took too long"
            )
            if http == "2":
                assert done.recv(9)[3] == 4  # SETTINGS, and no GOAWAY
            else:
                assert ask(done)["scheme"] == "https"

    def test_never_without_tls(self, server: Serve) -> None:
        """T01: not on a plain connection, whatever a trusted proxy says of the scheme."""
        running = server("secured:application", "--proxy-headers")
        done = curl("-H", "X-Forwarded-Proto: https", f"{running.url}/")
        told = json.loads(done.stdout)
        assert (told["scheme"], told["tls"]) == ("https", None)


class TestBelow:
    """TLS above every kind of endpoint."""

    def test_unix(self, alone: Serve, site: tuple[str, ...], tmp_path: Path) -> None:
        """-u with a certificate."""
        path = str(tmp_path / "sock")
        alone("-u", path, *site, "secured:application").wait_for("serves")
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(path)
            with secure(plain) as tls:
                told = ask(tls)
        assert (told["client"], told["server"]) == (None, [path, None])
        assert told["tls"]["tls_version"] == 0x0304

    def test_haproxy(self, alone: Serve, tmp_path: Path) -> None:
        """The PROXY header first, then the handshake: the client is who the header says."""
        certificate = SITE.write_both(tmp_path / "site.pem")
        running = alone("-e", f"https:haproxy:tcp:0:interface=127.0.0.1:certificate={certificate}",
                        "secured:application").wait_until_ready()  # fmt: skip
        plain = running.connect()
        plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 443\r\n")
        with secure(plain) as tls:
            told = ask(tls)
        assert told["client"] == ["192.0.2.7", 40000]
        assert told["tls"]["tls_version"] == 0x0304

    def test_descriptor(self, site: tuple[str, ...]) -> None:
        """--fd with a certificate, the socket passed by systemd."""
        activate = needed.program("systemd-socket-activate", "systemd")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [activate, "-l", f"127.0.0.1:{port}", sys.executable, "-m", "daphne_like",
             "--fd", "3", *site, "secured:application"],
            cwd=PROJECTS, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = ("127.0.0.1", port)
            plain = needed.until(lambda: connected(address))
            with secure(plain) as tls:
                assert ask(tls)["scheme"] == "https"
        finally:
            process.terminate()
            process.wait(DEADLINE)


def connected(address: tuple[str, int]) -> socket.socket | None:
    try:
        return socket.create_connection(address, DEADLINE)
    except ConnectionRefusedError:
        return None
